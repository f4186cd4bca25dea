"""The main job, told as people on GitHub see it."""

from app.core.run.run import Conclusion
from app.core.run.verification import Verdict
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
    assert "controlling runs takes one of: write, maintain, admin" in comment.body
    assert "@outsider" not in comment.body.replace("`@outsider`", ""), "nobody is notified by being refused"


async def test_an_outsider_cannot_stop_a_run(bot: Bot) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 3"), edit("helo", "hello"), finish("Mended."))
    issue = await bot.issue()
    await bot.label(issue)
    refused = await bot.comment(issue, "/vibecode stop", by="outsider")

    assert refused.failure is not None
    assert "controlling runs takes one of: write, maintain, admin" in refused.failure.message
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
    assert [commit.subject for commit in run.commits] == ["Rewrite the greeting", "Fix failing tests"]


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
    assert "Not published because these paths are protected: `.github/workflows/ci.yml`" in comment.body


async def test_only_the_file_with_a_secret_is_held_back_after_the_agent_could_fix_it(bot: Bot) -> None:
    token = "ghp_" + "a1" * 18
    bot.model.says(
        plan("Mend the greeting"),
        edit("helo", "hello"),
        write("config.py", f'TOKEN = "{token}"\n'),
        *[finish("Mended.")] * 3,
    )
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    diff = await bot.show_diff(run.branch)
    assert "hello" in diff
    assert "config.py" not in diff
    (comment,) = bot.comments(issue)
    assert "`config.py`, line 1 holds what looks like a GitHub token" in comment.body
    assert "`samples` in `.github/vibecode.yml`" in comment.body
    assert token not in comment.body
    told = [text for request in bot.model.requests for text in [str(request)] if "Secrets are never published" in text]
    assert told, "The agent was not told."


async def test_the_agent_takes_a_secret_out_and_the_file_is_published(bot: Bot) -> None:
    token = "ghp_" + "a1" * 18
    bot.model.says(
        plan("Mend the greeting"),
        edit("helo", "hello"),
        write("config.py", f'TOKEN = "{token}"\n'),
        finish("Mended."),
        write("config.py", 'import os\n\nTOKEN = os.environ["TOKEN"]\n'),
        finish("Mended."),
    )
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert '+TOKEN = os.environ["TOKEN"]' in await bot.show_diff(run.branch)
    (comment,) = bot.comments(issue)
    assert "Not published" not in comment.body


async def test_an_edited_line_beside_a_sample_key_becomes_a_pull_request(bot: Bot) -> None:
    docs = (
        "# Configuration\n\nAda says helo.\n\n"
        "SECRET_KEY = '192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf'\n"
    )
    await bot.github.push(REPO, "main", {"docs/config.md": docs}, message="Document the key", by="maintainer")
    bot.model.says(
        plan("Mend the docs"),
        edit("Ada says helo.", "Ada says hello.", path="docs/config.md"),
        edit("SECRET_KEY = '", "SECRET_KEY='", path="docs/config.md"),
        finish("Mended."),
    )
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    diff = await bot.show_diff(run.branch)
    assert "+Ada says hello." in diff
    assert "+SECRET_KEY='192b9bdd" in diff
    (comment,) = bot.comments(issue)
    assert "Not published" not in comment.body


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
    assert "comment `/vibecode approve` or react with 👍" in bot.comments(issue)[0].body

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
    assert "line 1: unknown key `tset`. Did you mean `test`?" in comment.body
