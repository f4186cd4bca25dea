"""Hostile text ends as one answer, or as none, and takes nothing along."""

import asyncio
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.adapters.parsers.confined import ConfinedParsers
from app.core.errors import ParseError, ParserStopped
from app.core.parsed import SyntaxFault, YamlFile

_HAS_TABLE = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}


@pytest.fixture
async def parsers() -> AsyncIterator[ConfinedParsers]:
    async with aclosing(ConfinedParsers()) as made:
        yield made


async def refused(parsers: ConfinedParsers, data: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        await parsers.load_yaml(data)
    assert not isinstance(caught.value, ParserStopped)
    return f"{caught.value.line}: {caught.value}"


async def test_a_file_is_judged_as_before(parsers: ConfinedParsers) -> None:
    assert await parsers.syntax_faults("a.py", b"x = 1\n") == ()
    assert await parsers.syntax_faults("a.py", b"def f(:\n") == (SyntaxFault(1, 7, "`)` is missing", "def f(:"),)
    assert await parsers.syntax_faults("a.txt", b"(") is None
    assert await parsers.syntax_faults("a.py", b" " * 600_000) is None


async def test_documents_are_read_with_their_lines(parsers: ConfinedParsers) -> None:
    file = await parsers.load_yaml(b"test: pytest\nbudget:\n  usd: 2.5\nroles: [write,\n  admin]\nplan:\n")
    assert file.data == {"test": "pytest", "budget": {"usd": 2.5}, "roles": ["write", "admin"], "plan": None}
    assert [file.line_of(path) for path in (("test",), ("budget", "usd"), ("roles", 1), ("no", "such"), ())] == [
        *(1, 3, 5, 1, 1)
    ]
    assert await parsers.load_yaml(b"# nothing") == YamlFile(None, {})
    assert await parsers.load_json(b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}') == {"a": [1, 2.5, None, True, "\u00e9"]}


async def test_what_the_file_does_not_need_is_refused_with_its_line(parsers: ConfinedParsers) -> None:
    assert await refused(parsers, b"a: 1\nb: &b [1]\nc: *b\n") == (
        "2: anchors and aliases (`&name`, `*name`) are not supported; repeat the value"
    )
    assert (await refused(parsers, b"a: 1\nb: {<<: {c: 1}}\n")).startswith("2: merge keys (`<<`) are not supported")
    assert await refused(parsers, b"- " * 254) == "1: it is nested deeper than 16 levels"
    assert "more than 5,000 values" in await refused(parsers, b"- 1\n" * 16_000)
    assert "python/object/apply:os.getpid` is not supported" in await refused(
        parsers, b"a: !!python/object/apply:os.getpid []\n"
    )
    assert "longer than 65,536 bytes" in await refused(parsers, b" " * 70_000)


async def test_a_bomb_of_merge_keys_is_refused_at_once(parsers: ConfinedParsers) -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}" for level in range(1, 12)]
    assert (await refused(parsers, "\n".join(lines).encode())).startswith("1: anchors and aliases")


async def test_json_that_is_nested_too_deeply_is_refused(parsers: ConfinedParsers) -> None:
    for text in (b"[" * 100_000, b"[" * 101 + b"]" * 101, b'{"a":' * 100_000):
        with pytest.raises(ParseError, match="nested deeper than 100 levels"):
            await parsers.load_json(text)
    for text in (b"", b"{", b"NaN", b"9" * 10_000, b'{"a": 1}}'):
        with pytest.raises(ParseError):
            await parsers.load_json(text)


CRASHING = {
    "a.yml": b"- " * 254,
    "a.js": b"{a:" * 100_000,
}


@pytest.mark.parametrize("path", CRASHING)
async def test_a_text_that_crashes_its_parser_is_one_failed_check(parsers: ConfinedParsers, path: str) -> None:
    with pytest.raises(ParserStopped):
        await parsers.syntax_faults(path, CRASHING[path])
    assert await parsers.syntax_faults("a.py", b"x = 1\n") == ()


async def test_a_text_that_takes_for_ever_holds_up_nobody(parsers: ConfinedParsers) -> None:
    slow = asyncio.create_task(parsers.syntax_faults("a.py", b"\\\n" * 30_000))
    longest, previous = 0.0, time.monotonic()
    while not slow.done():
        assert await parsers.syntax_faults("a.py", b"x = 1\n") == ()
        await asyncio.wait({slow}, timeout=0.02)
        longest, previous = max(longest, time.monotonic() - previous), time.monotonic()
    with pytest.raises(ParserStopped):
        slow.result()
    assert longest < 2.0


async def test_an_expression_is_matched_and_one_that_backtracks_for_ever_is_stopped(parsers: ConfinedParsers) -> None:
    assert await parsers.matches("^(feat|fix): ", b"fix: a typo")
    assert not await parsers.matches("^(feat|fix): ", b"Fix a typo")
    with pytest.raises(ParseError, match="no regular expression that is understood here"):
        await parsers.matches("(?<", b"Fix a typo")
    with pytest.raises(ParserStopped):
        await parsers.matches("^((a+)+)+$", b"a" * 60 + b"!")


async def test_other_parsers_go_on_when_one_crashes(parsers: ConfinedParsers) -> None:
    crashing = [parsers.syntax_faults("a.yml", CRASHING["a.yml"]) for _ in range(10)]
    sound = [parsers.syntax_faults("a.py", b"x = 1\n") for _ in range(10)]
    ended = await asyncio.gather(*crashing, *sound, return_exceptions=True)
    assert all(isinstance(each, ParserStopped) for each in ended[:10])
    assert ended[10:] == [()] * 10


async def test_the_program_has_no_environment_and_no_files(parsers: ConfinedParsers) -> None:
    await parsers.load_json(b"1")
    (program,) = children(os.getpid(), "app.adapters.parsers.program")
    assert holdings(program) <= {"socket", "/dev/null"}
    assert parsers.is_filtered is _HAS_TABLE


def holdings(process: int) -> set[str]:
    """What a process has: kinds of open files (without standard error), and the names in its environment."""
    files = [each for each in Path(f"/proc/{process}/fd").iterdir() if each.name != "2"]
    names = Path(f"/proc/{process}/environ").read_text().split("\0")
    return {str(each.readlink()).partition(":")[0] for each in files} | {name for name in names if name}


def children(parent: int, words: str) -> list[int]:
    """The processes that this one started and whose command line has the words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and words in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def test_a_program_that_died_is_started_again(parsers: ConfinedParsers) -> None:
    assert await parsers.load_json(b"1") == 1
    (program,) = children(os.getpid(), "app.adapters.parsers.program")
    os.kill(program, signal.SIGKILL)
    assert [await parsers.load_json(b"2") for _ in range(3)] == [2, 2, 2]


async def test_nothing_is_left_when_it_is_closed() -> None:
    async with aclosing(ConfinedParsers()) as parsers:
        reading = asyncio.create_task(parsers.syntax_faults("a.py", b"\\\n" * 30_000))
        await parsers.load_json(b"1")
        (program,) = children(os.getpid(), "app.adapters.parsers.program")
    with pytest.raises(ParserStopped):
        await reading
    assert children(os.getpid(), "app.adapters.parsers.program") == []
    assert children(program, "app.adapters.parsers.program") == []


_CONFINED = """
import ctypes, mmap, os, resource, socket, sys
from app.adapters.parsers import program
filter_ = program._program() if IS_FILTERED else None
os.dup2(1, 0)
os.closerange(1, 50)
program.confine(filter_)
tried = dict(
    file=lambda: os.open("/etc/passwd", os.O_RDONLY),
    listing=lambda: os.listdir("/"),
    socket=lambda: socket.socket(),
    pipe=lambda: os.pipe(),
    fork=lambda: os.fork() or os._exit(0),
    execute=lambda: os.execv("/bin/true", ["true"]),
    kill=lambda: os.kill(os.getppid(), 0),
    limits=lambda: resource.setrlimit(resource.RLIMIT_CPU, (100, 100)),
    code=lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    memory=lambda: bytearray(600_000_000),
)
for name in "TRIED".split():
    try:
        tried[name]()
    except (OSError, ValueError, MemoryError):
        pass
    else:
        os.write(0, name.encode() + b" ")
os.write(0, b"done")
"""


def confined(*, is_filtered: bool, tried: str) -> str:
    """What a confined process could do of what it tried."""
    script = _CONFINED.replace("IS_FILTERED", str(is_filtered)).replace("TRIED", tried)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    return ended.stdout


@pytest.mark.skipif(not _HAS_TABLE, reason="there is no table of system calls for this architecture")
def test_a_confined_process_can_reach_nothing() -> None:
    everything = "file listing socket pipe fork execute kill limits code memory"
    assert confined(is_filtered=True, tried=everything) == "done"


def test_without_a_filter_limits_still_keep_files_sockets_and_memory_away() -> None:
    assert confined(is_filtered=False, tried="file listing socket pipe memory") == "done"


async def speak(control: socket.socket, request: bytes) -> bytes:
    """Say these bytes to the program as a request; what it answers."""
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(control, [b"\0"], [theirs.fileno()])
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    writer.write(request)
    writer.write_eof()
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_garbage_is_not_answered_and_harms_nothing(parsers: ConfinedParsers) -> None:
    await parsers.load_json(b"1")
    control = parsers._control
    assert control is not None
    chance = random.Random(1)
    header = json.dumps({"parser": "load_json", "arguments": {}}).encode()
    requests = [chance.randbytes(chance.randrange(200)) for _ in range(30)]
    requests += [(length).to_bytes(4, "big") + header + b"[]" for length in (0, 1, len(header) - 1, 2**32 - 1)]
    requests += [_framed(parser, arguments) for parser in ("", "serve", "__class__") for arguments in ({}, {"path": 1})]
    requests += [_framed("load_json", {"data": ""}), _framed("syntax_faults", {"path": None}), b"\0" * 5_000_000]
    for request in requests:
        assert await speak(control, request) == b""
    assert await parsers.load_json(b"2") == 2


def _framed(parser: str, arguments: object) -> bytes:
    header = json.dumps({"parser": parser, "arguments": arguments}).encode()
    return len(header).to_bytes(4, "big") + header + b"[]"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=st.binary(max_size=200) | st.text(alphabet='{}[]":,valueprobmnisfd_1 ', max_size=80).map(str.encode))
async def test_no_answer_of_the_program_is_believed_that_has_not_its_shape(answer: bytes) -> None:
    async with aclosing(Taken(answer)) as parsers:
        with pytest.raises(ParseError):
            await parsers.load_yaml(b"a: 1")


class Taken(ConfinedParsers):
    """Parsers whose process was taken over."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self._answer = answer

    async def _exchange(self, request: bytes) -> bytes:
        return self._answer


@pytest.mark.parametrize(
    "value",
    [
        '{"value": {"data": 1, "lines": {"": "x"}}, "is_filtered": true}',
        '{"value": {"data": 1}, "is_filtered": true}',
        '{"value": null, "is_filtered": true}',
        '{"value": 1, "is_filtered": true, "more": 1}',
        '{"value": ' + "[" * 100_000,
        "9" * 100_000,
    ],
)
async def test_an_answer_of_another_shape_is_none(value: str) -> None:
    async with aclosing(Taken(value.encode())) as parsers:
        with pytest.raises(ParserStopped):
            await parsers.load_yaml(b"a: 1")
