"""Plans wait for a person, are changed by what people say, and are carried out once."""

from dataclasses import replace
from datetime import datetime, timedelta

from app.adapters.clock import SystemClock
from app.core.run.run import Conclusion, Run
from app.demo.model.scripted import say
from app.runs.background.reactions import MAX_PEOPLE, find_reaction_approvals
from app.runs.intake.approval import TAKEN, TOO_EARLY
from tests.bot import REPO, Bot
from tests.e2e.turns import MEND, edit, finish, plan, write

PLAN, *CARRIED_OUT = MEND
APPROVE_FIRST = {".github/vibecode.yml": "test: python3 -m unittest discover -s tests -t .\nplan: approve\n"}


async def test_the_plan_label_plans_and_touches_nothing(bot: Bot) -> None:
    bot.model.says(PLAN)
    issue = await bot.issue()
    await bot.label(issue, "vibecode:plan")
    (planned,) = await bot.work()

    assert (planned.conclusion, planned.needs) == (Conclusion.ACTION_REQUIRED, "approval")
    (comment,) = bot.comments(issue)
    assert "✋ Needs your approval" in comment.body
    assert "- [ ] Say hello with two l" in comment.body
    assert f"plan `{planned.approval}`" in comment.body
    assert await bot.github.head(REPO, planned.branch) is None
    assert bot.pull_requests() == []


async def test_an_approved_plan_is_carried_out_in_the_same_comment(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue, "vibecode:plan")
    (planned,) = await bot.work()
    run = await bot.comment(issue, "/vibecode approve")

    assert run.conclusion is Conclusion.SUCCESS
    assert (run.plan, run.approval, run.branch) == (planned.plan, planned.approval, planned.branch)
    assert run.cost.turns == len(MEND), "what the planning took counts"
    (comment,) = bot.comments(issue)
    assert f"✅ Done · #{bot.pull_requests()[0].number}" in comment.body


async def test_an_approved_plan_and_its_run_name_each_other(bot: Bot) -> None:
    """However it was approved, the run that proposed the plan does not wait for ever."""
    bot.model.says(*MEND)
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan")
    run = await bot.comment(issue, "/vibecode approve")

    await assert_superseded(bot, planned, run)


async def test_a_plan_approved_through_the_api_names_the_run_that_carries_it_out(bot: Bot) -> None:
    bot.model.says(*MEND)
    asked = {"repo": REPO, "request": "Mend the greeting"}
    planned = (await bot.api.post("/api/plans", json=asked)).json()["id"]
    (first,) = await bot.work()
    assert first.needs == "approval"
    approved = await bot.api.post(f"/api/jobs/{planned}/approve")
    (run,) = [each for each in await bot.work() if each.id != planned]

    assert approved.json()["id"] == run.id
    assert run.conclusion is Conclusion.SUCCESS
    await assert_superseded(bot, first, run)
    again = await bot.api.post(f"/api/jobs/{planned}/approve", headers={"Idempotency-Key": "another"})
    assert (again.status_code, run.id in again.json()["detail"]) == (409, True)


async def test_other_work_in_the_thread_supersedes_a_plan_that_waits(bot: Bot) -> None:
    bot.model.says(PLAN, *MEND)
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan")
    run = await bot.comment(issue, "/vibecode")

    assert run.conclusion is Conclusion.SUCCESS
    progress = (await bot.api.get(f"/api/jobs/{planned.id}/progress")).json()
    assert (progress["conclusion"], progress["superseded_by"]) == ("neutral", run.id)


async def assert_superseded(bot: Bot, planned: Run, run: Run) -> None:
    progress = (await bot.api.get(f"/api/jobs/{planned.id}/progress")).json()
    assert (progress["status"], progress["conclusion"], progress["needs"]) == ("completed", "neutral", None)
    assert progress["superseded_by"] == run.id
    assert run.id in progress["message"]
    assert (await bot.api.get(f"/api/jobs/{planned.id}/result")).json()["superseded_by"] == run.id
    assert (await bot.api.get(f"/api/jobs/{run.id}/result")).json()["continues"] == planned.id
    page = (await bot.api.get(f"/jobs/{planned.id}")).text
    assert f'href="/jobs/{run.id}"' in page
    assert "/vibecode approve" not in page


async def test_where_the_file_says_so_every_plan_waits(bot: Bot) -> None:
    await bot.github.push(REPO, "main", APPROVE_FIRST, message="Ask first", by="acme")
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (planned,) = await bot.work()
    assert planned.conclusion is Conclusion.ACTION_REQUIRED
    assert bot.pull_requests() == []

    run = await bot.comment(issue, "/vibecode approve")
    assert run.conclusion is Conclusion.SUCCESS
    assert len(bot.pull_requests()) == len(bot.comments(issue)) == 1


async def test_a_retry_of_a_plan_that_failed_waits_too(bot: Bot) -> None:
    await bot.github.push(REPO, "main", APPROVE_FIRST, message="Ask first", by="acme")
    bot.model.says(*[say("I would rather talk.")] * 8)
    issue = await bot.issue()
    failed = await bot.comment(issue, "/vibecode")
    assert failed.conclusion is Conclusion.FAILURE

    bot.model.forget()
    bot.model.says(*MEND)
    assert (await bot.comment(issue, "/vibecode retry")).needs == "approval"
    assert bot.pull_requests() == []
    assert (await bot.comment(issue, "/vibecode approve")).conclusion is Conclusion.SUCCESS


async def test_what_is_to_be_different_makes_another_plan_in_the_same_comment(bot: Bot) -> None:
    bot.model.says(PLAN, plan("Say hello, and wave"), edit("helo", "hello *waves*"), finish("Waved."))
    issue = await bot.issue()
    first = await bot.comment(issue, "/vibecode plan mind the spelling")
    second = await bot.comment(issue, "/vibecode plan wave, too")

    asked = str(bot.model.requests[-1].body)
    assert "mind the spelling" in asked
    assert "wave, too" in asked
    assert "Say hello with two l" in asked, "the plan before is shown"
    assert second.approval != first.approval
    (comment,) = bot.comments(issue)
    assert "- [ ] Say hello, and wave" in comment.body
    assert "two l" not in comment.body

    run = await bot.comment(issue, "/vibecode approve")
    assert [commit.subject for commit in run.commits] == ["Say hello, and wave"]
    assert "wave, too" in str(bot.model.requests[-1].body), "who carries it out knows what was asked"
    assert len(bot.comments(issue)) == 1


async def test_an_issue_that_was_edited_since_is_planned_anew_and_asked_about_again(bot: Bot) -> None:
    bot.model.says(PLAN, plan("Say goodbye"), write("bye.py", "bye = 1\n"), finish("Said."))
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan")
    issue.body = "It should say goodbye."
    asked_again = await bot.comment(issue, "/vibecode approve")

    assert asked_again.conclusion is Conclusion.ACTION_REQUIRED
    assert asked_again.approval != planned.approval
    assert "It should say goodbye." in str(bot.model.requests[-1].body)
    (comment,) = bot.comments(issue)
    assert "The issue was edited after the plan was made, so here is the plan again." in comment.body
    assert bot.pull_requests() == []

    run = await bot.comment(issue, "/vibecode approve")
    assert [commit.subject for commit in run.commits] == ["Say goodbye"]
    assert len(bot.comments(issue)) == len(bot.pull_requests()) == 1


async def test_approving_what_is_not_there_is_answered(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode approve")

    assert (run.conclusion, run.cost.turns) == (Conclusion.SKIPPED, 0)
    assert "There is no plan waiting for approval. `/vibecode plan` creates one." in bot.comments(issue)[0].body


async def test_approving_before_the_plan_is_there_asks_again(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.stop_worker()
    await bot.label(issue, "vibecode:plan")
    await bot.github.comment(REPO, issue.number, "/vibecode approve", by="maintainer")
    await bot.start_worker()
    _, early = await bot.work()

    assert early.failure is not None
    assert (early.conclusion, early.failure.message) == (Conclusion.SKIPPED, TOO_EARLY)
    assert "✋ Needs your approval" in bot.comments(issue)[0].body
    assert bot.pull_requests() == []
    assert (await bot.comment(issue, "/vibecode approve")).conclusion is Conclusion.SUCCESS


async def test_two_approvals_make_one_pull_request(bot: Bot) -> None:
    bot.model.says(*MEND)
    bot.github.grant(REPO, "colleague", "write")
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode plan")
    await bot.github.comment(REPO, issue.number, "/vibecode approve", by="maintainer")
    await bot.comment(issue, "/vibecode approve", by="colleague")
    _, *approvals = await bot.work()

    assert {run.conclusion for run in approvals} == {Conclusion.SUCCESS, Conclusion.SKIPPED}
    assert [run.failure.message for run in approvals if run.failure] == [TAKEN]
    assert len(bot.pull_requests()) == 1
    assert len(bot.model.requests) == len(MEND)


async def test_an_outsiders_approval_is_refused_and_buries_nothing(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode plan")
    refused = await bot.comment(issue, "/vibecode approve", by="outsider")

    assert refused.conclusion is Conclusion.SKIPPED
    plan_comment, answer = bot.comments(issue)
    assert "✋ Needs your approval" in plan_comment.body
    assert "controlling runs takes one of" in answer.body
    assert len(bot.model.requests) == 1

    assert (await bot.comment(issue, "/vibecode approve")).conclusion is Conclusion.SUCCESS


async def test_a_plan_that_other_work_took_the_place_of_is_not_carried_out(bot: Bot) -> None:
    bot.model.says(PLAN, *MEND)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode plan")
    await bot.comment(issue, "/vibecode")
    late = await bot.comment(issue, "/vibecode approve")

    assert late.conclusion is Conclusion.SKIPPED
    assert len(bot.pull_requests()) == 1


async def test_the_plan_of_a_closed_issue_is_not_carried_out(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode plan")
    issue.put_state("closed")
    refused = await bot.comment(issue, "/vibecode approve")

    assert refused.conclusion is Conclusion.SKIPPED
    assert "closed" in bot.comments(issue)[-1].body
    assert len(bot.model.requests) == 1

    issue.put_state("open")
    assert (await bot.comment(issue, "/vibecode approve")).conclusion is Conclusion.SUCCESS


async def test_a_thumb_of_who_may_carries_the_plan_out_once(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan")
    bot.github.user("other-bot[bot]", bot=True)
    bot.github.grant(REPO, "other-bot[bot]", "write")
    assert await bot.approved_by_thumb(issue, by="other-bot[bot]") == 0
    assert await bot.approved_by_thumb(issue, by="outsider") == 0
    assert await bot.approved_by_thumb(issue, by="maintainer") == 1
    _, run = await bot.work()

    assert (run.conclusion, run.job.sender.login) == (Conclusion.SUCCESS, "maintainer")
    assert "~reaction~" in run.id
    assert len(bot.comments(issue)) == len(bot.pull_requests()) == 1, "nobody was answered"
    assert await find_reaction_approvals(bot.ports, is_due=True) == 0
    await assert_superseded(bot, planned, run)


async def test_many_thumbs_of_strangers_do_not_hide_the_one_of_who_may(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode plan")
    for number in range(MAX_PEOPLE):
        await bot.approved_by_thumb(issue, by=f"stranger-{number}")

    assert await bot.approved_by_thumb(issue, by="maintainer") == 1
    assert (await bot.work())[-1].conclusion is Conclusion.SUCCESS


async def test_a_thumb_on_the_plan_before_approves_nothing(bot: Bot) -> None:
    bot.model.says(PLAN, plan("Say hello, and wave"), edit("helo", "hello *waves*"), finish("Waved."))
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode plan")
    bot.github.thumb(REPO, bot.comments(issue)[0].id, by="maintainer")
    await bot.comment(issue, "/vibecode plan and wave")

    assert await find_reaction_approvals(bot.ports, is_due=True) == 0
    bot.github.grant(REPO, "colleague", "write")
    assert await bot.approved_by_thumb(issue, by="colleague") == 1
    run = (await bot.work())[-1]
    assert [commit.subject for commit in run.commits] == ["Say hello, and wave"]


async def test_a_thumb_after_the_issue_was_edited_asks_again(bot: Bot) -> None:
    bot.model.says(PLAN, plan("Say goodbye"))
    issue = await bot.issue()
    await bot.comment(issue, "/vibecode plan")
    issue.body = "It should say goodbye."
    assert await bot.approved_by_thumb(issue, by="maintainer") == 1
    run = (await bot.work())[-1]

    assert run.conclusion is Conclusion.ACTION_REQUIRED
    assert "The issue was edited after the plan was made" in bot.comments(issue)[0].body
    assert bot.pull_requests() == []


async def test_a_plan_is_looked_at_less_often_the_older_it_is(bot: Bot) -> None:
    bot.model.says(PLAN)
    issue = await bot.issue()
    planned = await bot.comment(issue, "/vibecode plan")
    assert planned.ended_at is not None
    store = bot.records.store
    assert await store.due(planned.ended_at + timedelta(seconds=20), limit=9) == ()
    assert await store.due(planned.ended_at + timedelta(seconds=31), limit=9) == (planned.id,)

    ago = replace(bot.ports, clock=Later(planned.ended_at + timedelta(days=1)))
    await find_reaction_approvals(ago, is_due=True)
    assert await store.due(planned.ended_at + timedelta(hours=25), limit=9) == ()
    assert await store.due(planned.ended_at + timedelta(hours=26), limit=9) == (planned.id,)

    ago = replace(bot.ports, clock=Later(planned.ended_at + timedelta(days=8)))
    await find_reaction_approvals(ago, is_due=True)
    assert await store.due(planned.ended_at + timedelta(days=99), limit=9) == ()


class Later(SystemClock):
    """A clock that stands at a later moment."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        return self._moment
