"""Who may have the bot work by the repository's own file: people, bots, under which label, how often."""

import logging
from datetime import timedelta
from typing import Final

from app.core.errors import ParseError, Refused, UserError
from app.core.inbound.triggers import PLAN_SUFFIX
from app.core.policy import repo_config
from app.core.policy.authorization import Action, Decision, Role, authorize
from app.core.policy.repo_config import RepoConfig
from app.core.ports.bundle import Ports
from app.core.ports.github import GitHub
from app.core.run.job import Job, Person, Source, Verb
from app.core.safety.escape import code
from app.runs.context import RunContext

log = logging.getLogger(__name__)

HOUR_S: Final = 3_600.0


async def read_config(ports: Ports, github: GitHub) -> RepoConfig:
    """The repository's file as it stands, without a clone.

    Raises:
        UserError: it has a mistake.
    """
    return await parse(ports, github.repo, await github.pulls.read_file(repo_config.PATH))


async def read_config_or_default(ports: Ports, github: GitHub) -> RepoConfig:
    """As `read_config`; one with a mistake counts as none."""
    try:
        return await read_config(ports, github)
    except UserError:
        return RepoConfig()


async def parse(ports: Ports, repo: str, raw: bytes | None) -> RepoConfig:
    """Read the repository's file, and let the web process know of it what it must.

    Raises:
        UserError: it has a mistake.
    """
    config = RepoConfig()
    if raw is not None:
        try:
            config = repo_config.read(await ports.parsers.load_yaml(raw))
        except ParseError as error:
            raise UserError(repo_config.explain(error)) from error
    await ports.store.note(repo_config.config_note_name(repo), repo_config.encode_cached(config.known))
    return config


async def is_accepted_sender(ctx: RunContext) -> bool:
    """Is the sender a person, or a bot that the repository's file names? This App never is."""
    job = ctx.run.job
    if not job.sender.is_bot or job.source is Source.CHECKS:
        return True
    if job.sender.login.casefold() == (await ctx.github.login()).casefold():
        return False
    try:
        config = await read_config(ctx.ports, ctx.github)
    except UserError as error:
        log.info("a bot asks, and the repository's file cannot be read", extra={"reason": str(error)})
        return False
    return authorize(job.sender, Action.ASK, Role.NONE, config).is_allowed


async def check_request(ctx: RunContext, role: Role) -> None:
    """May a sender of this role have this, by what the file says? From then on the run speaks.

    Raises:
        Refused: no.
    """
    job = ctx.run.job
    authorize(job.sender, action_of(job), role, ctx.config).check()
    if job.sender.id:
        await ctx.ports.store.note(repo_config.member_note_name(job.installation_id, job.sender.id), "1")
    _check_label(ctx)
    await _count(ctx)
    if ctx.run.is_muted:
        await ctx.progress.save(is_muted=False)


async def decide(ctx: RunContext, action: Action) -> Decision:
    """May the sender do this to a run that somebody else may have started? By the file as it stands; one with a mistake
    counts as none."""
    sender = ctx.run.job.sender
    if (decision := authorize(sender, action, Role.NONE, RepoConfig())).is_allowed:  # whatever GitHub says
        return decision
    return authorize(sender, action, await role_of(ctx), await read_config_or_default(ctx.ports, ctx.github))


async def may_request(ctx: RunContext, person: Person, action: Action = Action.START) -> bool:
    """May somebody else than the sender do this in this run's thread? The configuration is read."""
    role = Role.NONE if person.is_bot else await ctx.github.permission(person)
    return authorize(person, action, role, ctx.config).is_allowed


async def may_start(ports: Ports, repo: str, person: Person, role: Role) -> bool:
    """May this person, of this role, start runs, by the file as a worker last read it? Costs no call to GitHub."""
    own = repo_config.decode_cached(await ports.store.recall(repo_config.config_note_name(repo)))
    return authorize(person, Action.START, role, own).is_allowed


async def role_of(ctx: RunContext, asked: Job | None = None) -> Role:
    """The role of this job's sender, or of another's; an operator who came through the API or the command line has them
    all. A bot has none: it may what the file lets it."""
    job = asked or ctx.run.job
    if job.sender.is_bot:
        return Role.NONE
    if job.source in (Source.API, Source.LOCAL) and not job.sender.id:
        return Role.ADMIN
    return await ctx.github.permission(job.sender)


def action_of(job: Job) -> Action:
    """What somebody does who has a run started or continued."""
    match job.command.verb:
        case Verb.APPROVE:
            return Action.APPROVE
        case Verb.BUDGET:
            return Action.ADD_BUDGET
    return Action.START


def _check_label(ctx: RunContext) -> None:
    """The web process may not have known that the repository has a label of its own."""
    wanted, used = ctx.config.label or ctx.options.label, ctx.run.job.label.casefold()
    if used and used not in {wanted.casefold(), f"{wanted}{PLAN_SUFFIX}".casefold()}:
        raise Refused(f"The label that starts a run here is {code(wanted)}, as `{repo_config.PATH}` says.")


async def _count(ctx: RunContext) -> None:
    """Break loops: only so many runs within an hour. The first one too many says so, the others say nothing."""
    run, store = ctx.run, ctx.ports.store
    scopes = [(run.job.repo, "in this repository", ctx.options.runs_per_hour)]
    if run.job.number is not None:
        scopes.insert(0, (f"{run.job.repo}#{run.job.number}", "here", ctx.options.thread_runs_per_hour))
    for scope, where, limit in scopes:
        left_s = await store.count(f"runs {scope}", run.id, limit=limit, ttl_s=HOUR_S)
        if left_s:
            if await store.count(f"pause {scope}", run.id, limit=1, ttl_s=left_s):
                await ctx.progress.save(is_muted=True)
            until = ctx.ports.clock.now() + timedelta(seconds=left_s)
            raise Refused(
                f"{limit} runs were started {where} within an hour, which looks like a loop. New runs are paused until "
                f"{until:%H:%M} UTC, without further notice. `/vibecode stop`, `status` and `help` still work."
            )
