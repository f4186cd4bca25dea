"""The main job, told as people on GitHub see it."""

from app.core.run import Conclusion
from app.core.verification import Verdict
from tests.bot import REPO, Bot
from tests.e2e.turns import MEND, edit, finish, plan, shell, write


async def test_a_labelled_issue_becomes_a_tested_pull_request(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    delivery = await bot.label(issue)
    (run,) = await bot.work()

    assert delivery.status_code == 202
    assert run.conclusion is Conclusion.SUCCESS
    (pull,) = bot.pull_requests()
    assert pull.title == "Mend the greeting"
    assert f"Closes #{issue.number}" in pull.body
    assert (pull.head, pull.base) == (f"vibecode/{issue.number}-the-greeting-has-a-typo-{run.job.key}", "main")
    diff = await bot.show_diff(pull.head)
    assert '-    return f"helo, {name}"\n+    return f"hello, {name}"' in diff
    assert "+++ b/tests/test_spelling.py" in diff


async def test_the_proof_is_made_by_running_the_tests_on_both_sides(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.verification is not None
    assert run.verification.verdict is Verdict.PROVEN
    assert [(suite.on, suite.passed) for suite in run.verification.runs] == [
        ("base", True),
        ("base with the new tests", False),
        ("head", True),
    ]
    (pull,) = bot.pull_requests()
    assert "the changed tests fail without the change" in pull.body


async def test_one_comment_tells_the_whole_story(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.work()

    (comment,) = bot.comments(issue)
    (pull,) = bot.pull_requests()
    assert comment.history[0] != comment.body
    assert f"✅ Done · #{pull.number}" in comment.body
    assert "[x] Say hello with two l" in comment.body
    assert "Tests pass" in comment.body


async def test_each_step_is_a_verified_commit_by_the_app(bot: Bot) -> None:
    bot.model.says(
        plan("Mend the greeting", "Say so in the README"),
        edit("helo", "hello"),
        finish("Mended."),
        edit("Says hello.", "Says hello, spelled right.", "README.md"),
        finish("Written down."),
    )
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    commits = await bot.github.log(REPO, f"main..{run.branch}")
    subjects = [commit.message.splitlines()[0] for commit in reversed(commits)]
    assert subjects == ["Mend the greeting", "Say so in the README"]
    assert all(commit.is_verified for commit in run.commits)
    assert {commit.author.name for commit in commits} == {"vibecoder[bot]"}


async def test_a_command_in_a_comment_starts_a_run_and_is_acknowledged(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode mind the spelling")

    assert run.conclusion is Conclusion.SUCCESS
    asked = next(each for each in bot.github.comments(REPO, issue.number) if each.author == "maintainer")
    assert [reaction.content for reaction in asked.reactions] == ["eyes", "rocket"]
    assert any("mind the spelling" in str(seen.body) for seen in bot.model.requests)


async def test_the_same_delivery_five_times_at_once_is_one_job(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    delivery = await bot.label(issue)
    statuses = await bot.github.redeliver(delivery, times=5)
    runs = await bot.work()

    assert statuses == [200] * 5
    assert len(runs) == 1
    assert len(bot.pull_requests()) == len(bot.comments(issue)) == 1


async def test_an_outsider_is_told_no_and_nothing_is_spent(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode", by="outsider")

    assert run.conclusion is Conclusion.SKIPPED
    assert run.cost.turns == 0
    (comment,) = bot.comments(issue)
    assert "🚫 Not started" in comment.body
    assert "I work for people with one of: write, maintain, admin" in comment.body
    assert "@outsider" not in comment.body, "nobody is notified by being refused"


async def test_an_outsider_cannot_stop_a_run(bot: Bot) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 3"), edit("helo", "hello"), finish("Mended."))
    issue = await bot.issue()
    await bot.label(issue)
    refused = await bot.comment(issue, "/vibecode stop", by="outsider")

    assert refused.failure is not None
    assert "I work for people with one of: write, maintain, admin" in refused.failure.message
    assert (await bot.work())[0].conclusion is Conclusion.SUCCESS


async def test_failing_tests_are_repaired_once_they_are_seen(bot: Bot) -> None:
    bot.model.says(
        plan("Rewrite the greeting"),
        edit("helo, {name}", "hello"),
        finish("Rewritten."),
        edit('f"hello"', 'f"hello, {name}"'),
        finish("The name is back."),
    )
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert [commit.subject for commit in run.commits] == ["Rewrite the greeting", "Repair what the tests found"]


async def test_tests_that_stay_red_make_a_draft_that_says_so(bot: Bot) -> None:
    bot.model.says(
        plan("Rewrite the greeting"),
        edit("helo, {name}", "hello"),
        finish("Rewritten, all tests pass!"),
        finish("They pass, believe me."),
    )
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.FAILURE
    (pull,) = bot.pull_requests()
    assert pull.is_draft
    assert "**Tests fail.**" in pull.body


async def test_a_protected_path_is_held_back_and_named(bot: Bot) -> None:
    bot.model.says(
        plan("Mend the greeting"),
        edit("helo", "hello"),
        write(".github/workflows/ci.yml", "on: push\n"),
        finish("Mended."),
    )
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert ".github/workflows" not in await bot.show_diff(run.branch)
    (comment,) = bot.comments(issue)
    assert "Held back, because the paths are protected: `.github/workflows/ci.yml`" in comment.body


async def test_a_secret_is_never_published(bot: Bot) -> None:
    token = "ghp_" + "a1" * 18
    bot.model.says(plan("Mend the greeting"), write("config.py", f'TOKEN = "{token}"\n'), finish("Mended."))
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.FAILURE
    assert await bot.github.head(REPO, run.branch) is None
    assert bot.pull_requests() == []
    (comment,) = bot.comments(issue)
    assert "`config.py`, line 1 holds what looks like a GitHub token" in comment.body
    assert token not in comment.body


async def test_nothing_to_do_is_said(bot: Bot) -> None:
    bot.model.says(plan(summary="The greeting is spelled as it should be."))
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.NEUTRAL
    (comment,) = bot.comments(issue)
    assert "The greeting is spelled as it should be." in comment.body
    assert await bot.github.head(REPO, run.branch) is None


async def test_a_plan_waits_for_its_approval_and_is_then_carried_out(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan")
    assert planned.conclusion is Conclusion.ACTION_REQUIRED
    assert "Say `/vibecode approve`" in bot.comments(issue)[0].body

    run = await bot.comment(issue, "/vibecode approve")
    assert run.conclusion is Conclusion.SUCCESS
    assert run.plan == planned.plan
    assert len(bot.comments(issue)) == 1


async def test_stop_ends_a_run_and_says_who_stopped_it(bot: Bot) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 60"))
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 60")
    await bot.comment(issue, "/vibecode stop")
    stopped = (await bot.work())[0]

    assert stopped.conclusion is Conclusion.CANCELLED
    assert any("Stopped by maintainer" in comment.body for comment in bot.comments(issue))


async def test_help_is_one_comment(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode help")
    assert run.conclusion is Conclusion.NEUTRAL
    (comment,) = bot.comments(issue)
    assert "`/vibecode approve`" in comment.body


async def test_a_slip_is_answered_and_starts_nothing(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode stpo")
    assert run.cost.turns == 0
    (comment,) = bot.comments(issue)
    assert "/vibecode stop" in comment.body


async def test_a_mistake_in_the_repositorys_file_is_posted_with_its_line(bot: Bot) -> None:
    await bot.github.push(REPO, "main", {".github/vibecode.yml": "tset: pytest\n"}, message="Slip", by="acme")
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SKIPPED
    (comment,) = bot.comments(issue)
    assert "line 1: there is no key `tset`. Did you mean `test`?" in comment.body
