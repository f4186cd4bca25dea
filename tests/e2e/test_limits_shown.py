"""A run that waits for somebody's limit says so in its comment: for what, and until when."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from app.demo.github.state.records import Issue
from tests.bot import Bot, deployed
from tests.e2e.turns import edit, finish, plan

LIMITS: list[tuple[Mapping[str, str], str]] = [
    ({"retry-after": "3000"}, "You have exceeded a secondary rate limit"),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4000000000"}, "API rate limit exceeded"),
]


async def shown(bot: Bot, issue: Issue, words: str) -> str:
    """The bot's one comment, once it has these words."""
    async with asyncio.timeout(20):
        while True:
            for comment in bot.comments(issue):
                if words in comment.body:
                    return comment.body
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("headers", "words"), LIMITS, ids=["secondary", "primary"])
async def test_githubs_limit(bot: Bot, headers: Mapping[str, str], words: str) -> None:
    bot.model.says(plan("Mend the greeting"), edit("helo", "hello"), finish("Mended."))
    bot.github.fails("POST", r"/git/refs$", status=403, headers=headers, json={"message": words})
    issue = await bot.issue()
    await bot.label(issue)
    await bot.waits_for(words)

    said = await shown(bot, issue, words)
    assert "### ⏳ Waiting · 0 %" in said
    assert re.search(r"Retrying at [0-9 A-Za-z]*\d\d:\d\d UTC: GitHub answered 403", said)


async def test_the_models_limit(bot: Bot) -> None:
    bot.model.fails(429, times=10, headers={"retry-after": "30"}, message="Slow down.")
    issue = await bot.issue()
    await bot.label(issue)
    await bot.waits_for("limits how often")

    said = await shown(bot, issue, "limits how often")
    assert "### ⏳ Waiting · 30 %" in said
    assert re.search(r"Retrying at \d\d:\d\d UTC: The model's server limits how often it is asked", said)


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Bot]:
    """A deployment that waits long enough for somebody to see it."""
    async with deployed(tmp_path) as bot:
        yield bot


async def test_a_run_that_goes_on_is_working_again(patient: Bot) -> None:
    bot = patient
    bot.model.says(plan("Mend the greeting"), edit("helo", "hello"), finish("Mended."))
    bot.github.fails("POST", r"/git/refs$", status=502, times=4)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.waits_for("502")
    await shown(bot, issue, "⏳ Waiting · 0 %")
    (run,) = await bot.work()

    assert run.wake_at is None
    assert "Waiting" not in bot.comments(issue)[0].body
