"""Who waits, and for what: one run of a thread at a time, so many of a repository, nobody kept out by others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from app.core.conversation import AssistantMessage
from app.core.run.job import Source, job_id
from app.core.run.run import Conclusion, Run, Status
from app.demo.github.state.records import Issue
from app.demo.model.scripted import Seen, Turn
from tests.bot import GREETER, REPO, SETTLE_S, Bot, deployed
from tests.e2e.turns import edit, finish, plan, shell

OTHER = "bystanders/greeter"
UNTIL_TOLD = "until rm go 2> /dev/null; do sleep 0.05; done"


def mend_when_told(seen: Seen) -> Turn:
    """What the model says in each of many runs: the work waits in a command until it is told."""
    if "plan" in seen.tools:
        return plan("Say hello with two l")
    said = sum(isinstance(message, AssistantMessage) for message in seen.conversation)
    return (shell(UNTIL_TOLD), edit("helo", "hello"), finish("Mended."))[min(said, 2)]


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with deployed(tmp_path, times=10, RUNS_PER_REPO="2") as bot:
        bot.model.answers(mend_when_told)
        yield bot


async def say(bot: Bot, issue: Issue, text: str, *, repo: str = REPO) -> str:
    """Comment; the id of the run that this asks for."""
    comment, _ = await bot.github.comment(repo, issue.number, text, by="maintainer")
    return job_id(repo, issue.number, Source.COMMENT, str(comment.id))


async def at_work(bot: Bot, run_id: str) -> Run:
    """Wait until the run is in the command that waits to be told."""
    async with asyncio.timeout(SETTLE_S), aclosing(bot.records.store.follow(run_id)) as runs:
        async for run in runs:
            if any(UNTIL_TOLD in activity.text for activity in run.activities):
                return run
            assert run.status is not Status.COMPLETED, run
    raise AssertionError(f"There is no run {run_id}.")


async def let_go(bot: Bot, run_id: str) -> Run:
    """Let a run in progress end, and wait for that."""
    run = await at_work(bot, run_id)
    await (await bot.ports.sandboxes.reconnect(run.sandbox_id)).write("go", b"")
    return await bot.settled(run_id)


async def reads(bot: Bot, issue: Issue, *words: str) -> None:
    """Wait until the bot's newest comment there holds these words."""
    async with asyncio.timeout(SETTLE_S):
        while not all(each in newest(bot, issue) for each in words):  # noqa: ASYNC110 -- GitHub tells nobody
            await asyncio.sleep(0.02)


def newest(bot: Bot, issue: Issue) -> str:
    comments = bot.comments(issue)
    return comments[-1].body if comments else ""


async def test_the_second_of_a_thread_waits_says_so_and_goes_on_in_the_same_comment(bot: Bot) -> None:
    issue = await bot.issue()
    first = await say(bot, issue, "/vibecode")
    await at_work(bot, first)
    second = await say(bot, issue, "/vibecode")
    await reads(bot, issue, "🕐 Queued", "position 1", "another run is in progress here")
    shown = bot.comments(issue)
    assert len(shown) == 2
    progress = (await bot.api.get(f"/api/jobs/{second}/progress")).json()
    assert progress["status"] == "queued"
    assert progress["queue"] == {"position": 1, "reason": "thread"}
    assert progress["message"] == "Queued at position 1: another run is in progress here."

    one = await let_go(bot, first)
    two = await bot.settled(second)
    assert "is already open for this issue" in newest(bot, issue)

    assert one.conclusion is Conclusion.SUCCESS
    assert one.ended_at is not None
    assert two.started_at is not None
    assert two.started_at >= one.ended_at
    assert [comment.id for comment in bot.comments(issue)] == [comment.id for comment in shown]
    assert two.comment_id == shown[-1].id
    assert "Queued" not in newest(bot, issue)
    assert (await bot.api.get(f"/api/jobs/{second}/progress")).json()["queue"] is None


async def test_what_the_run_at_work_is_about_to_hear_takes_no_comment_of_its_own(bot: Bot) -> None:
    issue = await bot.issue()
    first = await say(bot, issue, "/vibecode")
    await at_work(bot, first)
    more = await say(bot, issue, "/vibecode and mind the tests")
    last = await say(bot, issue, "/vibecode")
    await reads(bot, issue, "🕐 Queued")
    assert len(bot.comments(issue)) == 2

    one = await let_go(bot, first)
    assert [heard.text for heard in one.heard] == ["and mind the tests"]
    assert (await bot.settled(more)).conclusion is Conclusion.NEUTRAL
    await bot.settled(last)
    assert len(bot.comments(issue)) == 2


async def test_those_over_a_repositorys_cap_wait_in_order_and_move_up(bot: Bot) -> None:
    issues = [await bot.issue(f"Typo {number}") for number in range(4)]
    runs = [await say(bot, issue, "/vibecode") for issue in issues]
    await at_work(bot, runs[0])
    await at_work(bot, runs[1])
    why = "acme/greeter has 2 runs in progress, which is its limit"
    await reads(bot, issues[2], "position 1", why)
    await reads(bot, issues[3], "position 2", why)

    await let_go(bot, runs[1])
    await at_work(bot, runs[2])
    await reads(bot, issues[3], "position 1", why)
    await reads(bot, issues[2], "Working")

    for run_id in (runs[0], runs[2], runs[3]):
        assert (await let_go(bot, run_id)).conclusion is Conclusion.SUCCESS
    assert [len(bot.comments(issue)) for issue in issues] == [1, 1, 1, 1]


async def test_a_busy_installation_does_not_keep_another_out(tmp_path: Path) -> None:
    async with deployed(tmp_path, times=10, WORKER_RUNS="1") as bot:
        bot.model.answers(mend_when_told)
        await bot.github.repo(OTHER, files=GREETER)
        bot.github.grant(OTHER, "maintainer", "maintain")
        busy = [await say(bot, await bot.issue(f"Typo {number}"), "/vibecode") for number in range(3)]
        await at_work(bot, busy[0])
        theirs = await bot.github.issue(OTHER, title="Typo", body="It says helo.", author="maintainer")
        other = await say(bot, theirs, "/vibecode", repo=OTHER)

        await let_go(bot, busy[0])
        await let_go(bot, other)
        waits = [await bot.records.store.load(run_id) for run_id in busy[1:]]
        assert [run.conclusion for run in waits if run is not None] == [None, None]
        for run_id in busy[1:]:
            await let_go(bot, run_id)


async def test_a_stop_goes_through_while_every_slot_is_taken(tmp_path: Path) -> None:
    async with deployed(tmp_path, times=10, WORKER_RUNS="1") as bot:
        bot.model.answers(mend_when_told)
        issue, behind = await bot.issue(), await bot.issue("Another typo")
        first = await say(bot, issue, "/vibecode")
        await at_work(bot, first)
        second = await say(bot, behind, "/vibecode")
        await reads(bot, behind, "position 1", "all workers are busy")

        await bot.settled(await say(bot, behind, "/vibecode stop"))
        stopped = await bot.settled(second)
        assert stopped.conclusion is Conclusion.CANCELLED
        assert stopped.comment_id == bot.comments(behind)[0].id, "in the comment that showed its place"

        await bot.settled(await say(bot, issue, "/vibecode stop"))
        assert (await bot.settled(first)).conclusion is Conclusion.CANCELLED


async def test_a_stranger_does_not_get_the_bot_to_write_while_it_waits(bot: Bot) -> None:
    issue = await bot.issue()
    first = await say(bot, issue, "/vibecode")
    await at_work(bot, first)
    comment, _ = await bot.github.comment(REPO, issue.number, "/vibecode", by="stranger")
    strangers = job_id(REPO, issue.number, Source.COMMENT, str(comment.id))
    third = await say(bot, issue, "/vibecode")
    await reads(bot, issue, "position 2", "another run is in progress here")

    assert len(bot.comments(issue)) == 2
    await let_go(bot, first)
    assert (await bot.settled(strangers)).conclusion is Conclusion.SKIPPED
    await bot.settled(third)
