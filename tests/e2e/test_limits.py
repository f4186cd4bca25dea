"""Budgets end a run; what was done is handed over."""

from pathlib import Path

from app.core.run import Conclusion
from tests.bot import deployed
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
        assert "⌛ Over budget" in bot.comments(issue)[0].body
