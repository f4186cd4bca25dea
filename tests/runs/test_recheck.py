"""What a run stands on, looked up again before something is written."""

from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import RequestWithdrawn
from app.core.policy.authorization import Role
from app.core.policy.budget import Budget
from app.core.ports.github import GitHub
from app.core.run.job import Person, Source
from app.core.run.pull_requests import IssueText, PullRequest
from app.core.run.run import Commit, OpenedPullRequest, Run
from app.core.safety.redact import Redactor
from app.runs.context import Options, RunContext
from app.runs.intake.recheck import check_still_wanted
from app.runs.progress import Progress
from tests.runs.test_lease import ports
from tests.runs.test_publish import undrawn
from tests.text.runs import JOB

PULL = PullRequest(13, "Mend it", "", "", "vibecode/12-x", "a" * 40, "main", is_ours=True)
BRANCH: Final[dict[str, Any]] = {"branch": "vibecode/12-x", "commits": (Commit("a" * 40, "Mend it"),)}
ISSUE = replace(JOB, number=12, is_pull_request=False, source=Source.LABEL, sender=Person("ada", 7))


@dataclass
class There:
    """GitHub, as it is now. `heads` are what each look at the branch shows; so many looks do not show the issue."""

    roles: dict[str, Role] = field(default_factory=lambda: {"ada": Role.WRITE, "mona": Role.WRITE})
    text: IssueText | None = field(default_factory=lambda: IssueText("A typo", "", is_open=True))
    found: PullRequest = PULL
    heads: list[str | None] = field(default_factory=list)
    unseen: int = 0
    looks: int = 0

    @property
    def pulls(self) -> "There":
        return self

    async def permission(self, person: Person) -> Role:
        self.looks += 1
        return self.roles.get(person.login, Role.NONE)

    async def issue(self, _: int) -> IssueText | None:
        self.unseen -= 1
        return None if self.unseen >= 0 else self.text

    async def pull(self, _: int) -> PullRequest:
        return self.found

    async def head(self, _: str) -> str | None:
        return self.heads.pop(0) if self.heads else "a" * 40


async def check(there: There, run: Run) -> Run:
    store = MemoryStore()
    await MemoryQueue(store).put(run)
    held = await store.acquire(run.id, worker="one", ttl_s=30)
    assert held is not None
    world = ports(store)
    progress = Progress(held, store=store, clock=world.clock, redactor=Redactor(()), draw=undrawn, every_s=0)
    ctx = RunContext(world, Options(Budget(1, 1, 1, 1)), cast(GitHub, there), progress, Redactor(()))
    await check_still_wanted(ctx)
    return ctx.run


async def test_a_run_that_is_still_wanted_goes_on() -> None:
    there = There()
    await check(there, replace(Run(ISSUE), requested_by=Person("ada", 7)))
    assert there.looks == 1, "one person is looked up once"


async def test_the_operator_and_the_command_line_have_no_role_to_lose() -> None:
    there = There(roles={})
    await check(there, Run(replace(ISSUE, source=Source.API, sender=Person("operator"))))
    await check(there, Run(replace(ISSUE, source=Source.LOCAL)))
    assert there.looks == 0


async def test_a_branch_that_is_not_visible_yet_was_not_deleted() -> None:
    run = await check(There(heads=[None, "a" * 40]), replace(Run(ISSUE), **BRANCH))
    assert run.commits


async def test_an_issue_that_is_not_visible_yet_was_not_deleted() -> None:
    await check(There(unseen=1), Run(ISSUE))


ENDS: Final[dict[str, tuple[There, dict[str, Any], str]]] = {
    "who asked may no more": (There(roles={"ada": Role.READ}), {}, "`ada` can no longer start runs here"),
    "nor who asked for the plan": (There(), {"requested_by": Person("leaver", 9)}, "`leaver` can no longer"),
    "deleted": (There(text=None), {}, "The issue was deleted or transferred"),
    "closed": (There(text=IssueText("A typo", "", is_open=False)), {}, "The issue was closed"),
    "locked": (There(text=IssueText("A typo", "", is_open=True, is_locked=True)), {}, "The conversation was locked"),
    "pull request closed": (
        There(found=replace(PULL, is_open=False)),
        {"pull_request": OpenedPullRequest(13, "", "a" * 40)},
        "#13 was closed",
    ),
    "pull request merged": (
        There(found=replace(PULL, is_open=False, is_merged=True)),
        {"job": replace(ISSUE, number=13, is_pull_request=True)},
        "#13 was merged",
    ),
    "branch deleted": (There(heads=[None, None]), BRANCH, "The branch `vibecode/12-x` was deleted"),
}


@pytest.mark.parametrize("what", ENDS)
async def test_a_run_ends_when_what_it_stands_on_is_taken_back(what: str) -> None:
    there, fields, words = ENDS[what]
    with pytest.raises(RequestWithdrawn, match=words):
        await check(there, replace(Run(ISSUE), **fields))
