"""Who may do what. Every place that asks calls `authorize`: comments, labels, reviews, reactions, the status API, and
each look at whether a run may go on.

`.github/SECURITY.md` has the whole matrix as a table, and `tests/core/test_authorization.py` checks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from app.core.errors import Refused
from app.core.run.job import Person
from app.core.safety.escape import code


class Role(StrEnum):
    """A person's role on a repository, weakest first.

    GitHub's `role_name`:
    https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
    """

    NONE = "none"
    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"


class Action(StrEnum):
    """What somebody wants to do."""

    VIEW = "view"
    """Read runs through the status API."""
    ASK = "ask"
    """`help` and `status`, which are answered and change nothing."""
    START = "start"
    """Have the bot work: a label, `/vibecode`, `plan`, `retry`, `POST /api/jobs`. Also: have a run continue that one
    asked for."""
    APPROVE = "approve"
    """Approve a plan, by comment, reaction or API."""
    ADD_BUDGET = "add budget"
    STEER = "steer"
    """Say something in a review or comment that a run then carries out."""
    STOP = "stop"
    """Stop a run that somebody else started."""
    STOP_OWN = "stop own"
    """Stop a run that one started oneself."""


class Rules(Protocol):
    """What the repository's file says about who may."""

    @property
    def roles(self) -> Sequence[str]: ...

    @property
    def people(self) -> Sequence[str]:
        """Logins that may whatever their role is."""

    @property
    def bots(self) -> Sequence[str]:
        """Logins of bots that may."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` says who may instead, for the person who was refused; empty when it is allowed."""

    reason: str = ""

    @property
    def is_allowed(self) -> bool:
        return not self.reason

    def check(self) -> None:
        """Do nothing when it is allowed.

        Raises:
            Refused: it is not.
        """
        if self.reason:
            raise Refused(self.reason)


_ALLOWED: Final = Decision()
_NO_BOT: Final = Decision("Commands from bots are ignored unless `bots` in `.github/vibecode.yml` lists them.")
_FOR_EVERYBODY: Final = frozenset({Action.ASK, Action.STOP_OWN})


def authorize(person: Person, action: Action, role: Role, config: Rules) -> Decision:
    """May this person, of this role on the repository, do this?

    `role` is what GitHub says now; `Role.NONE` also when the login belongs to another account by now, and then being
    named in `people` is worth nothing. The operator counts as an admin. The role of a bot does not count.
    """
    if person.is_bot:
        return _ALLOWED if _is_named(person, config.bots) else _NO_BOT
    if action in _FOR_EVERYBODY or role is Role.ADMIN:
        return _ALLOWED
    if action is Action.VIEW and role is not Role.NONE:
        return _ALLOWED
    if role is not Role.NONE and (role.value in config.roles or _is_named(person, config.people)):
        return _ALLOWED
    return Decision(
        f"{code('@' + person.login)} has the role {code(role)} here, but controlling runs takes one of: "
        f"{', '.join(config.roles)}. Someone with one of these roles can apply the label or comment `/vibecode`. "
        "`roles` and `people` in `.github/vibecode.yml` set who can."
    )


def stopping(starter: Person, person: Person) -> Action:
    """What a person does who stops a run that `starter` started."""
    return Action.STOP_OWN if starter.id and starter.id == person.id else Action.STOP


def _is_named(person: Person, logins: Sequence[str]) -> bool:
    return person.login.casefold() in {login.casefold() for login in logins}
