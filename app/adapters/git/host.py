"""Running git on the host, for repositories that others wrote.

Every command gets an environment of our own and a configuration that outranks the repository's: no hooks, no file
system monitor, no collection of garbage behind our back, no question on a terminal. Nothing is ever checked out.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

MAX_STDERR_BYTES = 16_384
_CHUNK_BYTES = 65_536

_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.splitIndex": "false",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "i18n.commitEncoding": "utf-8",
}


class GitFailed(Exception):
    """Git ended with `exit_code` (-n for signal n); the text is its final comment."""

    def __init__(self, exit_code: int, stderr: str) -> None:
        super().__init__(stderr or f"exit code {exit_code}")
        self.exit_code = exit_code
        self.stderr = stderr


def environment(config: Mapping[str, str], home: str = os.devnull) -> dict[str, str]:
    """The whole environment of a git command. `config` may hold secrets: it is seen by this user's processes alone."""
    git = shutil.which("git")
    path = os.defpath if git is None else f"{Path(git).parent}:{os.defpath}"
    settings = {**_CONFIG, **config}
    keys = {f"GIT_CONFIG_KEY_{index}": key for index, key in enumerate(settings)}
    values = {f"GIT_CONFIG_VALUE_{index}": value for index, value in enumerate(settings.values())}
    return {
        "PATH": path,
        "HOME": home,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
        **keys,
        **values,
    }


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes = b"",
    timeout_s: float = 60.0,
    max_output_bytes: int = 16 * 1024 * 1024,
) -> bytes:
    """Run a command, git or one that becomes git, and return the first `max_output_bytes` it prints.

    A command that prints more is killed there. It runs in its own process group, which never outlives this call.

    Raises:
        GitFailed: it failed.
        TimeoutError: it ran past `timeout_s`.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            group.create_task(_feed(process, stdin))
            complaints = group.create_task(_tail(process))
            output = await _read(process, max_output_bytes)
            if len(output) > max_output_bytes:
                _kill(process)
                return output[:max_output_bytes]
            await process.wait()
    finally:
        if process.returncode is None:
            _kill(process)
            await process.wait()
    if process.returncode:
        raise GitFailed(process.returncode, complaints.result())
    return output


async def _feed(process: asyncio.subprocess.Process, stdin: bytes) -> None:
    pipe = process.stdin
    if pipe is None:
        return
    try:
        pipe.write(stdin)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        return  # it ended before it had read everything; its exit code tells why


async def _read(process: asyncio.subprocess.Process, max_bytes: int) -> bytes:
    output = bytearray()
    while process.stdout and len(output) <= max_bytes and (chunk := await process.stdout.read(_CHUNK_BYTES)):
        output += chunk
    return bytes(output)


async def _tail(process: asyncio.subprocess.Process) -> str:
    kept = b""
    while process.stderr and (chunk := await process.stderr.read(_CHUNK_BYTES)):
        kept = (kept + chunk)[-MAX_STDERR_BYTES:]
    return kept.decode(errors="replace").strip()


def _kill(process: asyncio.subprocess.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
