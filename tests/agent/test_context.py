"""What a repository looks like to somebody who has not seen it."""

import re

import pytest
from inline_snapshot import snapshot

from app.agent.survey import MAX_SURVEY_CHARS, survey
from app.core.errors import SandboxError
from app.core.ports.sandbox import Sandbox


async def sh(sandbox: Sandbox, line: str) -> None:
    result = await sandbox.exec(["sh", "-c", line])
    assert result.exit_code == 0, result.output


async def test_a_repository_in_some_lines(sandbox: Sandbox) -> None:
    text = re.sub(r"\b[0-9a-f]{7,} \d{4}-\d\d-\d\d ", "1234567 2026-11-22 ", await survey(sandbox))
    assert text == snapshot("""\
## Tree (files in each folder)
.gitignore
README.md
greet.py
tests/ 1

## Languages (files)
py 2, md 1

## Last commits
1234567 2026-11-22 Greet

## README
# Greeter

Greets.\
""")


async def test_a_huge_repository_is_bounded(sandbox: Sandbox) -> None:
    await sh(
        sandbox,
        "seq -f 'src/package_%g/deep' 300 | xargs mkdir -p; seq -f 'src/package_%g/deep/a.py' 300 | xargs touch",
    )
    await sh(sandbox, "mkdir many; cd many; seq -f 'a_file_with_quite_a_long_name_%g.txt' 3000 | xargs touch")
    await sandbox.write("README.md", b"# Long\n" + b"word " * 100_000)
    text = await survey(sandbox)
    assert len(text) <= MAX_SURVEY_CHARS
    assert re.search(r"many/ 3000", text)
    assert "more" in text


async def test_odd_names_do_no_harm(sandbox: Sandbox) -> None:
    await sh(
        sandbox,
        r"""touch -- -rf "a b" 'c"d' "$(printf 'e\nf')" "$(printf '\351')"; mkdir -- --help; touch -- --help/x""",
    )
    text = await survey(sandbox)
    assert "-rf" in text
    assert "--help/ 1" in text


async def test_a_folder_without_git_is_surveyed_too(sandbox: Sandbox) -> None:
    await sh(sandbox, "rm -rf .git")
    assert "tests/ 1" in await survey(sandbox)


async def test_an_empty_repository_is_called_empty(sandbox: Sandbox) -> None:
    await sh(sandbox, "rm -rf .git .gitignore *")
    assert await survey(sandbox) == "The repository is empty."


async def test_a_machine_that_is_gone_is_not_surveyed(sandbox: Sandbox) -> None:
    await sandbox.close()
    with pytest.raises(SandboxError):
        await survey(sandbox)
