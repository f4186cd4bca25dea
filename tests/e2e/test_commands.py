"""What is said in a comment, as people type it, and what the bot makes of it."""

import pytest

from app.core.run.run import Conclusion
from app.demo.github.state.records import Issue, PullRequest
from tests.bot import REPO, Bot
from tests.e2e.turns import MEND, edit, finish, plan, shell


def reactions(bot: Bot, thread: Issue | PullRequest, *, by: str = "maintainer") -> list[list[str]]:
    """The bot's reactions to each comment of a person."""
    said = bot.github.comments(REPO, thread.number)
    return [[reaction.content for reaction in comment.reactions] for comment in said if comment.author == by]


async def test_options_say_from_where_by_whom_and_how(bot: Bot) -> None:
    await bot.github.push(REPO, "dev", {"dev.txt": "dev\n"}, message="Begin", by="acme")
    bot.model.says(*MEND)
    issue = await bot.issue()
    run = await bot.comment(
        issue, "Thanks!\r\n\r\n/vibecode --base dev --model gpt-5 --draft fix it\r\nand test it\r\n"
    )

    assert run.conclusion is Conclusion.SUCCESS
    (pull,) = bot.pull_requests()
    assert (pull.base, pull.is_draft) == ("dev", True)
    assert {seen.model for seen in bot.model.requests} == {"gpt-5"}
    assert "fix it\\nand test it" in str(bot.model.requests[0].body)
    assert reactions(bot, issue) == [["eyes", "rocket"]]


async def test_a_plan_takes_the_options_too_and_they_last(bot: Bot) -> None:
    await bot.github.push(REPO, "dev", {"dev.txt": "dev\n"}, message="Begin", by="acme")
    bot.model.says(*MEND)
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan --base dev --draft mind the spelling")
    assert planned.conclusion is Conclusion.ACTION_REQUIRED
    await bot.comment(issue, "/VibeCode Approve, please! 🙏")

    (pull,) = bot.pull_requests()
    assert (pull.base, pull.is_draft) == ("dev", True)
    assert reactions(bot, issue) == [["eyes", "rocket"], ["eyes", "rocket"]]


async def test_a_base_that_is_not_there_is_said(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode --base nowhere")
    assert run.conclusion in {Conclusion.SKIPPED, Conclusion.FAILURE}
    assert "nowhere" in bot.comments(issue)[0].body
    assert reactions(bot, issue) == [["eyes", "confused"]]


async def test_help_is_for_everybody_and_says_what_can_be_said(bot: Bot) -> None:
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode help", by="outsider")
    (comment,) = bot.comments(issue)
    for words in ("`/vibecode retry`", "`/vibecode budget +2`", "`--base BRANCH`: start from this branch"):
        assert words in comment.body
    assert reactions(bot, issue, by="outsider") == [["eyes", "rocket"]]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("/vibecode stpo", "Unknown command `stpo`. Did you mean `/vibecode stop`?"),
        ("/vibecode budget 2", "Give the number of dollars to add, at most 1,000: `/vibecode budget +2` or `+2.50`."),
        ("/vibecode --branch dev fix it", "Unknown option `--branch`. Did you mean `--base`?"),
        ("/vibecode stop the animation", "`/vibecode stop` must be on a line of its own."),
        ("/vibecode 👍", "Did you mean `/vibecode approve`?"),
        ("/vibecode fix it\n\n/vibecode stop", "This comment has more than one command, so none was run."),
    ],
)
async def test_a_slip_is_answered_with_what_was_meant(bot: Bot, said: str, answer: str) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, said)
    (comment,) = bot.comments(issue)
    assert answer in comment.body
    assert "| `/vibecode help` | show these commands |" in comment.body
    assert (run.conclusion, run.stages, bot.model.requests) == (Conclusion.SKIPPED, (), [])
    assert reactions(bot, issue) == [["eyes", "confused"]]


async def test_what_is_quoted_shown_hidden_or_edited_starts_nothing(bot: Bot) -> None:
    issue = await bot.issue()
    for said in (
        "> /vibecode stop\n\nWhy that?",
        "Say `/vibecode retry` then.",
        "Like so:\n\n```\n/vibecode\n```\n",
        "    /vibecode\n",
        "~~~sh\n/vibecode plan\n",
        "<!--\n/vibecode approve\n-->\nDone.",
        "<details><summary>Log</summary>\n\n<pre>\n/vibecode\n</pre></details>",
        "Ask the bot: /vibecode fix it",
        "/vibecoder is nice",
        "x" * 60_000 + " /vibecode",
    ):
        comment, delivery = await bot.github.comment(REPO, issue.number, said, by="maintainer")
        assert delivery.status_code == 200, said
        edited = await bot.github.edit_comment(REPO, comment, "/vibecode", by="maintainer")
        assert edited.status_code == 200

    assert await bot.work() == []
    assert bot.comments(issue) == []


async def test_a_command_below_sixty_thousand_characters_is_found(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "A `log` line > with <!-- all --> of it\n" * 1_500 + "\n/vibecode status")
    assert run.failure is not None
    assert run.failure.message == "There are no runs here yet. `/vibecode` starts one."


async def test_the_pull_request_is_a_place_to_say_it_too(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode")
    (pull,) = bot.pull_requests()
    asked = await bot.settled(await bot.say(pull, "/vibecode status"))
    helped = await bot.settled(await bot.say(pull, "/vibecode help"))
    assert asked.summary == f"The last run finished: #{pull.number}."
    assert "`/vibecode budget +2`" in helped.summary

    bot.model.says(plan("Greet louder"), shell("sleep 600"))
    follow_up = await bot.say(pull, "/vibecode greet louder")
    await bot.at_work_on("sleep 600")
    await bot.settled(await bot.say(pull, "/vibecode stop"))
    assert (await bot.settled(follow_up)).conclusion is Conclusion.CANCELLED

    bot.model.says(edit("hello", "HELLO"), edit('"hello, Ada"', '"HELLO, Ada"', "tests/test_spelling.py"), finish())
    again = await bot.settled(await bot.say(pull, "/vibecode retry"))
    assert again.conclusion is Conclusion.SUCCESS
    assert len(bot.pull_requests()) == 1
    # What the stop left undone the retry settled.
    assert (
        reactions(bot, pull) == [["eyes", "rocket"]] * 2 + [["eyes", "confused", "rocket"]] + [["eyes", "rocket"]] * 2
    )
