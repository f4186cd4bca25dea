"""Budgets end a run; what was done is handed over."""

from datetime import UTC, datetime
from pathlib import Path

from app.core.run.run import Conclusion
from tests.bot import Bot, deployed
from tests.e2e.turns import edit, finish, plan, shell


async def test_the_turn_limit_ends_a_run_and_hands_over_what_is_done(tmp_path: Path) -> None:
    async with deployed(tmp_path, MAX_TURNS="5") as bot:
        bot.model.says(
            plan("Mend the greeting", "Polish it"),
            edit("helo", "hello"),
            finish("Mended."),
            edit("Says hello.", "Says hello!", "README.md"),
            shell("true"),
        )
        issue = await bot.issue()
        await bot.label(issue)
        (run,) = await bot.work()

        assert run.conclusion is Conclusion.TIMED_OUT
        assert run.cost.turns == 5
        (pull,) = bot.pull_requests()
        assert pull.is_draft
        assert "**Unfinished.** 1 of 2 steps are done" in pull.body
        assert "Says hello!" in await bot.show_diff(pull.head)
        assert "⌛ Budget exceeded" in bot.comments(issue)[0].body


async def test_dollars_hold_and_a_bigger_budget_goes_on_where_it_ended(tmp_path: Path) -> None:
    async with deployed(tmp_path, MODEL="gpt-6-sol", MAX_USD="0.012") as bot:
        bot.model.says(
            plan("Mend the greeting", "Polish it"),
            edit("helo", "hello"),
            finish("Mended."),
            *[shell("true")] * 20,
        )
        issue = await bot.issue()
        await bot.label(issue)
        (over,) = await bot.work()
        assert over.conclusion is Conclusion.TIMED_OUT
        assert over.failure is not None
        assert over.failure.kind == "usd"
        assert 0 < over.cost.usd <= 0.012

        bot.model.forget()
        bot.model.says(edit("Says hello.", "Says hello!", "README.md"), finish("Polished."))
        run = await bot.comment(issue, "/vibecode budget +2")
        assert run.conclusion is Conclusion.SUCCESS
        assert run.cost.usd > over.cost.usd
        assert len(bot.pull_requests()) == 1


async def test_a_day_has_only_so_many_dollars(tmp_path: Path) -> None:
    async with deployed(tmp_path, MAX_USD="2", MAX_USD_PER_DAY="3") as bot:
        bot.model.says(plan(), plan())
        first, second = await bot.issue(), await bot.issue("Another")
        await bot.stop_worker()
        await bot.label(first)
        await bot.label(second)
        await bot.records.store.reserve(
            f"installation {first_installation(bot)}:{today()}", "another run", 1.5, limit=3
        )
        await bot.start_worker()
        runs = await bot.work()

        assert {run.conclusion for run in runs} == {Conclusion.TIMED_OUT}
        (comment,) = bot.comments(second)
        assert "exceeds what is left of today's $3.00 (`MAX_USD_PER_DAY`). Comment `/vibecode retry`" in comment.body
        assert bot.model.requests == []


def first_installation(bot: Bot) -> int:
    return next(iter(bot.github.world.repos.values())).installation_id


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"
