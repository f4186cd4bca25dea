"""What breaks in the middle goes on where it stopped; what never arrived is found."""

from datetime import timedelta
from pathlib import Path

from app.core.run.run import Conclusion
from tests.bot import REPO, Bot, deployed
from tests.e2e.turns import MEND, TEST_IT, edit, finish, plan, shell, write


async def test_a_run_that_a_deploy_interrupts_goes_on_in_the_same_conversation(bot: Bot) -> None:
    turns = (
        plan("Say hello with two l"),
        edit("helo", "hello"),
        shell("sleep 2"),
        write("tests/test_spelling.py", TEST_IT),
        finish("The greeting is spelled right."),
    )
    bot.model.says(*turns)
    issue = await bot.issue()
    await bot.label(issue)
    begun = await bot.at_work_on("sleep 2")
    await bot.stop_worker()
    await bot.start_worker()
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert (run.attempt, run.handed_back, run.lost_workers) == (2, 1, 0)
    assert run.sandbox_id == begun.sandbox_id
    assert len(bot.model.requests) == len(turns), "no turn was paid twice"
    assert len(bot.pull_requests()) == len(bot.comments(issue)) == 1


async def test_a_pull_request_waits_for_github_to_come_back(bot: Bot) -> None:
    bot.model.says(*MEND)
    bot.github.fails("POST", r"/pulls$", status=502, times=1)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert run.lost_workers == 0
    assert len(bot.model.requests) == len(MEND)
    assert len(bot.pull_requests()) == len(bot.comments(issue)) == 1


async def test_last_words_are_said_once_github_is_back(bot: Bot) -> None:
    issue = await bot.issue()
    fault = bot.github.fails("POST", r"/issues/\d+/comments$", status=503, times=1)
    run = await bot.comment(issue, "/vibecode help")

    assert fault.times == 0
    assert run.conclusion is Conclusion.NEUTRAL
    assert len(bot.comments(issue)) == 1


async def test_last_words_of_a_stopped_run_are_said_once_github_is_back(bot: Bot) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 60"))
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 60")
    (story,) = bot.comments(issue)
    fault = bot.github.fails("PATCH", rf"/issues/comments/{story.id}$", status=503, times=4)
    await bot.comment(issue, "/vibecode stop")
    run = (await bot.work())[0]

    assert fault.times == 0
    assert (run.conclusion, run.lost_workers, run.waits) == (Conclusion.CANCELLED, 0, 1)
    assert any("Stopped by maintainer" in comment.body for comment in bot.comments(issue))


async def test_a_delivery_that_never_arrived_is_asked_for_again(tmp_path: Path) -> None:
    async with deployed(tmp_path, is_worker_up=False) as bot:
        bot.model.says(*MEND)
        issue = await bot.issue()
        address, bot.github.webhook_url = bot.github.webhook_url, "http://127.0.0.1:9/webhook"
        await bot.label(issue)
        bot.github.webhook_url = address
        await bot.start_worker()
        await bot.at_work_on("Published")
        (run,) = await bot.work()

        assert run.job.delivery_id, "it came by delivery, not by the sweep"
        assert len(bot.pull_requests()) == 1


async def test_a_label_that_nobody_told_us_of_is_found(tmp_path: Path) -> None:
    async with deployed(tmp_path, is_worker_up=False) as bot:
        bot.model.says(*MEND)
        issue = await bot.issue()
        address, bot.github.webhook_url = bot.github.webhook_url, ""
        await bot.label(issue)
        bot.github.webhook_url = address
        await bot.start_worker()
        await bot.at_work_on("Published")
        (run,) = await bot.work()

        assert run.conclusion is Conclusion.SUCCESS
        assert run.job.sender.login == "maintainer"
        assert bot.pull_requests()[0].body.count(f"Closes #{issue.number}") == 1


async def test_a_persons_branch_of_the_runs_name_is_left_alone(bot: Bot) -> None:
    bot.model.says(*MEND[:1], shell("sleep 2"), *MEND[1:])
    issue = await bot.issue()
    await bot.label(issue)
    wanted = (await bot.at_work_on("sleep 2")).branch
    theirs = await bot.github.push(REPO, wanted, {"NOTES.md": "Mine.\n"}, message="Note", by="maintainer")
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert run.branch == f"{wanted}-2"
    assert await bot.github.head(REPO, wanted) == theirs
    assert [pull.head for pull in bot.pull_requests()] == [run.branch]
    assert [commit.author.name for commit in await bot.github.log(REPO, f"main..{run.branch}")] == ["vibecoder[bot]"]


async def test_a_forgotten_run_is_not_done_again_when_its_pull_request_is_there(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.work()
    await bot.stop_worker()
    await bot.forget_everything()
    await bot.start_worker()
    await bot.swept()

    assert (await bot.records.store.list()).runs == ()
    assert len(bot.pull_requests()) == 1
    assert await bot.github.head(REPO, bot.pull_requests()[0].head) is not None


async def test_work_that_was_begun_before_everything_was_forgotten_is_gone_on_with(bot: Bot) -> None:
    bot.model.says(
        plan("Say hello with two l", "Say so in the README"),
        edit("helo", "hello"),
        finish("The greeting is spelled right."),
        shell("sleep 60"),
        plan("Say so in the README"),
        edit("Says hello.", "Says hello, spelled right.", "README.md"),
        finish("Written down."),
    )
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 60")
    await bot.forget_everything()
    await bot.stop_worker()
    await bot.start_worker()
    await bot.swept()
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    (pull,) = bot.pull_requests()
    commits = await bot.github.log(REPO, f"main..{pull.head}")
    assert [commit.message.splitlines()[0] for commit in reversed(commits)] == [
        "Say hello with two l",
        "Say so in the README",
    ]
    assert len(bot.comments(issue)) == 1


async def test_a_command_that_nobody_told_us_of_is_found(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    address, bot.github.webhook_url = bot.github.webhook_url, ""
    run_id = await bot.say(issue, "/vibecode")
    bot.github.webhook_url = address
    await bot.swept()
    run = await bot.settled(run_id)
    await bot.swept()

    assert run.conclusion is Conclusion.SUCCESS
    assert len((await bot.records.store.list()).runs) == 1


async def test_a_label_for_a_plan_that_nobody_told_us_of_is_found(bot: Bot) -> None:
    bot.model.says(*MEND[:1])
    issue = await bot.issue()
    address, bot.github.webhook_url = bot.github.webhook_url, ""
    await bot.label(issue, "vibecode:plan")
    bot.github.webhook_url = address
    await bot.swept()
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.ACTION_REQUIRED


async def test_a_lost_command_starts_nothing_once_the_issue_says_something_else(bot: Bot) -> None:
    issue = await bot.issue()
    address, bot.github.webhook_url = bot.github.webhook_url, ""
    run_id = await bot.say(issue, "/vibecode")
    issue.updated_at += timedelta(minutes=1)
    issue.body = "Delete everything."
    bot.github.webhook_url = address
    await bot.swept()
    run = await bot.settled(run_id)

    assert run.cost.turns == 0
    assert "This command was received late" in bot.comments(issue)[0].body
