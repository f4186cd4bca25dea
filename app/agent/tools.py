"""Carries out what the model asks for, in the sandbox and nowhere else. Whatever goes wrong is told to the model.

The only exception that leaves is `SandboxError`: the machine is gone.
"""

import asyncio
import posixpath
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, assert_never

from app.agent.edit import NoEdit, in_style_of, number, replace
from app.agent.tool_calls import MAX_SHELL_TIMEOUT_S, Edit, Read, Search, Shell, WorkCall, Write
from app.core.errors import ParserStopped
from app.core.parsed import SyntaxFault, introduced
from app.core.ports.parsers import Parsers
from app.core.ports.sandbox import CommandTimeout, ExecResult, Sandbox
from app.core.safety.sanitize import show_invisible
from app.core.safety.terminal import plain

MAX_RESULT_CHARS: Final = 16_000
MAX_FILE_BYTES: Final = 2 * 1024 * 1024
MAX_LINE_CHARS: Final = 1_000
MAX_MATCH_CHARS: Final = 300
MAX_SUGGESTIONS: Final = 5
_SHELL_TIMEOUT_S: Final = 120
_LOOK_TIMEOUT_S: Final = 60.0
_SHOWN_FAULTS: Final = 3
_ENVIRONMENT: Final = {"PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0", "NO_COLOR": "1"}

_RIPGREP: Final = ("--no-config", "-nH", "--no-heading", "--color=never", "--hidden", "--glob=!.git", "--sort=path")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave: the text for the model, and whether it did what it was asked."""

    text: str
    is_failure: bool = False


class _Failed(Exception):
    """A call cannot be carried out; the text says why and what would work."""


class Workbench:
    """One conversation's tools. Remembers how the files it touched were before."""

    def __init__(self, sandbox: Sandbox, parsers: Parsers) -> None:
        self._sandbox = sandbox
        self._parsers = parsers
        self._shell = ""
        self._before: dict[str, tuple[SyntaxFault, ...] | None] = {}
        self._written: dict[str, bytes] = {}
        """What was written and no command may have changed since."""

    async def carry_out(self, call: WorkCall) -> Outcome:
        """Do what is asked. The text has at most `MAX_RESULT_CHARS`, and a little more to say what was left out."""
        try:
            return await self._dispatch(call)
        except (_Failed, NoEdit, OSError) as error:
            return Outcome(str(error), is_failure=True)

    async def _dispatch(self, call: WorkCall) -> Outcome:
        match call:
            case Shell():
                try:
                    return await self._run(call)
                finally:
                    self._written.clear()
            case Read():
                return Outcome(await self._show(call))
            case Search():
                return await self._search(call)
            case Edit():
                return Outcome(await self._edit(call))
            case Write():
                return Outcome(await self._write(call))
            case _:
                assert_never(call)

    async def take_up(self, calls: Sequence[WorkCall]) -> None:
        """Know the files that another worker's calls touched. How they were before is what git's HEAD has."""
        for path in dict.fromkeys(call.path for call in calls if isinstance(call, Edit | Write)):
            with suppress(_Failed):
                inside = self._confine(path, to_write=True)
                committed = await self._look(["git", "show", f"HEAD:./{inside}"])
                if not committed.cut:
                    data = b"" if committed.exit_code else committed.output.encode()
                    self._before[inside] = await self._check(inside, data)

    async def faults(self) -> str:
        """The syntax faults that are in touched files now and were not before; empty when there are none."""
        found = []
        for path, before in self._before.items():
            try:
                known = self._written.get(path)
                data = await self._sandbox.read(path, max_bytes=MAX_FILE_BYTES) if known is None else known
            except OSError:
                continue
            if new := introduced(before, await self._check(path, data)):
                found.append(f"{path}:\n{_show_faults(new, data)}")
        return "\n".join(found)

    # ----------------------------------------------------------------------------------------------------- commands

    async def _run(self, call: Shell) -> Outcome:
        timeout_s = min(max(1, call.timeout_s or _SHELL_TIMEOUT_S), MAX_SHELL_TIMEOUT_S)
        shell = await self._find_shell()
        try:
            result = await self._sandbox.exec(
                [shell, "-c", call.command],
                env=_ENVIRONMENT,
                timeout_s=timeout_s,
                max_output_bytes=MAX_RESULT_CHARS,
            )
        except CommandTimeout as error:
            return Outcome(
                f"Stopped: it did not end within {timeout_s} s. Run less of it, or set `timeout_s` (at most "
                f"{MAX_SHELL_TIMEOUT_S}). What it had printed:\n{_plain(error.output)}",
                is_failure=True,
            )
        hint = "\n[The middle was left out: filter the output, or write it to a file and `read` that.]"
        text = f"exit code {result.exit_code}, {result.seconds:.1f} s\n{_plain(result.output)}"
        return Outcome(text.rstrip() + (hint if result.cut else ""), is_failure=result.exit_code != 0)

    async def _find_shell(self) -> str:
        if not self._shell:
            has_bash = (await self._look(["bash", "-c", "exit 0"])).exit_code == 0
            self._shell = "bash" if has_bash else "sh"
        return self._shell

    async def _look(self, argv: Sequence[str]) -> ExecResult:
        """Run a program of ours that only looks; no answer in time is an answer."""
        try:
            return await self._sandbox.exec(
                argv, env=_ENVIRONMENT, timeout_s=_LOOK_TIMEOUT_S, max_output_bytes=4 * MAX_RESULT_CHARS
            )
        except CommandTimeout as error:
            raise _Failed(f"No answer within {_LOOK_TIMEOUT_S:.0f} s. Ask for less.") from error

    async def _search(self, call: Search) -> Outcome:
        path = self._confine(call.path or ".")
        result = ExecResult(127, "There is no tool to search with.", 0.0)
        for argv in _searchers(call.pattern, path, call.glob or ""):
            result = await self._look(argv)
            if result.exit_code in (0, 1):
                break
        if result.exit_code == 1:
            if (await self._look(["ls", "-d", "--", path])).exit_code:
                raise _Failed(await self._no_such(path))
            return Outcome("No matches.")
        lines = [_clip(line.removeprefix("./"), MAX_MATCH_CHARS) for line in _plain(result.output).splitlines()]
        kept = _first_that_fit(lines)
        text = "\n".join(lines[:kept])
        if kept < len(lines) or result.cut:
            text += "\n[There is more: narrow the pattern, `path` or `glob`.]"
        return Outcome(text, is_failure=result.exit_code != 0)

    # -------------------------------------------------------------------------------------------------------- files

    async def _show(self, call: Read) -> str:
        path = self._confine(call.path)
        try:
            data = await self._sandbox.read(path, max_bytes=MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return await self._list(path)
        if _is_binary(data):
            raise _Failed(f"{path} is binary.")
        lines = _lines(show_invisible(data[:MAX_FILE_BYTES].decode(errors="replace").replace("\0", "\u2400")))
        start, end = max(1, call.start or 1), min(call.end or len(lines), len(lines))
        if not lines or start > end:
            return f"{path} is empty." if not lines else f"{path} has {len(lines)} lines: none from {start} to {end}."
        numbered = number([_clip(line, MAX_LINE_CHARS) for line in lines[start - 1 : end]], start).split("\n")
        last = start - 1 + _first_that_fit(numbered)
        text = f"{path}, lines {start}-{last} of {len(lines)}\n" + "\n".join(numbered[: last - start + 1])
        if last < end:
            text += f"\n[Read on with `start` {last + 1}.]"
        if len(data) > MAX_FILE_BYTES:
            text += f"\n[Only the first {MAX_FILE_BYTES:,} bytes of the file can be read here; `search` sees all.]"
        return text

    async def _list(self, path: str) -> str:
        result = await self._look(["ls", "-1Apq", "--", f"{path}/"])
        if result.exit_code:
            raise _Failed(await self._no_such(path))
        entries = result.output.splitlines()
        kept = _first_that_fit(entries)
        more = f"\n[{len(entries) - kept} more: list a folder below.]" if kept < len(entries) or result.cut else ""
        return f"{path}/ has {len(entries)} entries:\n" + "\n".join(entries[:kept]) + more

    async def _no_such(self, path: str) -> str:
        name = re.sub(r"[^\w.-]", "?", posixpath.basename(path))
        listed = await self._look(
            [
                "git",
                "ls-files",
                "-co",
                "--exclude-standard",
                "--",
                f":(icase,glob)**/{name}",
                f":(icase,glob)**/{name}/**",
            ]
        )
        near = listed.output.splitlines()[:MAX_SUGGESTIONS] if listed.exit_code == 0 else []
        return f"There is no file or folder {path}." + (f" There is: {', '.join(near)}." if near else "")

    async def _edit(self, call: Edit) -> str:
        path = self._confine(call.path, to_write=True)
        try:
            data = await self._sandbox.read(path, max_bytes=MAX_FILE_BYTES + 1)
        except FileNotFoundError as error:
            raise _Failed(await self._no_such(path)) from error
        if len(data) > MAX_FILE_BYTES or _is_binary(data):
            raise _Failed(f"{path} is binary or larger than {MAX_FILE_BYTES:,} bytes: change it with a command.")
        text = data.decode(errors="surrogateescape")
        # in a thread: looking for what comes nearest takes a while in a large file
        changed = await asyncio.to_thread(replace, text, call.old, call.new, everywhere=bool(call.replace_all))
        new = changed.encode(errors="surrogateescape")
        await self._sandbox.write(path, new)
        return f"Edited {path}.{await self._judge(path, data, new)}"

    async def _write(self, call: Write) -> str:
        path = self._confine(call.path, to_write=True)
        try:
            old = await self._sandbox.read(path, max_bytes=MAX_FILE_BYTES)
        except FileNotFoundError:
            old = b""
        content = in_style_of(old.decode(errors="replace"), call.content)
        new = content.encode()
        await self._sandbox.write(path, new)
        return f"Wrote {path} ({len(_lines(content))} lines).{await self._judge(path, old, new)}"

    async def _judge(self, path: str, old: bytes, new: bytes) -> str:
        if path not in self._before:
            self._before[path] = await self._check(path, old)
        before = self._before[path]
        self._written[path] = new
        try:
            after = await self._parsers.syntax_faults(path, new)
        except ParserStopped as error:
            return f" Its syntax could not be checked: {error}."
        if after is None:
            return ""
        if faults := introduced(before, after):
            return f" Syntax faults that were not there before:\n{_show_faults(faults, new)}"
        return " Syntax ok." if not after else " No new syntax faults; those it had are still there."

    async def _check(self, path: str, data: bytes) -> tuple[SyntaxFault, ...] | None:
        """The file's syntax faults; None when it cannot be judged."""
        try:
            return await self._parsers.syntax_faults(path, data)
        except ParserStopped:
            return None

    def _confine(self, path: str, *, to_write: bool = False) -> str:
        """The path relative to the work tree."""
        root = self._sandbox.work_tree
        inside = posixpath.relpath(posixpath.join(root, path.strip() or "."), root)
        parts = inside.split("/")
        if parts[0] == "..":
            raise _Failed(f"{path} is outside of the repository. Paths are relative to its root.")
        if to_write and (inside == "." or ".git" in map(str.lower, parts)):
            raise _Failed(f"{path} cannot be written: it is git's own, or no file.")
        return inside


def _searchers(pattern: str, path: str, glob: str) -> tuple[list[str], ...]:
    """The same search for ripgrep, git and grep: the first that is there and understands it answers."""
    globs = ["--glob", glob] if glob else []
    folder = "" if path == "." else f"{path}/"
    spec = f":(glob){folder}**/{glob}" if glob else f":(literal){path}"
    excluded = [f"--exclude-dir={name}" for name in (".git", "node_modules", ".venv", "__pycache__")]
    return (
        ["rg", *_RIPGREP, *globs, "-e", pattern, "--", path],
        ["git", "--no-pager", "grep", "-nI", "--no-color", "--untracked", "-P", "-e", pattern, "--", spec],
        ["grep", "-rnHIE", *excluded, *([f"--include={glob}"] if glob else []), "-e", pattern, "--", path],
    )


def _show_faults(faults: Sequence[SyntaxFault], data: bytes) -> str:
    lines = _lines(data.decode(errors="replace"))
    shown = []
    for fault in faults[:_SHOWN_FAULTS]:
        first = max(1, fault.line - 2)
        around = [_clip(line, MAX_MATCH_CHARS) for line in lines[first - 1 : fault.line + 2]]
        shown.append(f"{fault}\n{number(around, first)}")
    more = len(faults) - _SHOWN_FAULTS
    return "\n".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def _lines(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _is_binary(data: bytes) -> bool:
    return b"\0" in data[:8_192]


def _clip(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[:limit]}… ({len(line) - limit} more characters)"


def _first_that_fit(lines: Sequence[str]) -> int:
    """How many lines have room in a result; at least one."""
    room = MAX_RESULT_CHARS
    for index, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return max(1, index)
    return len(lines)


def _plain(output: str) -> str:
    """Terminal output as it would be read, with what is invisible in it shown."""
    return show_invisible(plain(output))
