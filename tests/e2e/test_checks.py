"""A check fails on the bot's pull request: told as people on GitHub see it."""

from app.core.job import Source
from app.core.run import Conclusion
from app.demo.ci import Build, Outcome
from app.demo.model import Turn
from app.demo.world import PullRequest
from tests.bot import REPO, Bot
from tests.e2e.turns import MEND, edit, finish, plan

FAILED = Outcome(
    "failure", "tests/test_greet.py:9: in test_it_greets\nE   AssertionError: no full stop\n##[error]Exit 1"
)
PASSED = Outcome("success", "1 passed")


def wants_full_stop(build: Build) -> Outcome:
    return PASSED if b"{name}." in build.files["greet.py"] or build.branch == "main" else FAILED


FULL_STOP = (
    plan("End with a full stop", title="Mend the greeting, with a full stop"),
    edit("hello, {name}", "hello, {name}."),
    edit('"hello, Ada"', '"hello, Ada."', "tests/test_spelling.py"),
    finish("There is a full stop now."),
)


async def opened(bot: Bot, *then: Turn) -> PullRequest:
    """The bot mends the greeting, and its pull request is there; what the model says `then` is about the checks."""
    bot.model.says(*MEND, *then)
    await bot.label(await bot.issue())
    await bot.answered(Source.LABEL)
    (pull,) = bot.pull_requests()
    return pull


def said(bot: Bot, pull: PullRequest) -> str:
    """The bot's one comment on the pull request."""
    (comment,) = bot.comments(pull)
    return comment.body


async def test_what_fails_on_base_too_is_said_and_left_alone(bot: Bot) -> None:
    await bot.start_ci(lambda build: FAILED)
    pull = await opened(bot)
    run = await bot.answered(Source.CHECKS)

    assert run.conclusion is Conclusion.NEUTRAL
    assert "`tests` failed, but on `main` too, so I leave it." in said(bot, pull)
    assert run.cost.turns == 0


async def test_what_passes_when_run_again_is_flaky(bot: Bot) -> None:
    await bot.start_ci(lambda build: PASSED if build.branch == "main" or build.attempt > 1 else FAILED)
    pull = await opened(bot)
    run = await bot.answered(Source.CHECKS)

    assert run.conclusion is Conclusion.NEUTRAL
    assert "`tests` failed, then passed when run again on the same commit" in said(bot, pull)
    assert (run.cost.turns, run.lost_workers, run.waits) == (0, 0, 0)
    assert len(await bot.github.log(REPO, f"main..{pull.head}")) == 1


async def test_what_fails_twice_is_mended_on_the_same_pull_request(bot: Bot) -> None:
    await bot.start_ci(wants_full_stop)
    pull = await opened(bot, *FULL_STOP)
    run = await bot.answered(Source.CHECKS)

    assert run.conclusion is Conclusion.SUCCESS
    assert [each.number for each in bot.pull_requests()] == [pull.number]
    assert "failed on" in said(bot, pull)
    assert "also when run again" in said(bot, pull)
    assert "[x] End with a full stop" in said(bot, pull)
    assert pull.title == "Mend the greeting, with a full stop"
    assert "Closes #1" in pull.body
    prompt = str(bot.model.requests[len(MEND)].body)
    assert "AssertionError: no full stop" in prompt
