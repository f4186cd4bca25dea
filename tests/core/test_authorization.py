"""The whole matrix of who may do what; `.github/SECURITY.md` shows the same table."""

import re
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from app.core.errors import Refused
from app.core.policy.authorization import Action, Role, authorize, stopping
from app.core.policy.repo_config import CachedConfig, RepoConfig
from app.core.run.job import Person

FILE: Final = RepoConfig(roles=("maintain",), people=("Named",), bots=("renovate[bot]",))
WHO: Final[dict[str, tuple[Person, Role]]] = {
    "operator": (Person("operator"), Role.ADMIN),
    "admin": (Person("ada", 1), Role.ADMIN),
    "role in `roles`": (Person("ada", 1), Role.MAINTAIN),
    "named in `people`": (Person("named", 2), Role.READ),
    "other role": (Person("eve", 3), Role.WRITE),
    "no role": (Person("eve", 3), Role.NONE),
    "no role, named in `people`": (Person("named", 2), Role.NONE),
    "bot in `bots`": (Person("Renovate[bot]", 4, is_bot=True), Role.NONE),
    "other bot": (Person("named", 5, is_bot=True), Role.ADMIN),
}
"""In the rows of the table. A login that belongs to another account by now has no role."""
ALL: Final = frozenset(Action)
EVERYBODY: Final = frozenset({Action.ASK, Action.STOP_OWN})
MATRIX: Final = {
    "operator": ALL,
    "admin": ALL,
    "role in `roles`": ALL,
    "named in `people`": ALL,
    "other role": EVERYBODY | {Action.VIEW},
    "no role": EVERYBODY,
    "no role, named in `people`": EVERYBODY,
    "bot in `bots`": ALL,
    "other bot": frozenset[Action](),
}


@pytest.mark.parametrize(("who", "action"), list(product(WHO, Action)))
def test_who_may_do_what(who: str, action: Action) -> None:
    person, role = WHO[who]

    decision = authorize(person, action, role, FILE)

    assert decision.is_allowed is (action in MATRIX[who])
    known = CachedConfig(roles=FILE.roles, people=FILE.people, bots=FILE.bots)
    assert authorize(person, action, role, known) == decision, "the web process decides as the worker does"


@pytest.mark.parametrize("role", Role)
def test_without_a_file_it_takes_write(role: Role) -> None:
    may = authorize(Person("ada", 1), Action.START, role, RepoConfig()).is_allowed
    assert may is (role in {Role.WRITE, Role.MAINTAIN, Role.ADMIN})
    assert authorize(Person("ada", 1), Action.START, role, CachedConfig()).is_allowed is may


def test_a_refusal_says_who_may_instead() -> None:
    refused = authorize(Person("eve", 3), Action.START, Role.READ, FILE)
    with pytest.raises(Refused, match="`@eve` has the role `read` here, but controlling runs takes one of: maintain"):
        refused.check()
    authorize(Person("ada", 1), Action.START, Role.ADMIN, FILE).check()


@pytest.mark.parametrize(
    ("starter", "person", "expected"),
    [
        (Person("ada", 1), Person("renamed", 1), Action.STOP_OWN),
        (Person("ada", 1), Person("ada", 2), Action.STOP),
        (Person("operator"), Person("operator"), Action.STOP),
    ],
)
def test_a_run_is_ones_own_by_account(starter: Person, person: Person, expected: Action) -> None:
    assert stopping(starter, person) is expected


def test_the_table_in_the_documentation_is_this_one() -> None:
    text = Path(".github/SECURITY.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \|((?: (?:yes|no) \|)+)$", text, re.MULTILINE)
    shown = {who: re.findall("yes|no", cells) for who, cells in rows}
    reading = [Action.ASK, Action.VIEW, Action.STOP_OWN]
    columns = [*reading, Action.STOP, Action.START, Action.APPROVE, Action.ADD_BUDGET, Action.STEER]
    assert shown == {who: ["yes" if action in MATRIX[who] else "no" for action in columns] for who in MATRIX}
