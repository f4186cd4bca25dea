"""What no delivery told of is found by looking; what had ended is not begun again, whatever was forgotten."""

from app.core.run.job import Source
from app.core.run.run import Conclusion, Run
from app.demo.github.state.records import PullRequest
from tests.bot import REPO, Bot
from tests.e2e.test_checks import FULL_STOP, wants_full_stop
from tests.e2e.turns import MEND, answer, edit, finish, plan

POLITER = (
    plan("Greet more politely", answers=[answer(1, step=1, words="It says good day now.")]),
    edit("hello", "good day, dear"),
    edit('"hello, Ada"', '"good day, dear, Ada"', "tests/test_spelling.py"),
    finish("Politer."),
)


class Silence:
    """While it lasts, GitHub tells nothing, and its log has nothing of it."""

    def __init__(self, bot: Bot) -> None:
        self._github = bot.github

    def __enter__(self) -> None:
        self._url, self._github.webhook_url = self._github.webhook_url, ""

    def __exit__(self, *_: object) -> None:
        self._github.webhook_url = self._url


async def opened(bot: Bot) -> PullRequest:
    bot.model.says(*MEND)
    await bot.label(await bot.issue())
    await bot.work()
    (pull,) = bot.pull_requests()
    return pull


async def runs(bot: Bot) -> list[Run]:
    return list((await bot.records.store.list(limit=100)).runs)


async def test_a_review_that_nobody_told_us_of_is_found(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(*POLITER)
    with Silence(bot):
        await bot.github.pulls.review(REPO, pull.number, state="changes_requested", body="Politer.", by="maintainer")
    await bot.swept()
    run = await bot.answered(Source.REVIEW)
    await bot.swept()

    assert run.conclusion is Conclusion.SUCCESS
    assert 'f"good day, dear, {name}"' in await bot.show_diff(pull.head)
    assert len(await runs(bot)) == 2


async def test_a_line_comment_that_nobody_told_us_of_is_found(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(*POLITER)
    with Silence(bot):
        await bot.github.pulls.remark(REPO, pull.number, "greet.py", 2, "Politer, please.", by="maintainer")
    await bot.swept()
    run = await bot.answered(Source.REMARK)
    await bot.swept()

    assert run.conclusion is Conclusion.SUCCESS
    assert run.job.place is not None
    assert (run.job.place.path, run.job.place.line) == ("greet.py", 2)
    assert bot.github.pulls.threads(REPO, pull.number)[0][-1].author == "vibecoder[bot]"
    assert len(await runs(bot)) == 2


async def test_a_command_in_a_review_of_somebody_elses_pull_request_is_answered(bot: Bot) -> None:
    await bot.github.push(REPO, "theirs", {"NOTES.md": "Mine.\n"}, message="Note", by="maintainer")
    pull = await bot.github.pulls.open(REPO, "theirs", title="Note", by="maintainer")
    with Silence(bot):
        await bot.github.pulls.review(REPO, pull.number, state="commented", body="/vibecode help", by="maintainer")
        await bot.github.pulls.review(REPO, pull.number, state="changes_requested", body="No.", by="maintainer")
    await bot.swept()
    await bot.answered(Source.REVIEW)

    assert len(await runs(bot)) == 1


async def test_failed_checks_that_nobody_told_us_of_are_found(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(*FULL_STOP)
    with Silence(bot):
        await bot.start_ci(wants_full_stop)
        await bot.github.ci.build(REPO, pull.head)
    await bot.swept()
    run = await bot.answered(Source.CHECKS)
    await bot.swept()

    assert run.conclusion is Conclusion.SUCCESS, run.message
    undelivered = [each for each in await runs(bot) if each.job.source is Source.CHECKS and not each.job.delivery_id]
    assert len(undelivered) == 1


async def test_a_status_that_nobody_told_us_of_is_found_and_looked_at_once(bot: Bot) -> None:
    pull = await opened(bot)
    with Silence(bot):
        await bot.github.statuses.report(REPO, pull.head, "ci/jenkins", "failure", "It broke", by="jenkins")
        await bot.github.statuses.report(REPO, "main", "ci/jenkins", "failure", "It broke", by="jenkins")
    await bot.swept()
    run = await bot.answered(Source.CHECKS)
    await bot.swept()

    assert run.conclusion is Conclusion.NEUTRAL
    assert len(await runs(bot)) == 2


async def test_a_label_whose_run_had_nothing_to_do_starts_nothing_once_all_is_forgotten(bot: Bot) -> None:
    bot.model.says(plan(summary="It is right as it is."))
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()
    assert run.conclusion is Conclusion.NEUTRAL
    await bot.forget_everything()
    await bot.swept()

    assert await runs(bot) == []


async def test_a_plan_that_waits_is_not_made_again_once_all_is_forgotten(bot: Bot) -> None:
    bot.model.says(*MEND[:1])
    issue = await bot.issue()
    await bot.label(issue, "vibecode:plan")
    await bot.work()
    await bot.forget_everything()
    await bot.swept()

    assert await runs(bot) == []


async def test_what_a_person_writes_does_not_count_as_an_answer_of_ours(bot: Bot) -> None:
    bot.model.says(plan(summary="It is right as it is."), *MEND)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.work()
    (ours,) = bot.comments(issue)
    with Silence(bot):
        await bot.github.comment(REPO, issue.number, ours.body, by="stranger")
        del bot.github.world.repos[REPO].comments[ours.id]
    await bot.forget_everything()
    await bot.swept()

    assert len(await runs(bot)) == 1


async def test_one_installations_limit_pauses_that_one_alone(bot: Bot) -> None:
    await bot.github.repo("other/place", files={"README.md": "Elsewhere.\n"})
    world = bot.github.world
    bot.github.grant("other/place", "maintainer", "maintain")
    with Silence(bot):
        issue = await bot.github.issue("other/place", title="A typo", author="maintainer")
        await bot.github.comment("other/place", issue.number, "/vibecode help", by="maintainer")
    world.limits.block(f"installation ID {world.repos[REPO].installation_id}", 600)
    await bot.swept()

    assert [run.job.repo for run in await runs(bot)] == ["other/place"]
