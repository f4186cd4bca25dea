"""Processes in a machine of E2B's, started through the SDK's own client of envd, but not by `commands.run`, which would
put a login shell around them: what the template's or the repository's profile prints, waits for or exits with would
then be the command's.

Of e2b 2.63 this needs, beyond what it documents: `create_rpc_client`, `as_stream` and `first_event` of
`envd.client_async`, the stubs in `envd.process`, `authentication_header`, `ahandle_rpc_exception_with_health`, and a
sandbox's `_envd_version`. The exact version is pinned; `tests/adapters/test_sandbox_e2b.py` notices a change.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final, Literal, TypeVar

from e2b import AsyncSandbox, SandboxException
from e2b.connection_config import KEEPALIVE_PING_HEADER, KEEPALIVE_PING_INTERVAL_SEC
from e2b.envd.client_async import as_stream, create_rpc_client, first_event
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import ProcessClient
from e2b.envd.rpc import ahandle_rpc_exception_with_health
from e2b.envd.utils import authentication_header, extract_start_pid
from protobuf import Oneof

from app.adapters.sandbox.e2b.errors import is_blip, translated
from app.adapters.sandbox.e2b.remote import Program
from app.core.errors import SandboxError

_REQUEST_S: Final = 30.0
AGAIN_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""How long to wait before a command is sent again: the first time, the second, and so on; then it has failed."""

log = logging.getLogger(__name__)

T = TypeVar("T")


async def past_blips(call: Callable[[], Awaitable[T]], again_s: Sequence[float]) -> T:
    """Make a call that may be repeated, and again, with back-off, where what lies between fails."""
    for wait_s in again_s:
        try:
            return await call()
        except SandboxError as error:
            if not isinstance(error.__cause__, Exception) or not is_blip(error.__cause__):
                raise
            log.warning("call repeated", extra={"reason": str(error), "wait_s": wait_s})
            await asyncio.sleep(wait_s)
    return await call()


class Process:
    """One that runs. Its output is collected whether or not somebody waits for it."""

    def __init__(self, envd: "Envd", pid: int, events: AsyncGenerator[pb.StartResponse, Any]) -> None:
        self._envd = envd
        self._pid = pid
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._has_ended = False
        self._collecting = asyncio.create_task(self._collect(events))

    async def wait(self, seconds: float) -> bool:
        """Whether it has ended within that time. Not by cancelling what collects: that would lose its output."""
        await asyncio.wait({self._collecting}, timeout=seconds)
        if self._collecting.done() and not self._collecting.cancelled():
            self._collecting.exception()  # seen: asyncio need not complain of it
        return self._collecting.done()

    def output(self) -> tuple[bytes, bytes]:
        """What it printed on standard output and on standard error.

        Raises:
            SandboxError: its end was never told.
        """
        with translated("run a command"):
            self._collecting.result()
            if not self._has_ended:
                raise SandboxException("The command ended without an end event")
        return bytes(self._stdout), bytes(self._stderr)

    async def terminate(self) -> None:
        """Send it SIGTERM. One that has ended is none the worse for it."""
        await self._envd.terminate(self._pid)

    def forget(self) -> None:
        """Collect no more."""
        self._collecting.cancel()

    async def _collect(self, events: AsyncGenerator[pb.StartResponse, Any]) -> None:
        try:
            async for response in events:
                match response.event.event.value if response.event and response.event.event else None:
                    case pb.ProcessEvent.DataEvent(output=printed) if printed is not None:
                        (self._stdout if printed.field == "stdout" else self._stderr).extend(printed.value)
                    case pb.ProcessEvent.EndEvent():
                        self._has_ended = True
        except Exception as error:
            raise await self._envd.explained(error) from error
        finally:
            await events.aclose()


class Envd:
    """The process service of one machine."""

    def __init__(self, box: AsyncSandbox, again_s: Sequence[float] = AGAIN_S) -> None:
        self._box = box
        self.again_s = again_s
        self._rpc = create_rpc_client(ProcessClient, box.envd_api_url, box.connection_config)

    async def start(self, program: Program, *, within_s: float = _REQUEST_S) -> Process:
        """Start a program with nothing on its standard input. Where what lies between fails first, the same request is
        sent again: a supervisor does not begin one twice.

        Raises:
            SandboxError: among others, the machine did not answer within `within_s`.
        """
        return await past_blips(lambda: self._start_once(program, within_s), self.again_s)

    async def _start_once(self, program: Program, within_s: float) -> Process:
        config = pb.ProcessConfig(cmd=program.argv[0], args=list(program.argv[1:]), envs=dict(program.env))
        headers = {
            **authentication_header(self._box._envd_version, program.user),
            KEEPALIVE_PING_HEADER: str(KEEPALIVE_PING_INTERVAL_SEC),
        }
        events = as_stream(self._rpc.start(pb.StartRequest(process=config, stdin=False), headers=headers))
        with translated("start a command"):
            try:
                pid = extract_start_pid(await first_event(events, min(within_s, _REQUEST_S)), "start process")
            except Exception as error:
                await events.aclose()
                raise await self.explained(error) from error
        return Process(self, pid, events)

    async def terminate(self, pid: int) -> None:
        """Send a process SIGTERM."""
        await past_blips(lambda: self._terminate_once(pid), self.again_s)

    async def _terminate_once(self, pid: int) -> None:
        selector = pb.ProcessSelector(selector=Oneof[Literal["pid"], int]("pid", pid))
        request = pb.SendSignalRequest(process=selector, signal=pb.Signal.SIGTERM)
        with translated("stop a command"):
            try:
                await self._rpc.send_signal(request, timeout_ms=int(_REQUEST_S * 1000))
            except Exception as error:
                raise await self.explained(error) from error

    async def explained(self, error: Exception) -> Exception:
        """The SDK's own exception for a failed call, having looked whether the machine lives."""
        explained: Exception = await ahandle_rpc_exception_with_health(error, self._box.is_running)
        return explained
