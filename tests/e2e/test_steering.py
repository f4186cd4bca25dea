"""A run is stopped, gone on with, looked at and given more money, in the words of its thread."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.adapters.redis import keys
from app.adapters.redis.connection import ask, open_redis
from app.core.run.run import Conclusion, Run
from app.demo.github.state.records import Issue
from tests.bot import GREETER, REPO, Bot, deployed
from tests.e2e.turns import MEND, edit, finish, plan, shell

TWO_STEPS = (plan("Mend the greeting", "Polish it"), edit("helo", "hello"), finish("Mended."))
POLISH = (edit("Says hello.", "Says hello!", "README.md"), finish("Polished."))
UNTIL_TOLD = "until rm go 2> /dev/null; do sleep 0.05; done"
STOPS_WITHIN = timedelta(seconds=2)


def since_asked(stop: Run, stopped: Run) -> timedelta:
    assert stopped.ended_at is not None
    return stopped.ended_at - stop.job.created_at


async def let_go(bot: Bot, run: Run) -> None:
    """Let the command end that waits until it is told."""
    sandbox = await bot.ports.sandboxes.reconnect(run.sandbox_id)
    await sandbox.write("go", b"")


def story(bot: Bot, issue: Issue) -> str:
    """The comment of the run that worked first."""
    return bot.comments(issue)[0].body


# ------------------------------------------------------------------------------------------------------------- stop


async def test_a_stop_ends_a_command_that_hangs_and_names_what_is_kept(bot: Bot) -> None:
    bot.model.says(*TWO_STEPS, shell("sleep 600"))
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 600")
    stop = await bot.comment(issue, "/vibecode stop")
    stopped = (await bot.work())[0]

    assert stopped.conclusion is Conclusion.CANCELLED
    assert since_asked(stop, stopped) <= STOPS_WITHIN
    (commit,) = stopped.commits
    assert await bot.github.head(REPO, stopped.branch) == commit.sha
    for words in (
        "⏹️ Stopped",
        "Stopped by maintainer.",
        f"`{stopped.branch}`",
        f"{commit.sha[:7]} Mend the greeting",
        "`/vibecode retry` resumes from there",
    ):
        assert words in story(bot, issue)
    assert f"- {commit.sha[:7]} Mend the greeting" in bot.comments(issue)[1].body


async def test_a_stop_does_not_wait_for_the_model(bot: Bot) -> None:
    bot.model.hangs()
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("Reading the code and planning")
    stop = await bot.comment(issue, "/vibecode stop")
    stopped = (await bot.work())[0]

    assert stopped.conclusion is Conclusion.CANCELLED
    assert since_asked(stop, stopped) <= STOPS_WITHIN
    assert "Nothing was published yet" in story(bot, issue)


async def test_a_stop_ends_what_waits_for_its_turn_before_it_begins(tmp_path: Path) -> None:
    async with deployed(tmp_path, is_worker_up=False) as bot:
        issue = await bot.issue()
        await bot.label(issue)
        await bot.github.comment(REPO, issue.number, "/vibecode and mind the spelling", by="maintainer")
        await bot.github.comment(REPO, issue.number, "/vibecode stop", by="maintainer")
        first, second, stop = [run.id for run in reversed((await bot.records.store.list()).runs)]
        await bot.records.queue.put_again(first, after_s=30)
        await bot.records.queue.put_again(second, after_s=30)
        await bot.start_worker()

        answered = await bot.settled(stop)
        for waiting in (first, second):
            run = await bot.settled(waiting)
            assert run.conclusion is Conclusion.CANCELLED
            assert run.stages == ()
            assert since_asked(answered, run) <= STOPS_WITHIN
        assert bot.model.requests == []
        assert "Stopped (2 of 2). It hadn't started." in answered.summary


async def test_a_stop_where_nothing_runs_says_what_is(bot: Bot) -> None:
    issue = await bot.issue()
    nothing = await bot.comment(issue, "/vibecode stop")
    assert nothing.failure is not None
    assert nothing.failure.message == "Nothing is running here."

    bot.model.says(*MEND)
    await bot.comment(issue, "/vibecode")
    done = await bot.comment(issue, "/vibecode stop")
    (pull,) = bot.pull_requests()
    assert done.failure is not None
    assert done.failure.message == f"Nothing is running here. The last run finished: #{pull.number}."


# ------------------------------------------------------------------------------------------------------------ retry


async def test_after_a_stop_a_retry_goes_on_and_pays_no_finished_step_again(bot: Bot) -> None:
    bot.model.says(*TWO_STEPS, shell("sleep 600"))
    issue = await bot.issue()
    await bot.github.comment(REPO, issue.number, "/vibecode --draft mind the tone", by="maintainer")
    await bot.at_work_on("sleep 600")
    await bot.comment(issue, "/vibecode stop")
    asked_before = len(bot.model.requests)

    bot.model.says(*POLISH)
    run = await bot.comment(issue, "/vibecode retry")
    assert run.conclusion is Conclusion.SUCCESS
    assert [commit.subject for commit in run.commits] == ["Mend the greeting", "Polish it"]
    assert len(bot.model.requests) - asked_before == len(POLISH)
    assert "mind the tone" in str(bot.model.requests[-1].body), "what was asked for is not forgotten"
    (pull,) = bot.pull_requests()
    assert (pull.head, pull.is_draft) == (run.branch, True)


async def test_after_a_set_up_that_failed_a_retry_asks_for_the_same_again(bot: Bot) -> None:
    await bot.github.push(REPO, "main", {".github/vibecode.yml": "setup: ['false']\n"}, message="Slip", by="acme")
    issue = await bot.issue()
    failed = await bot.comment(issue, "/vibecode mind the spelling")
    assert failed.conclusion is Conclusion.FAILURE
    assert failed.plan is None

    rules = GREETER[".github/vibecode.yml"]
    await bot.github.push(REPO, "main", {".github/vibecode.yml": rules}, message="Mend", by="acme")
    bot.model.says(*MEND)
    run = await bot.comment(issue, "/vibecode retry")
    assert run.conclusion is Conclusion.SUCCESS
    assert "mind the spelling" in str(bot.model.requests[0].body)


async def test_after_red_tests_a_retry_repairs_what_is_there(bot: Bot) -> None:
    bot.model.says(
        plan("Rewrite the greeting"), edit("helo, {name}", "hello"), finish("Rewritten."), finish("It is fine.")
    )
    issue = await bot.issue()
    await bot.label(issue)
    (failed,) = await bot.work()
    assert failed.conclusion is Conclusion.FAILURE

    bot.model.says(edit('f"hello"', 'f"hello, {name}"'), finish("The name is back."))
    run = await bot.comment(issue, "/vibecode retry")
    assert run.conclusion is Conclusion.SUCCESS
    assert [commit.subject for commit in run.commits] == ["Rewrite the greeting", "Fix failing tests"]
    assert run.cost.turns == 2
    assert len(bot.pull_requests()) == len(bot.comments(issue)) == 1


async def test_a_retry_where_nothing_failed_says_what_is(bot: Bot) -> None:
    issue = await bot.issue()
    nothing = await bot.comment(issue, "/vibecode retry")
    assert nothing.failure is not None
    assert nothing.failure.message == "There is no run to resume here. `/vibecode` starts one."

    bot.model.says(plan("Mend the greeting"))
    await bot.comment(issue, "/vibecode plan")
    waits = await bot.comment(issue, "/vibecode retry")
    assert waits.failure is not None
    assert waits.failure.message == (
        "There is nothing to resume. A plan is waiting for approval: comment `/vibecode approve`."
    )


# ----------------------------------------------------------------------------------------------------------- status


async def test_a_status_redraws_the_comment_and_says_where_the_run_stands(bot: Bot) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 600"))
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 600")
    before = len(bot.comments(issue)[0].history)
    asked = await bot.comment(issue, "/vibecode status", by="outsider")

    assert len(bot.comments(issue)[0].history) > before
    assert asked.summary.startswith("A run is in progress (40 %). Step 1 of 1: Mend the greeting")
    assert bot.comments(issue)[1].body.endswith(f"{asked.summary}\n")
    await bot.comment(issue, "/vibecode stop")


# ----------------------------------------------------------------------------------------------------------- budget


async def test_dollars_reach_a_run_while_it_is_at_work(tmp_path: Path) -> None:
    async with deployed(tmp_path, MODEL="gpt-6-sol", MAX_USD="0.012") as bot:
        bot.model.says(
            plan("Mend the greeting"),
            shell(UNTIL_TOLD),
            *[shell("true")] * 8,
            *MEND[1:],
        )
        issue = await bot.issue()
        await bot.label(issue)
        begun = await bot.at_work_on(UNTIL_TOLD)
        first = await bot.comment(issue, "/vibecode budget +2")
        again = await bot.comment(issue, "/vibecode budget +1.50")
        await let_go(bot, begun)
        run = (await bot.work())[0]

        assert "of $2.01." in first.summary
        assert "of $3.51." in again.summary
        assert run.conclusion is Conclusion.SUCCESS
        assert run.granted_usd == 3.5
        assert run.cost.usd > 0.012
        assert "of $3.51" in story(bot, issue)


async def test_a_run_that_dollars_ended_goes_on_with_more(tmp_path: Path) -> None:
    async with deployed(tmp_path, MODEL="gpt-6-sol", MAX_USD="0.012") as bot:
        bot.model.says(*TWO_STEPS, *[shell("true")] * 20)
        issue = await bot.issue()
        await bot.label(issue)
        (over,) = await bot.work()
        assert over.conclusion is Conclusion.TIMED_OUT
        assert "`/vibecode budget +2` adds two dollars and resumes" in story(bot, issue)

        bot.model.forget()
        bot.model.says(*POLISH)
        run = await bot.comment(issue, "/vibecode budget +2")
        assert run.conclusion is Conclusion.SUCCESS
        assert run.branch == over.branch
        assert [commit.sha for commit in run.commits][: len(over.commits)] == [commit.sha for commit in over.commits]
        assert run.cost.usd > over.cost.usd
        assert await spent_today(bot) == pytest.approx(run.cost.usd), "no dollar counts twice in the day"


async def test_dollars_that_the_day_has_not_are_not_added(tmp_path: Path) -> None:
    async with deployed(tmp_path, MODEL="gpt-6-sol", MAX_USD="2", MAX_USD_PER_DAY="3") as bot:
        bot.model.says(plan("Mend the greeting"), shell(UNTIL_TOLD), *MEND[1:])
        issue = await bot.issue()
        await bot.label(issue)
        begun = await bot.at_work_on(UNTIL_TOLD)
        too_much = await bot.comment(issue, "/vibecode budget +2")
        enough = await bot.comment(issue, "/vibecode budget +1")
        await let_go(bot, begun)
        await bot.work()

        assert too_much.summary.startswith("Could not add $2.00: today's budget is used up. It has spent $")
        assert too_much.summary.endswith("of $2.00.")
        assert enough.summary.startswith("Added $1.00 to the run in progress. It has spent $")
        assert enough.summary.endswith("of $3.00.")
        assert "Could not add $2.00: today's $3.00 (`MAX_USD_PER_DAY`) are used up." in story(bot, issue)


async def test_a_budget_where_no_run_needs_one_says_what_is(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode")
    (pull,) = bot.pull_requests()
    told = await bot.comment(issue, "/vibecode budget +2")
    assert told.failure is not None
    assert told.failure.message == f"There is nothing to resume. The last run finished: #{pull.number}."


async def test_dollars_are_added_by_those_who_may(bot: Bot) -> None:
    bot.model.says(plan("Mend the greeting"), shell(UNTIL_TOLD), *MEND[1:])
    issue = await bot.issue()
    await bot.label(issue)
    begun = await bot.at_work_on(UNTIL_TOLD)
    refused = await bot.comment(issue, "/vibecode budget +2", by="outsider")
    await let_go(bot, begun)

    assert refused.failure is not None
    assert "controlling runs takes one of: write, maintain, admin" in refused.failure.message
    assert (await bot.work())[0].granted_usd == 0


# ------------------------------------------------------------------------------------------------------------- taps


async def test_a_tap_adds_dollars_and_stops_and_leaves_the_thread_alone(bot: Bot) -> None:
    bot.model.says(*TWO_STEPS, shell("sleep 600"))
    issue = await bot.issue()
    await bot.label(issue)
    begun = await bot.at_work_on("sleep 600")
    more = await tap(bot, begun, "budget", usd=2)
    assert (await bot.settled(more)).summary.startswith("Added $2.00 to the run in progress.")
    await bot.api.post(f"/api/jobs/{begun.id}/stop", headers=maintainer(bot))
    stopped = await bot.settled(begun.id)

    assert (stopped.conclusion, stopped.granted_usd) == (Conclusion.CANCELLED, 2.0)
    assert len(bot.comments(issue)) == 1


async def test_a_tap_opens_the_pull_request_from_what_is_there_and_another_goes_on(bot: Bot) -> None:
    bot.model.says(*TWO_STEPS, shell("sleep 600"))
    issue = await bot.issue()
    await bot.label(issue)
    begun = await bot.at_work_on("sleep 600")
    await bot.comment(issue, "/vibecode stop")
    asked_before = len(bot.model.requests)

    opened = await bot.settled(await tap(bot, begun, "pull-request"))
    (pull,) = bot.pull_requests()
    assert (opened.conclusion, pull.head, pull.is_draft) == (Conclusion.NEUTRAL, begun.branch, True)
    assert "**Unfinished.** 1 of 2 steps are done" in pull.body
    assert len(bot.model.requests) == asked_before, "nothing is paid for it"
    assert f"📬 Draft opened · #{pull.number}" in story(bot, issue)

    bot.model.says(*POLISH)
    run = await bot.settled(await tap(bot, opened, "retry"))
    assert run.conclusion is Conclusion.SUCCESS
    assert run.job.sender.login == "maintainer"
    assert len(bot.pull_requests()) == 1
    assert "✅ Done" in story(bot, issue)


async def test_a_tap_approves(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan")
    first, again = await tap(bot, planned, "approve"), await tap(bot, planned, "approve")
    assert first == again
    assert (await bot.settled(first)).conclusion is Conclusion.SUCCESS


async def test_github_says_where_a_branch_stands(bot: Bot) -> None:
    path = f"/api/repos/{REPO}/branches"
    main = (await bot.api.get(f"{path}/main", headers=maintainer(bot))).json()
    nowhere = (await bot.api.get(f"{path}/nowhere", headers=maintainer(bot))).json()
    assert (main["exists"], main["sha"]) == (True, await bot.github.head(REPO, "main"))
    assert (nowhere["exists"], nowhere["sha"]) == (False, None)


def maintainer(bot: Bot) -> dict[str, str]:
    return {"Authorization": f"Bearer {bot.github.user_token('maintainer')}"}


async def tap(bot: Bot, run: Run, verb: str, **body: float) -> str:
    """Tap on a run, as the maintainer; the id of the run that comes of it."""
    answer = await bot.api.post(f"/api/jobs/{run.id}/{verb}", headers=maintainer(bot), json=body or None)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def spent_today(bot: Bot) -> float:
    """What the ledger of the repository's day holds: the least limit that has room for nothing more."""
    async with open_redis(bot.records.redis_url) as redis:
        held = await ask(redis, "HVALS", keys.spent(f"{REPO}:{datetime.now(UTC):%Y-%m-%d}"))
    return sum(map(float, held))
