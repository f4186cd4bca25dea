"""Who may have the bot work by the repository's own file: people, bots, under which label, how often."""

import logging
from datetime import timedelta
from typing import Final

from app.core import known, policy, repo_config
from app.core.errors import ParseError, Refused, UserError
from app.core.escape import code
from app.core.job import Person, Source
from app.core.policy import Role
from app.core.ports import GitHub, Ports
from app.core.repo_config import RepoConfig
from app.core.triggers import PLAN_SUFFIX
from app.runs.work import Work

log = logging.getLogger(__name__)

HOUR_S: Final = 3_600.0


async def read_config(ports: Ports, github: GitHub) -> RepoConfig:
    """The repository's file as it stands, without a clone.

    Raises:
        UserError: it has a mistake.
    """
    return await parse(ports, github.repo, await github.pulls.read_file(repo_config.PATH))


async def read_config_if_sound(ports: Ports, github: GitHub) -> RepoConfig:
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
    await ports.store.note(known.name_of(repo), known.encode(config.known))
    return config


async def is_heard(work: Work) -> bool:
    """Is the sender a person, or a bot that the repository's file names? This App never is."""
    job = work.run.job
    if not job.sender.is_bot or job.source is Source.CHECKS:
        return True
    if job.sender.login.casefold() == (await work.github.login()).casefold():
        return False
    try:
        config = await read_config(work.ports, work.github)
    except UserError as error:
        log.info("a bot asks, and the repository's file cannot be read", extra={"reason": str(error)})
        return False
    return _is_named(job.sender, config)


async def check(work: Work, role: Role) -> None:
    """May a sender of this role have this, by what the file says? From then on the run speaks.

    Raises:
        Refused: no.
    """
    _check_sender(work, role, work.config)
    job = work.run.job
    if job.sender.id:
        await work.ports.store.note(known.name_of_member(job.installation_id, job.sender.id), "1")
    _check_label(work)
    await _count(work)
    if work.run.is_muted:
        await work.progress.save(is_muted=False)


async def check_word(work: Work, role: Role) -> None:
    """May a sender of this role stop somebody's run, or add to its dollars? A file with a mistake stops nobody.

    Raises:
        Refused: no.
    """
    _check_sender(work, role, await read_config_if_sound(work.ports, work.github))


def _check_sender(work: Work, role: Role, config: RepoConfig) -> None:
    sender = work.run.job.sender
    if not is_let(sender, role, config):
        policy.admit(sender.login, role, config.roles)


async def may(work: Work, person: Person) -> bool:
    """May somebody else than the sender say what this run does? Its configuration is read."""
    if person.is_bot:
        return _is_named(person, work.config)
    return is_let(person, await work.github.permission(person), work.config)


def is_let(person: Person, role: Role, config: RepoConfig) -> bool:
    """Does the repository's file let this account, of this role, have the bot work? Admins always may."""
    return role is Role.ADMIN or _is_named(person, config) or role.value in set[str](config.roles)


def _is_named(sender: Person, config: RepoConfig) -> bool:
    """Does the repository's file name this account among those that may?"""
    named = config.bots if sender.is_bot else config.people
    return sender.login.casefold() in {login.casefold() for login in named}


def _check_label(work: Work) -> None:
    """The web process may not have known that the repository has a label of its own."""
    wanted, used = work.config.label or work.options.label, work.run.job.label.casefold()
    if used and used not in {wanted.casefold(), f"{wanted}{PLAN_SUFFIX}".casefold()}:
        raise Refused(f"The label that starts a run here is {code(wanted)}, as `{repo_config.PATH}` says.")


async def _count(work: Work) -> None:
    """Break loops: only so many runs within an hour. The first one too many says so, the others say nothing."""
    run, store = work.run, work.ports.store
    scopes = [(run.job.repo, "in this repository", work.options.runs_per_hour)]
    if run.job.number is not None:
        scopes.insert(0, (f"{run.job.repo}#{run.job.number}", "here", work.options.thread_runs_per_hour))
    for scope, where, limit in scopes:
        left_s = await store.count(f"runs {scope}", run.id, limit=limit, ttl_s=HOUR_S)
        if left_s:
            if await store.count(f"pause {scope}", run.id, limit=1, ttl_s=left_s):
                await work.progress.save(is_muted=True)
            until = work.ports.clock.now() + timedelta(seconds=left_s)
            raise Refused(
                f"{limit} runs were started {where} within an hour. That looks like a loop, so I pause until "
                f"{until:%H:%M} UTC and say no more of it. `/vibecode stop`, `status` and `help` go on working."
            )
