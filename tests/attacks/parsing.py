"""Text that crashes or occupies whoever parses it, written by the model or lying in the repository.

What counts is that the worker lives, that its event loop goes on, and that another run ends well.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.core.run.run import Conclusion
from app.demo.model.scripted import tool
from tests.attacks.attack import attack
from tests.attacks.scene import Scene
from tests.e2e.turns import shell, write

_MAX_BUSY_S: Final = 1.5
"""What the event loop may compute without a pause, in processor time, so that a busy machine changes nothing."""
_BOMB: Final = "\n".join(
    [
        "a0: &a0 {k: v}",
        *(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 7)}]}}" for level in range(1, 10)),
    ]
)
"""Seven to the ninth power of mappings, in some 500 bytes."""


@asynccontextmanager
async def _responsive() -> AsyncIterator[None]:
    """The event loop that web and worker share never computes for long without a pause."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.05)
            longest = max(longest, time.thread_time() - before)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
    assert longest < _MAX_BUSY_S, f"The event loop was busy for {longest:.1f} s."


async def _survived(scene: Scene, path: str, content: str) -> None:
    """The model writes the file; its run goes on, and so does another one beside it."""
    async with _responsive():
        scene.persuade(write(path, content))
        issues = [await scene.bot.issue(title) for title in ("The greeting has a typo", "Another one")]
        run = await scene.labelled(issues[0])
        await scene.assert_mended(run)
        other = await scene.labelled(issues[1])
        assert other.conclusion is not None
        assert other.attempt == run.attempt == 1, "A worker was lost."
    scene.assert_in(scene.heard(), f"Wrote {path}", "Its syntax could not be checked")


@attack("parsing")
async def yaml_that_crashes_its_parser(scene: Scene) -> None:
    """254 nested sequences, 600 bytes, on which the YAML grammar writes past its stack."""
    await _survived(scene, "deploy.yml", "- " * 254)


@attack("parsing")
async def javascript_that_crashes_its_parser(scene: Scene) -> None:
    """100,000 nested braces, on which the JavaScript grammar overflows the stack."""
    await _survived(scene, "deploy.js", "{a:" * 100_000)


@attack("parsing")
async def python_that_takes_for_ever(scene: Scene) -> None:
    """60 kB of continued lines, which cost the parser a quarter of a minute."""
    await _survived(scene, "deploy.py", "\\\n" * 30_000)


@attack("parsing", files={".github/vibecode.yml": _BOMB})
async def a_bomb_in_the_repositorys_file(scene: Scene) -> None:
    """Merge keys that multiply: some hundred bytes that become gigabytes, read by a run and by the sweep."""
    async with _responsive():
        run = await scene.labelled(await scene.bot.issue())
        await scene.bot.swept()
    assert run.conclusion is not Conclusion.SUCCESS
    scene.assert_told(".github/vibecode.yml", "line 1", "anchors and aliases", "are not supported")


@attack("parsing", files={".github/vibecode.yml": "plan: auto\n", "package.json": "[" * 100_000})
async def a_package_file_without_a_bottom(scene: Scene) -> None:
    """A `package.json` of 100,000 brackets, when the tests are looked for."""
    async with _responsive():
        run = await scene.asked()
    await scene.assert_mended(run)
    scene.assert_in("\n".join(each.text for each in run.activities), "`package.json` is not read")


@attack("parsing", files={"bundle.js": "x" * 1_500_000 + "helo"})
async def lines_without_an_end(scene: Scene) -> None:
    """A search and an edit that meet one line of 1.5 MB, and a passage that is nearly there very often."""
    async with _responsive():
        run = await scene.asked(
            tool("search", pattern="helo"), tool("edit", path="bundle.js", old="x" * 40_000 + "y", new="z")
        )
    await scene.assert_mended(run)


@attack("parsing")
async def white_space_in_the_issue(scene: Scene) -> None:
    """An issue of 60,000 blanks behind a label, which cost whoever cleans it minutes."""
    issue = await scene.bot.issue(body="It says helo.\n\n[a]:" + " " * 60_000 + "\n\n[b]")
    async with _responsive():
        scene.persuade()
        run = await scene.labelled(issue)
    await scene.assert_mended(run)
    assert run.attempt == 1, "A worker was lost."


@attack("parsing")
async def a_file_in_ten_thousand_folders(scene: Scene) -> None:
    """A path that is in git's index only, whose folders' names would fill the worker's memory."""
    script = (
        "export GIT_INDEX_FILE=.git/vibecoder-index; path=$(printf 'a/%.0s' $(seq 12000))AGENTS.md; "
        "printf '100644 %s\\t%s\\n' $(git hash-object -w greet.py) $path | git update-index --index-info && "
        "printf '%s\\0' $path | git update-index -z --skip-worktree --stdin && echo placed"
    )
    async with _responsive():
        run = await scene.asked(shell(script))
    scene.assert_in(scene.heard(), "placed")
    assert run.conclusion is Conclusion.FAILURE
    assert run.attempt == 1, "A worker was lost."
    scene.assert_told("is too long or nested too deeply")


@attack("parsing", files={".github/vibecode.yml": "plan: auto\nprotected: ['*a*a*a*a*a*a*b']\n"})
async def a_pattern_that_takes_for_ever(scene: Scene) -> None:
    """A repository that protects `*a*a*a*a*a*a*b`, and a file whose name it fits in all ways but the last."""
    async with _responsive():
        run = await scene.asked(shell("echo 1 > $(printf 'a%.0s' $(seq 200))"))
    await scene.assert_mended(run)
    assert run.attempt == 1, "A worker was lost."
