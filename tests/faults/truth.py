"""What must hold after any fault: nothing lost, nothing doubled, nothing untrue, nothing left behind."""

import asyncio
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Final

from app.adapters.sandbox.local.machine import MARK
from app.core.run.run import Conclusion, Run, Status
from app.demo.github.state.records import Comment
from app.text.comment import headline
from tests.bot import REPO
from tests.faults.world import Asked, World

TIDY_S: Final = 120.0
AGED_AFTER_S: Final = 3.0
BOT: Final = "vibecoder[bot]"
_BUSY: Final = ("vibecoder:lease:", "arq:in-progress:", "arq:job:", "arq:retry:", "vibecoder:signals:")
_EMPTY: Final = frozenset({"vibecoder:open", "vibecoder:begun", "arq:queue"})
_BOUND: Final = frozenset({"vibecoder:bell", "vibecoder:served", "vibecoder:due", "arq:abort"})
_ENDS_WELL: Final = frozenset({Conclusion.SUCCESS, Conclusion.NEUTRAL, Conclusion.ACTION_REQUIRED})


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not hold. `kind` is `lost` (a run), `missing`, `doubled`, `untrue`, `left behind`, or `late` or
    `broken`, of the fault itself."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


async def check(world: World, *, is_at_rest: bool = True) -> list[Finding]:
    """Everything that does not hold; empty when all is well. A world at rest is given time to clean up."""
    findings = await _until_tidy(world) if is_at_rest else await _left_behind(world)
    for asked in world.asked:
        findings += await _check_asked(world, asked)
    findings += _check_comments(world) + await _check_branches(world)
    findings += [
        Finding("untrue", f"the model was asked what it may not be: {text}") for text in world.model.complaints
    ]
    return findings


async def _check_asked(world: World, asked: Asked) -> list[Finding]:
    run = await world.records.store.load(asked.job_id)
    if run is None or run.status is not Status.COMPLETED:
        return [Finding("lost", f"{asked.job_id} is {run.status if run else 'gone'}")]
    if run.conclusion not in asked.ends:
        why = run.failure.message if run.failure else run.message
        return [Finding("lost", f"{asked.job_id} ended {run.conclusion}: {why}")]
    if run.conclusion is Conclusion.SUCCESS:
        return await _check_work(world, asked, run)
    return _check_commits([commit.subject for commit in run.commits])


async def _check_work(world: World, asked: Asked, run: Run) -> list[Finding]:
    """One pull request with every commit once, and what they hold."""
    findings = []
    pulls = [pull for pull in world.github.pull_requests(REPO) if pull.head == run.branch]
    if len(pulls) != 1:
        findings.append(Finding("doubled" if pulls else "missing", f"{len(pulls)} pull requests from {run.branch}"))
    if run.pull_request is None or run.pull_request.number not in [pull.number for pull in pulls]:
        findings.append(Finding("untrue", f"the run's pull request is {run.pull_request}"))
    there = (
        [] if await world.github.head(REPO, run.branch) is None else await world.github.log(REPO, f"main..{run.branch}")
    )
    subjects = [commit.message.splitlines()[0] for commit in reversed(there)]
    findings += _check_commits(subjects)
    if subjects != asked.subjects:
        findings.append(
            Finding("missing" if len(subjects) < len(asked.subjects) else "untrue", f"commits are {subjects}")
        )
    shas = [commit.sha for commit in reversed(there)]
    if [commit.sha for commit in run.commits] != (shas[: len(run.commits)] if asked.is_past else shas):
        findings.append(Finding("untrue", f"the run names the commits {[commit.sha[:7] for commit in run.commits]}"))
    mended = await world.github.file(REPO, run.branch, "greet.py") or b""
    if b"hello" not in mended:
        findings.append(Finding("missing", f"the branch's greet.py is {mended!r}"))
    return findings


def _check_commits(subjects: list[str]) -> list[Finding]:
    twice = [subject for subject, count in Counter(subjects).items() if count > 1]
    return [Finding("doubled", f"the commit {subject!r}") for subject in twice]


def _check_comments(world: World) -> list[Finding]:
    """Per run of work one comment with its last state; per answer one; in each thread of a review one; nothing else."""
    findings: list[Finding] = []
    for number in sorted({asked.number for asked in world.asked}):
        said = [each for each in world.github.comments(REPO, number) if each.author == BOT]
        wanted = [asked for asked in world.asked if asked.number == number]
        count = sum(not asked.is_more for asked in wanted)
        most = count + sum(
            asked.is_more and asked.is_answer_only for asked in wanted
        )  # of answers at once each has its own
        if not count <= len(said) <= most:
            kind = "doubled" if len(said) > most else "missing"
            findings.append(Finding(kind, f"{len(said)} comments by the bot on #{number}, not {count}"))
        findings += _check_answered(world, [asked for asked in wanted if asked.is_answer_only])
        worked = wanted if len(wanted) == 1 else [asked for asked in wanted if _has_worked(world, asked)]
        if len(worked) == 1 and len(said) == 1:
            findings += _check_words(world, worked[0], said[0])
    return findings + _check_threads(world)


def _check_answered(world: World, answered: list[Asked]) -> list[Finding]:
    """Whoever was only answered has the 🚀 on their comment."""
    by_id = {f"~comment~{said.id}": said for asked in answered for said in world.github.comments(REPO, asked.number)}
    return [
        Finding("missing", f"the reaction rocket to {said.body!r}")
        for asked in answered
        for end, said in by_id.items()
        if asked.job_id.endswith(end) and "rocket" not in {each.content for each in said.reactions}
    ]


def _has_worked(world: World, asked: Asked) -> bool:
    run = world.story.runs.get(asked.job_id)
    return run is not None and bool(run.stages)


def _check_threads(world: World) -> list[Finding]:
    """Each thread that a person began on a line has one answer, and each of their comments there an ending."""
    findings = []
    for pull in world.github.pull_requests(REPO):
        for first, *rest in world.github.pulls.threads(REPO, pull.number):
            replies = [each.body for each in rest if each.author == BOT]
            if len(replies) != 1 or "Not reached:" in replies[0]:
                findings.append(
                    Finding("doubled" if replies[1:] else "missing", f"answers to {first.body!r}: {replies}")
                )
            reactions = {each.content for each in first.reactions}
            if "eyes" not in reactions or not reactions & {"rocket", "confused"}:
                findings.append(Finding("missing", f"the reactions to {first.body!r} are {reactions}"))
    return findings


def _check_words(world: World, asked: Asked, comment: Comment) -> list[Finding]:
    run = world.story.runs.get(asked.job_id)
    if run is None or asked.is_answer_only:
        return []
    wanted = [headline(run)] + [commit.sha[:7] for commit in run.commits if commit.step is not None]
    if run.pull_request is not None:
        wanted.append(f"#{run.pull_request.number}")
    missing = [words for words in wanted if words not in comment.body]
    findings = [Finding("untrue", f"the comment lacks {missing}: {comment.body[:200]!r}")] if missing else []
    reaction = "rocket" if run.conclusion in _ENDS_WELL else "confused"
    repo = world.github.world.repos[REPO]
    places = [repo.issues[asked.number].reactions]
    places += [said.reactions for said in world.github.comments(REPO, asked.number)]
    if run.job.is_pull_request:
        places += [said.reactions for thread in world.github.pulls.threads(REPO, asked.number) for said in thread]
    reactions = [each.content for place in places for each in place]
    if reaction not in reactions:
        findings.append(Finding("missing", f"the reaction {reaction} on #{asked.number}; there are {reactions}"))
    return findings


async def _check_branches(world: World) -> list[Finding]:
    """A branch for each run that has one, and no other; no pull request without its run."""
    output = await _git(world, "for-each-ref", "--format=%(refname:short)", "refs/heads/vibecode")
    there, known = set(output.split()), {run.branch for run in world.story.runs.values()}
    findings = [Finding("doubled", f"the branch {name}, which no run has") for name in sorted(there - known)]
    pulls = Counter(pull.head for pull in world.github.pull_requests(REPO))
    findings += [Finding("doubled", f"{pulls[head]} pull requests from {head}") for head in pulls if pulls[head] > 1]
    return findings + [Finding("doubled", f"a pull request from {head}") for head in pulls if head not in known]


async def _git(world: World, *argv: str) -> str:
    command = ["git", "-C", str(world.github.world.repos[REPO].path), *argv]
    return (await asyncio.to_thread(subprocess.check_output, command, timeout=20)).decode()


# --------------------------------------------------------------------------------------------------------- left behind


async def _until_tidy(world: World) -> list[Finding]:
    """Wait until the program has cleaned up after itself. Machines are made old enough to be taken for orphans."""
    began, was_aged = monotonic(), False
    while findings := await _left_behind(world):
        if monotonic() - began > TIDY_S:
            break
        if monotonic() - began > AGED_AFTER_S and not was_aged and _machines(world):
            was_aged = True
            _age(world)
        await asyncio.sleep(1)
    return findings


async def _left_behind(world: World) -> list[Finding]:
    findings = [Finding("left behind", f"the sandbox {name}") for name in _machines(world)]
    findings += [Finding("left behind", f"the process {words}") for words in await asyncio.to_thread(_processes, world)]
    for name, ttl in await world.redis_keys():
        if name.startswith(_BUSY) or name in _EMPTY or "conversation" in name:
            findings.append(Finding("left behind", f"the key {name}"))
        elif ttl == -1 and name not in _BOUND:
            findings.append(Finding("left behind", f"the key {name}, without an end"))
    return findings


def _machines(world: World) -> list[str]:
    return [machine.id for machine in world.machines()] + (list(world.e2b.boxes) if world.e2b else [])


def _age(world: World) -> None:
    """An hour passes for the machines."""
    for machine in world.machines():
        if (machine.folder / "machine.json").exists():
            record = machine.load()
            machine.save(replace(record, created_at=record.created_at - timedelta(hours=1)))
    for box in world.e2b.boxes.values() if world.e2b else ():
        box.started_at -= timedelta(hours=1)


def _processes(world: World) -> list[str]:
    """What still runs of any sandbox of this world."""
    mark = f"{MARK}={world.sandbox_root}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ, words = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in environ:
            found.append(f"{entry.name} {words.replace(bytes(1), b' ').decode(errors='replace')[-80:]}")
    return found
