"""Who may have the bot work, who is told what, and who is not even heard."""

from pathlib import Path

import pytest

from app.core.run.run import Conclusion
from tests.bot import REPO, Bot, deployed
from tests.e2e.turns import MEND, plan, shell

NOTHING = plan(summary="The greeting is spelled as it should be.")
"""A run that ends after its plan: enough to see that somebody may."""


async def test_who_triages_and_labels_is_told_who_can(bot: Bot) -> None:
    bot.github.grant(REPO, "triager", "triage")
    issue = await bot.issue()
    await bot.label(issue, by="triager")
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SKIPPED
    (comment,) = bot.comments(issue)
    assert "has the role `triage` here, but controlling runs takes one of: write, maintain, admin" in comment.body
    assert "apply the label or comment `/vibecode`" in comment.body
    assert "`roles` and `people` in `.github/vibecode.yml` set who can" in comment.body
    assert [reaction.content for reaction in issue.reactions] == ["eyes", "confused"]
    assert bot.model.requests == []


async def test_the_file_can_let_people_of_other_roles_ask(bot: Bot) -> None:
    await bot.file("roles: [triage, admin]\n")
    bot.github.grant(REPO, "triager", "triage")
    bot.model.says(NOTHING)
    issue = await bot.issue()
    assert (await bot.comment(issue, "/vibecode", by="triager")).conclusion is Conclusion.NEUTRAL
    assert (await bot.comment(issue, "/vibecode", by="maintainer")).conclusion is Conclusion.SKIPPED


async def test_the_file_says_who_may_stop_as_well(bot: Bot) -> None:
    await bot.file("roles: [maintain]\n")
    bot.github.grant(REPO, "writer", "write")
    bot.model.says(plan("Mend the greeting"), shell("sleep 60"))
    issue = await bot.issue()
    at_work = await bot.say(issue, "/vibecode")
    await bot.at_work_on("sleep 60")
    refused = await bot.comment(issue, "/vibecode stop", by="writer")
    assert refused.conclusion is Conclusion.SKIPPED
    assert (await bot.comment(issue, "/vibecode stop")).conclusion is Conclusion.NEUTRAL
    assert (await bot.settled(at_work)).conclusion is Conclusion.CANCELLED


async def test_people_that_the_file_names_may_ask_whatever_their_role_is(bot: Bot) -> None:
    await bot.file("people: [Newcomer]\n")
    bot.model.says(*MEND)
    issue = await bot.issue()
    assert (await bot.comment(issue, "/vibecode", by="newcomer")).conclusion is Conclusion.SUCCESS
    assert (await bot.comment(issue, "/vibecode", by="somebody")).conclusion is Conclusion.SKIPPED


async def test_a_bot_is_not_heard(bot: Bot) -> None:
    bot.github.user("renovate[bot]", bot=True)
    issue = await bot.issue()
    said, delivery = await bot.github.comment(REPO, issue.number, "/vibecode", by="renovate[bot]")

    assert "ignored" in delivery.response
    assert await bot.work() == []
    assert said.reactions == []


async def test_a_bot_that_the_file_names_may_ask(bot: Bot) -> None:
    await bot.file('bots: ["renovate[bot]"]\n')
    bot.github.user("renovate[bot]", bot=True)
    bot.model.says(NOTHING, NOTHING)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode")  # by this the file was read

    assert (await bot.comment(issue, "/vibecode", by="Renovate[bot]")).conclusion is Conclusion.NEUTRAL


async def test_a_bot_that_the_file_names_no_more_hears_nothing(bot: Bot) -> None:
    await bot.file('bots: ["renovate[bot]"]\n')
    bot.github.user("renovate[bot]", bot=True)
    bot.model.says(NOTHING)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode")
    await bot.file("bots: []\n")
    said, _ = await bot.github.comment(REPO, issue.number, "/vibecode", by="renovate[bot]")
    run = (await bot.work())[-1]

    assert run.conclusion is Conclusion.SKIPPED
    assert said.reactions == []
    assert len(bot.comments(issue)) == 1


async def test_the_app_itself_is_never_heard(bot: Bot) -> None:
    await bot.file('bots: ["vibecoder[bot]"]\n')
    bot.model.says(NOTHING)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode")
    said, _ = await bot.github.comment(REPO, issue.number, "/vibecode", by="vibecoder[bot]")
    run = (await bot.work())[-1]

    assert run.conclusion is Conclusion.SKIPPED
    assert said.reactions == []
    assert bot.comments(issue)[1:] == [said]


async def test_a_repository_may_have_a_label_of_its_own(bot: Bot) -> None:
    await bot.file("label: robot\n")
    await bot.swept()
    bot.model.says(NOTHING, NOTHING)
    first, second = await bot.issue(), await bot.issue("Another")
    await bot.label(first)
    await bot.work()
    assert "The label that starts a run here is `robot`" in bot.comments(first)[0].body

    await bot.label(second, "Robot")
    assert (await bot.work())[-1].conclusion is Conclusion.NEUTRAL
    await bot.label(first, "robot:plan")
    assert (await bot.work())[-1].job.mode == "plan"
    assert "ignored" in (await bot.label(first, "bug")).response


async def test_a_lost_label_of_the_repositorys_own_is_found(bot: Bot) -> None:
    await bot.file("label: robot\n")
    bot.model.says(NOTHING)
    issue = await bot.issue()
    bot.github.loses()
    await bot.label(issue, "robot")
    await bot.swept()
    assert (await bot.work())[0].conclusion is Conclusion.NEUTRAL


async def test_a_loop_is_broken_with_one_word(tmp_path: Path) -> None:
    async with deployed(tmp_path, THREAD_RUNS_PER_HOUR="2") as bot:
        bot.model.says(NOTHING, NOTHING, NOTHING)
        issue, other = await bot.issue(), await bot.issue("Another")
        ends = [(await bot.comment(issue, "/vibecode")).conclusion for _ in range(4)]

        assert ends == [Conclusion.NEUTRAL, Conclusion.NEUTRAL, Conclusion.SKIPPED, Conclusion.SKIPPED]
        told = [each.body for each in bot.comments(issue) if "looks like a loop" in each.body]
        assert len(told) == 1
        assert "2 runs were started here within an hour" in told[0]
        asked = bot.github.comments(REPO, issue.number)
        assert [reaction.content for reaction in asked[-1].reactions] == ["eyes", "confused"]
        assert (await bot.comment(other, "/vibecode")).conclusion is Conclusion.NEUTRAL
        assert "`/vibecode approve`" in (await bot.comment(issue, "/vibecode help")).summary


async def test_a_repository_starts_only_so_many_runs_within_an_hour(tmp_path: Path) -> None:
    async with deployed(tmp_path, RUNS_PER_HOUR="2") as bot:
        bot.model.says(NOTHING, NOTHING)
        issues = [await bot.issue(f"Number {number}") for number in range(4)]
        ends = [(await bot.comment(issue, "/vibecode")).conclusion for issue in issues]

        assert ends == [Conclusion.NEUTRAL, Conclusion.NEUTRAL, Conclusion.SKIPPED, Conclusion.SKIPPED]
        assert [len(bot.comments(issue)) for issue in issues] == [1, 1, 1, 0]


@pytest.mark.parametrize(("happens", "words"), [("suspend", "suspended"), ("uninstall", "uninstalled")])
async def test_a_run_at_work_ends_when_the_app_is_taken_away(bot: Bot, happens: str, words: str) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 60"))
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 60")
    delivery = await getattr(bot.github, happens)("acme")
    (run,) = await bot.work()

    assert "told" in delivery.response
    assert run.conclusion is Conclusion.CANCELLED
    assert run.message == f"The App was {words}."
    assert await bot.ports.sandboxes.list() == ()


@pytest.mark.parametrize("happens", ["suspend", "uninstall"])
async def test_a_run_that_waits_finds_out_that_the_app_was_taken_away(bot: Bot, happens: str) -> None:
    issue = await bot.issue()
    await bot.stop_worker()
    await bot.label(issue)
    bot.github.loses()
    await getattr(bot.github, happens)("acme")
    await bot.start_worker()
    (run,) = await bot.work()

    assert run.conclusion in {Conclusion.FAILURE, Conclusion.SKIPPED, Conclusion.CANCELLED}
    assert run.waits == 0
    assert bot.comments(issue) == []
