"""The same answer everywhere: to start, approve, stop, add budget, steer, continue, and see one's place in line."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Final, cast

import pytest

from app.adapters.memory import MemoryQueue, MemoryStore
from app.core.errors import Refused
from app.core.parsed import YamlFile
from app.core.policy.authorization import Action, Role
from app.core.policy.budget import Budget
from app.core.ports.bundle import Ports
from app.core.ports.github import GitHub
from app.core.run.job import Command, Job, Person, Source, Verb, job_id
from app.core.run.run import Run
from app.core.safety.redact import Redactor
from app.runs import control_commands
from app.runs.background import reactions
from app.runs.context import Options, RunContext
from app.runs.intake import admission, authorization, recheck
from app.runs.intake.threads import find_open
from app.runs.progress import Progress
from tests.runs.test_lease import Hourglass
from tests.runs.test_publish import undrawn
from tests.text.runs import JOB

FILE: Final = {"roles": ["maintain"], "people": ["Named"], "bots": ["renovate[bot]"]}
SENDER: Final = Person("eve", 3)


@dataclass
class People:
    """GitHub, where everybody has one role."""

    role: Role
    repo: str = JOB.repo

    @property
    def pulls(self) -> "People":
        return self

    async def permission(self, _: Person) -> Role:
        return self.role

    async def read_file(self, _: str) -> bytes:
        return json.dumps(FILE).encode()


class Json:
    async def load_yaml(self, data: bytes) -> YamlFile:
        return YamlFile(json.loads(data), {})


async def open_as(person: Person, role: Role, verb: Verb = Verb.START) -> RunContext:
    """A job of this person's, in a thread where Ada's run is open. Its repository's file was read before."""
    store = MemoryStore()
    world = cast(
        Ports, SimpleNamespace(store=store, queue=MemoryQueue(store), clock=Hourglass(), parsers=Json(), secrets=())
    )
    await world.queue.put(Run(replace(JOB, sender=Person("ada", 7))))
    job = replace(JOB, sender=person, source=Source.COMMENT, command=Command(verb, add_usd=1.0))
    job = replace(job, id=job_id(JOB.repo, JOB.number, job.source, "2"))
    await world.queue.put(Run(job))
    held = await store.acquire(job.id, worker="one", ttl_s=30)
    assert held is not None
    progress = Progress(held, store=store, clock=world.clock, redactor=Redactor(()), draw=undrawn, every_s=0)
    github = cast(GitHub, People(role))
    ctx = RunContext(world, Options(Budget(1, 1, 1, 1)), github, progress, Redactor(()))
    ctx.config = await authorization.read_config(world, github)
    return ctx


async def start(ctx: RunContext) -> None:
    role = await authorization.role_of(ctx)
    admission.check_has_role(ctx.run.job, role)
    await authorization.check_request(ctx, role)


async def approve_by_reaction(ctx: RunContext) -> None:
    if not await reactions._may_approve(ctx.ports, ctx.github, ctx.run.job.sender):
        raise Refused("no")


async def stop(ctx: RunContext) -> None:
    await control_commands._stoppable(ctx, ctx.run.job, await find_open(ctx))


async def add_budget(ctx: RunContext) -> None:
    await control_commands.grant_to_open_run(ctx)


async def steer(ctx: RunContext) -> None:
    if not await authorization.may_request(ctx, ctx.run.job.sender, Action.STEER):
        raise Refused("no")


async def go_on(ctx: RunContext) -> None:
    if not await recheck.may_still(ctx, ctx.run.job.sender):
        raise Refused("no")


async def see_ones_place(ctx: RunContext) -> None:
    role = await authorization.role_of(ctx)
    if not await authorization.may_start(ctx.ports, JOB.repo, ctx.run.job.sender, role):
        raise Refused("no")


WHERE: Final[dict[str, tuple[Verb, Callable[[RunContext], Awaitable[None]]]]] = {
    "start": (Verb.START, start),
    "plan": (Verb.PLAN, start),
    "retry": (Verb.RETRY, start),
    "approve": (Verb.APPROVE, start),
    "approve by reaction": (Verb.START, approve_by_reaction),
    "stop": (Verb.STOP, stop),
    "budget of an open run": (Verb.BUDGET, add_budget),
    "budget to go on with": (Verb.BUDGET, start),
    "steer": (Verb.START, steer),
    "continue": (Verb.START, go_on),
    "place in line": (Verb.START, see_ones_place),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("person", "role", "may"),
    [
        (SENDER, Role.ADMIN, True),
        (SENDER, Role.MAINTAIN, True),
        (SENDER, Role.WRITE, False),
        (SENDER, Role.READ, False),
        (SENDER, Role.NONE, False),
        (Person("named", 3), Role.READ, True),
        (Person("named", 3), Role.NONE, False),
        (Person("Renovate[bot]", 3, is_bot=True), Role.NONE, True),
        (Person("named", 3, is_bot=True), Role.WRITE, False),
    ],
    ids=lambda value: f"{value.login}{' (bot)' * value.is_bot}" if isinstance(value, Person) else str(value),
)
async def test_the_answer_is_the_same_everywhere(person: Person, role: Role, may: bool, where: str) -> None:
    verb, do = WHERE[where]
    ctx = await open_as(person, role, verb)
    if may:
        await do(ctx)
        return
    with pytest.raises(Refused):
        await do(ctx)


async def test_whoever_started_a_run_may_stop_it_without_a_role() -> None:
    ctx = await open_as(Person("ada", 7), Role.NONE, Verb.STOP)
    assert [run.id for run in await control_commands._stoppable(ctx, ctx.run.job, await find_open(ctx))] == [JOB.id]


@pytest.mark.parametrize(
    ("person", "role", "is_muted"),
    [
        (SENDER, Role.NONE, True),
        (SENDER, Role.READ, True),
        (SENDER, Role.TRIAGE, False),
        (Person("named", 3), Role.READ, False),
        (Person("Renovate[bot]", 3, is_bot=True), Role.NONE, False),
    ],
)
async def test_only_who_may_not_start_anything_is_answered_once_an_hour(
    person: Person, role: Role, is_muted: bool
) -> None:
    ctx = await open_as(person, role, Verb.STATUS)
    assert not await admission.is_flooding(ctx)
    assert await admission.is_flooding(ctx) is is_muted


def a_comment_to_nobody(job: Job) -> Job:
    return replace(job, is_addressed=False)


@pytest.mark.parametrize(
    ("person", "role", "is_ignored"),
    [
        (SENDER, Role.MAINTAIN, False),
        (SENDER, Role.WRITE, True),
        (Person("named", 3), Role.READ, False),
        (Person("named", 3), Role.NONE, True),
    ],
)
async def test_what_is_not_said_to_the_bot_counts_from_those_who_may(
    person: Person, role: Role, is_ignored: bool
) -> None:
    ctx = await open_as(person, role)
    assert not await admission.is_from_an_outsider(ctx)
    await ctx.progress.save(job=a_comment_to_nobody(ctx.run.job))
    assert await admission.is_from_an_outsider(ctx) is is_ignored
