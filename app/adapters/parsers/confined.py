"""The worker's side of `program.py`: starts it, hands it one socket for each request, and believes nothing it says.

An answer that is not of the expected shape is none: then the text could not be read, and nothing else follows.
"""

import asyncio
import json
import logging
import socket
import sys
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from app.core.errors import ParseError, ParserStopped
from app.core.parsed import SyntaxFault, YamlFile

log = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE: Final = 8
"""Requests at a time; a hostile one holds its place for some seconds."""
WAIT_S: Final = 25.0
"""More than the program gives a request, so that what it ends has ended."""
MAX_DATA_BYTES: Final = 3 * 1024 * 1024
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_MAX_JUDGED_BYTES: Final = 512 * 1024
_CLOSE_S: Final = 5.0
_START: Final = "import sys; sys.path[:] = sys.argv[1:]; from app.adapters.parsers.program import main; main()"


class _ParserReply(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    value: JsonValue = None
    problem: str | None = None
    line: int | None = None
    is_filtered: bool


class _Yaml(BaseModel):
    data: JsonValue
    lines: dict[str, int]


_FAULTS: Final = TypeAdapter(tuple[SyntaxFault, ...] | None)
_YAML: Final = TypeAdapter(_Yaml)
_BOOL: Final = TypeAdapter(bool)
_JSON: Final[TypeAdapter[JsonValue]] = TypeAdapter(JsonValue)


class ConfinedParsers:
    """The parsers, behind the `Parsers` port. The program is started with the first request, and again when it died.

    `is_filtered` says, after the first answer, whether the kernel also filters what a parser may call.
    """

    def __init__(self) -> None:
        self.is_filtered: bool | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._starting = asyncio.Lock()
        self._program: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._is_closed = False

    async def syntax_faults(self, path: str, data: bytes) -> tuple[SyntaxFault, ...] | None:
        """See the port."""
        if len(data) > _MAX_JUDGED_BYTES:
            return None
        return await self._ask("syntax_faults", data, _FAULTS, path=path)

    async def load_yaml(self, data: bytes) -> YamlFile:
        """See the port."""
        made = await self._ask("load_yaml", data, _YAML)
        return YamlFile(made.data, made.lines)

    async def load_json(self, data: bytes) -> JsonValue:
        """See the port."""
        return await self._ask("load_json", data, _JSON)

    async def matches(self, pattern: str, data: bytes) -> bool:
        """See the port."""
        return await self._ask("matches", data, _BOOL, pattern=pattern)

    async def aclose(self) -> None:
        """End the program, and with it whatever it still reads, for good."""
        self._is_closed = True
        await self._end()

    async def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._program is not None and self._program.returncode is None:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self._program.wait()
            except TimeoutError:
                self._program.kill()
                await self._program.wait()
        self._control = self._program = None

    async def _ask(self, parser: str, data: bytes, shape: TypeAdapter[T], **arguments: str) -> T:
        """Have a parser of the program's read the text.

        Raises:
            ParseError: the parser refused it.
            ParserStopped: there is no answer, or none of the expected shape.
        """
        if len(data) > MAX_DATA_BYTES:
            raise ParserStopped(f"it is longer than {MAX_DATA_BYTES:,} bytes")
        header = json.dumps({"parser": parser, "arguments": arguments}).encode()
        request = len(header).to_bytes(4, "big") + header + data
        async with self._slots:
            raw = await self._exchange(request)
            if (
                not raw and not self._is_closed and self._is_program_gone()
            ):  # it may not have been this text that ended it
                raw = await self._exchange(request)
        try:
            answer = _ParserReply.model_validate_json(raw)
            self._note(answer.is_filtered)
            if answer.problem is not None:
                raise ParseError(answer.problem, answer.line)
            return shape.validate_python(answer.value)
        except ValidationError as error:
            log.warning("a text stopped its parser", extra={"parser": parser, "bytes": len(data)})
            raise ParserStopped("reading it took too much time or memory, or crashed the parser") from error

    def _note(self, is_filtered: bool) -> None:
        if self.is_filtered is None and not is_filtered:
            log.warning("parsers run without a seccomp filter, which this kernel or architecture does not offer")
        self.is_filtered = is_filtered

    def _is_program_gone(self) -> bool:
        try:
            return self._control is not None and not self._control.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def _exchange(self, request: bytes) -> bytes:
        """Send a request and return what came back; empty when the process ended without an answer, or in no time."""
        reader, writer = await asyncio.open_unix_connection(sock=await self._connect())
        try:
            async with asyncio.timeout(WAIT_S):
                writer.write(request)
                writer.write_eof()
                return await _read_all(reader)
        except (ConnectionError, TimeoutError):
            return b""
        finally:
            writer.transport.abort()

    async def _connect(self) -> socket.socket:
        """Our end of a new request's socket. A program that died is started again, once."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                async with self._starting:
                    await self._hand_over(theirs)
            except BaseException:
                ours.close()
                raise
        return ours

    async def _hand_over(self, theirs: socket.socket) -> None:
        for _ in range(2):
            try:
                socket.send_fds(await self._open(), [b"\0"], [theirs.fileno()])
            except OSError as error:
                log.warning("the parser process has exited", extra={"reason": str(error)})
                await self._end()
            else:
                return
        raise ParserStopped("the parser process cannot be started")

    async def _open(self) -> socket.socket:
        """The control socket of the program, which is started if it is not there.

        Raises:
            OSError: it cannot be started.
        """
        if self._control is None:
            control, theirs = socket.socketpair()
            control.setblocking(False)
            with theirs:
                try:
                    self._program = await asyncio.create_subprocess_exec(
                        *(sys.executable, "-I", "-S", "-c", _START, *_import_path()),
                        stdin=theirs.fileno(),
                        stdout=asyncio.subprocess.DEVNULL,
                        env={},
                        cwd="/",
                        start_new_session=True,
                    )
                except BaseException:
                    control.close()
                    raise
            self._control = control
        return self._control


def _import_path() -> list[str]:
    """Where this process finds its modules; the program must find the same ones without an environment to say so."""
    return list(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path))


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the end, or nothing when that is too much."""
    answer = bytearray()
    while chunk := await reader.read(65_536):
        answer += chunk
        if len(answer) > MAX_ANSWER_BYTES:
            return b""
    return bytes(answer)
