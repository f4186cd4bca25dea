"""Every trigger ends in exactly one message: how it ended, and what can be said now."""

from pathlib import Path

import pytest

from app.core.run.run import Conclusion, Run
from app.demo.github.state.records import Comment, Issue
from app.demo.model.scripted import Turn, say
from tests.bot import REPO, Bot, deployed
from tests.e2e.turns import MEND, edit, finish, plan, shell, write

DONE, UNDONE = ["eyes", "rocket"], ["eyes", "confused"]
NOTHING = plan(summary="The greeting is spelled as it should be.")


async def asked(bot: Bot, issue: Issue, words: str, *, by: str = "maintainer") -> tuple[Run, list[str]]:
    """How a command ended, in a run and in the reactions to it."""
    run = await bot.comment(issue, words, by=by)
    comment = next(each for each in bot.github.comments(REPO, issue.number) if each.id == run.job.comment_id)
    return run, [reaction.content for reaction in comment.reactions]


def only(bot: Bot, issue: Issue) -> Comment:
    (comment,) = bot.comments(issue)
    return comment


async def conclusion_in_api(bot: Bot, run: Run) -> str:
    return str((await bot.api.get(f"/api/jobs/{run.id}")).json()["conclusion"])


@pytest.mark.parametrize(
    ("turns", "end", "headline", "reactions"),
    [
        (MEND, "success", "✅ Done · #2", DONE),
        ((NOTHING,), "neutral", "💬 Nothing to do", DONE),
        ((plan("Look"), finish("All is well as it is.")), "neutral", "💬 Nothing to do", DONE),
        (
            (plan("Mend it"), edit("helo", "hello"), write(".github/a.yml", "on: push\n"), finish("Mended.")),
            "success",
            "Not published because these paths are protected: `.github/a.yml`",
            DONE,
        ),
        (
            (plan("Mend it"), edit("helo, {name}", "hi"), finish("Mended."), finish("Still.")),
            "failure",
            "**Tests fail.**",
            UNDONE,
        ),
        ((*[say("I would rather talk.")] * 9,), "failure", "❌ Failed", UNDONE),
    ],
    ids=["done", "nothing", "no change", "held back", "red", "model"],
)
async def test_a_run_of_work_ends_in_one_message(
    bot: Bot, turns: tuple[Turn, ...], end: str, headline: str, reactions: list[str]
) -> None:
    bot.model.says(*turns)
    issue = await bot.issue()
    run, given = await asked(bot, issue, "/vibecode")

    assert headline in only(bot, issue).body
    assert given == reactions
    assert await conclusion_in_api(bot, run) == end


@pytest.mark.parametrize(
    ("words", "by", "text"),
    [
        ("/vibecode", "outsider", "controlling runs takes one of: write, maintain, admin"),
        ("/vibecode stpo", "maintainer", "Did you mean `/vibecode stop`?"),
        ("/vibecode retry", "maintainer", "There is no run to resume here"),
        ("/vibecode approve", "maintainer", "There is no plan waiting for approval"),
        ("/vibecode stop", "maintainer", "Nothing is running here."),
        ("/vibecode --base nowhere", "maintainer", "nowhere"),
    ],
)
async def test_what_is_refused_is_told_why_once(bot: Bot, words: str, by: str, text: str) -> None:
    issue = await bot.issue()
    run, given = await asked(bot, issue, words, by=by)

    assert text in only(bot, issue).body
    assert given == UNDONE
    assert await conclusion_in_api(bot, run) in {"skipped", "failure"}
    assert bot.model.requests == []


async def test_a_closed_issue_is_to_be_reopened(bot: Bot) -> None:
    issue = await bot.issue()
    issue.put_state("closed")
    run, given = await asked(bot, issue, "/vibecode")

    assert "This issue is closed. Reopen it, then comment the command again." in only(bot, issue).body
    assert (given, run.conclusion) == (UNDONE, Conclusion.SKIPPED)


async def test_a_set_up_that_fails_is_told_with_its_last_lines(bot: Bot) -> None:
    await bot.file('setup: ["echo the compiler is missing; exit 3"]\n')
    issue = await bot.issue()
    run, given = await asked(bot, issue, "/vibecode")

    body = only(bot, issue).body
    assert "ended with exit code 3. (in the stage `clone`)" in body
    assert "the compiler is missing" in body
    assert (given, await conclusion_in_api(bot, run)) == (UNDONE, "failure")


async def test_over_budget_says_how_to_go_on(tmp_path: Path) -> None:
    async with deployed(tmp_path, MAX_TURNS="2") as bot:
        bot.model.says(plan("Mend it"), shell("true"), shell("true"))
        issue = await bot.issue()
        run, given = await asked(bot, issue, "/vibecode")

        assert "⌛ Budget exceeded" in only(bot, issue).body
        assert "`/vibecode retry` resumes it" in only(bot, issue).body
        assert (given, await conclusion_in_api(bot, run)) == (UNDONE, "timed_out")


async def test_the_same_person_asking_again_is_told_in_the_same_comment(bot: Bot) -> None:
    bot.model.says(NOTHING, *MEND)
    issue = await bot.issue()
    await asked(bot, issue, "/vibecode")
    await asked(bot, issue, "/vibecode now really")

    body = only(bot, issue).body
    assert "### ✅ Done · #2" in body
    assert "Earlier: 💬 Nothing to do" in body


async def test_another_person_is_told_in_another_comment(bot: Bot) -> None:
    bot.github.grant(REPO, "ada", "write")
    bot.model.says(NOTHING, NOTHING)
    issue = await bot.issue()
    await asked(bot, issue, "/vibecode")
    await asked(bot, issue, "/vibecode", by="ada")
    assert len(bot.comments(issue)) == 2


async def test_answers_do_not_pile_up_and_leave_the_work_alone(bot: Bot) -> None:
    bot.model.says(NOTHING)
    issue = await bot.issue()
    await asked(bot, issue, "/vibecode")
    for words in ("/vibecode help", "/vibecode stpo", "/vibecode retry", "/vibecode status"):
        await asked(bot, issue, words)

    work, answer = bot.comments(issue)
    assert "💬 Nothing to do" in work.body
    assert "The last run made no changes." in answer.body


async def test_no_second_pull_request_is_opened_beside_one_that_is_open(bot: Bot) -> None:
    bot.model.says(*MEND, NOTHING)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.work()
    run, given = await asked(bot, issue, "/vibecode")

    assert (given, run.conclusion) == (UNDONE, Conclusion.SKIPPED)
    done, refused = bot.comments(issue)
    assert "✅ Done · #2" in done.body
    assert "#2 is already open for this issue. Comment `/vibecode …` there to request changes" in refused.body
    assert len(bot.pull_requests()) == 1

    bot.pull_requests()[0].put_state("closed")
    assert (await asked(bot, issue, "/vibecode"))[0].conclusion is Conclusion.NEUTRAL


async def test_a_pull_request_of_somebody_else_is_left_alone(bot: Bot) -> None:
    await bot.github.push(REPO, "feature", {"a.txt": "a"}, message="Add a", by="acme")
    pull = await bot.github.pulls.open(REPO, "feature", title="Add a", by="acme")
    run, given = await asked(bot, pull, "/vibecode mend it")

    assert "was not opened by me. I only follow up on my own pull requests." in only(bot, pull).body
    assert (given, run.conclusion) == (UNDONE, Conclusion.SKIPPED)


async def test_a_pull_request_from_a_fork_is_left_alone(bot: Bot) -> None:
    fork = await bot.github.pulls.fork(REPO, by="outsider")
    await bot.github.push(fork, "feature", {"a.txt": "a"}, message="Add a", by="outsider")
    pull = await bot.github.pulls.open(REPO, "outsider:feature", title="Add a", by="outsider")
    run, given = await asked(bot, pull, "/vibecode mend it")

    assert "comes from a fork, which I can't push to" in only(bot, pull).body
    assert (given, run.conclusion) == (UNDONE, Conclusion.SKIPPED)
