"""A real sandbox with a small repository in it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from app.adapters.parsers.confined import ConfinedParsers
from app.adapters.sandbox.local.sandboxes import LocalSandboxes
from app.core.ports.parsers import Parsers
from app.core.ports.sandbox import Sandbox

GREET = """\
def greet(name):
    return "helo " + name
"""
SET_UP = f"""set -e
mkdir tests build
cat >greet.py <<'END'
{GREET}END
cat >tests/test_greet.py <<'END'
from greet import greet


def test_greet():
    assert greet('a')
END
printf '# Greeter\\n\\nGreets.\\n' >README.md
echo build/ >.gitignore
echo helo >build/greet.py
git init -q
git add -A
git -c user.name=a -c user.email=a@example.org commit -qm Greet
"""


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Isolated where this host can do that."""
    provider = LocalSandboxes(tmp_path / "machines", isolation=not LocalSandboxes.probe())
    made = await provider.create(key="agent", metadata={}, timeout_s=300)
    result = await made.exec(["sh", "-c", SET_UP])
    assert result.exit_code == 0, result.output
    yield made
    await made.close()


@pytest.fixture
async def parsers() -> AsyncIterator[Parsers]:
    async with aclosing(ConfinedParsers()) as made:
        yield made
