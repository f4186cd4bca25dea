"""A whole deployment for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot import Bot, deployed


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with deployed(tmp_path, times=10) as bot:
        yield bot
        assert list(bot.model.complaints) == []
