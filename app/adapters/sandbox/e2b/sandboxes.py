"""Sandboxes at E2B: one microVM each, reached through the unmodified SDK.

The SDK's own time limits are not used for commands: they are not enforced on every Python, and none kills the process.
A supervisor of ours in the machine (`remote.py`) runs each command, ends it and reports it.

Of the control plane, e2b 2.63 uses what E2B's published API description has: `DELETE` and `GET /sandboxes/{id}`, `POST
…/timeout`, `PUT …/network` and `GET /v2/sandboxes`. Not in it, and so to be checked on a deployment that somebody hosts
themselves, are `POST /v2/sandboxes` with `Idempotency-Key` (without the key, a creation that is repeated after a lost
answer leaves a second machine behind until its time is over) and `POST /v2/sandboxes/{id}/connect`. Of envd it needs
`process.Process/Start`, also for the user `root`, `/SendSignal`, `POST /files` and `GET /health`. `vibecoder doctor`
tries a sandbox.
"""

import asyncio
import hashlib
import math
import os
import posixpath
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import IO, Final, TypeVar

from e2b import ALL_TRAFFIC, AsyncSandbox, NotEnoughSpaceException, SandboxQuery
from e2b.connection_config import ApiParams
from e2b.sandbox.sandbox_api import SandboxNetworkUpdate
from pydantic import SecretStr

from app.adapters.sandbox import script
from app.adapters.sandbox.e2b import remote
from app.adapters.sandbox.e2b.envd import AGAIN_S, Envd, Process, past_blips
from app.adapters.sandbox.e2b.errors import translated
from app.adapters.sandbox.e2b.remote import CommandReport, Program, Request
from app.adapters.sandbox.output import CappedOutput, Ended
from app.core.errors import SandboxError
from app.core.ports.sandbox import ExecResult, Network, SandboxInfo

T = TypeVar("T")
_DOMAIN: Final = "e2b.app"
_OWNER: Final = "owner"
_REQUEST_S: Final = 30.0
_RECONNECT_S: Final = 300
"""How long a machine that is found again lives at least, until it is kept alive. This never shortens its time."""
_FILE_S: Final = 60.0
_UPLOAD_S: Final = 600.0
_MESSAGE_BYTES: Final = 2_000

_GRACE_S: Final = 4.5
"""What a supervisor needs beyond a command's time to end it and to report."""
_TERMINATE_S: Final = 0.4
"""How long a machine that does not answer may take to do so for a signal."""
_TOLD: Final = ("uid", "gid", "groups", "python", "home", "user", "path", "work_tree", "login_path")
"""The lines that `_OPEN` prints."""
_NO_REPORT: Final = b"The command was killed together with what watched over it."

_OPEN: Final = f"""id=$1 token=$2
for base in "$HOME" /tmp; do
  note="$base/.vibecoder-$id"
  [ -s "$note" ] && break
  for tree in "$base/repo" "$base/repo-$id"; do
    mkdir "$tree" 2>/dev/null || continue
    timeout -s KILL 3 bash -l -c 'printf "\n%s%s\n" "$0" "$PATH"' "$token" >"$note" 2>/dev/null </dev/null
    path=$(sed -n "s/^$token//p" "$note" | tail -n 1)
    printf '%s\n%s\n' "$tree" "$path" >"$note" && break 2
  done
done
[ -s "$note" ] || exit 1
{remote.PROBE} 2>/dev/null
python=$?
printf '%s\n' "$(id -u)" "$(id -g)" "$(id -G)" "$python" "$HOME" "$USER" "$PATH"
cat "$note"
"""
"""The machine's id, a token: makes an empty work tree and prints what `_Opened` reads. The work tree, and the search
path of a login shell, which may take its time, are noted for a later worker."""


@dataclass(frozen=True)
class E2BSandboxes:
    """The provider. `owner` tells this deployment's machines from others of the same E2B team.

    `api_url` and `sandbox_url` are for servers that only speak E2B's protocol; `domain` for E2B on one's own cloud.
    `again_s` are the waits before a call that failed on its way is repeated.
    """

    api_key: SecretStr
    template: str = "base"
    api_url: str | None = None
    sandbox_url: str | None = None
    domain: str | None = None
    owner: str = "vibecoder"
    again_s: Sequence[float] = AGAIN_S

    @property
    def _connection(self) -> ApiParams:
        """Everything the SDK would otherwise look for in the environment."""
        domain = self.domain or _DOMAIN
        return ApiParams(
            api_key=self.api_key.get_secret_value(),
            domain=domain,
            api_url=self.api_url or f"https://api.{domain}",
            sandbox_url=self.sandbox_url,
            debug=False,
            request_timeout=_REQUEST_S,
            retries=0,  # `past_blips` repeats calls, and says so in the log
        )

    async def create(self, *, key: str, metadata: Mapping[str, str], timeout_s: float) -> "E2BSandbox":
        """See `SandboxProvider.create`."""
        box = await _asked(
            "create a sandbox",
            lambda: AsyncSandbox.create(
                self.template,
                timeout=math.ceil(timeout_s),
                metadata={**metadata, _OWNER: self.owner},
                lifecycle={"on_timeout": "kill"},
                idempotency_key=hashlib.sha256(key.encode()).hexdigest(),
                **self._connection,
            ),
            self.again_s,
        )
        try:
            return await _opened(box, Envd(box, self.again_s))
        except BaseException:
            await self.kill(box.sandbox_id)
            raise

    async def reconnect(self, sandbox_id: str) -> "E2BSandbox":
        """See `SandboxProvider.reconnect`."""
        connected = partial(AsyncSandbox.connect, sandbox_id, timeout=_RECONNECT_S, **self._connection)
        box = await _asked("find the sandbox", connected, self.again_s)
        return await _opened(box, Envd(box, self.again_s))

    async def list(self) -> tuple[SandboxInfo, ...]:
        """See `SandboxProvider.list`."""
        found = []
        pages = AsyncSandbox.list(SandboxQuery(metadata={_OWNER: self.owner}), **self._connection)
        while pages.has_next:
            found += await _asked("list the sandboxes", pages.next_items, self.again_s)
        return tuple(
            SandboxInfo(box.sandbox_id, {k: v for k, v in box.metadata.items() if k != _OWNER}, box.started_at)
            for box in sorted(found, key=lambda box: box.started_at)
        )

    async def kill(self, sandbox_id: str) -> bool:
        """See `SandboxProvider.kill`."""
        return await _asked("kill the sandbox", lambda: AsyncSandbox.kill(sandbox_id, **self._connection), self.again_s)


async def _asked(doing: str, call: Callable[[], Awaitable[T]], again_s: Sequence[float]) -> T:
    """Ask the control plane, again where it or the way there fails for a moment: all of its calls may be repeated."""

    async def ask() -> T:
        with translated(doing):
            return await call()

    return await past_blips(ask, again_s)


async def _opened(box: AsyncSandbox, envd: Envd) -> "E2BSandbox":
    argv = script.sh(_OPEN, box.sandbox_id, uuid.uuid4().hex)
    process = await envd.start(Program(argv))
    try:
        if not await process.wait(_FILE_S):
            raise SandboxError(f"The sandbox did not answer within {_FILE_S:g} s.", is_passing=True)
    finally:
        process.forget()
    told = process.output()[0].decode(errors="replace").splitlines()
    if len(told) != len(_TOLD):
        raise SandboxError("No work tree can be made in the sandbox: neither $HOME nor /tmp can be written.")
    found = dict(zip(_TOLD, told, strict=True))
    path = [*found["login_path"].split(":"), *found["path"].split(":")]
    env = {
        "HOME": found["home"],
        "USER": found["user"],
        "LOGNAME": found["user"],
        "PATH": ":".join(dict.fromkeys(folder for folder in path if folder)),
    }
    groups = tuple(int(group) for group in found["groups"].split())
    has_python = found["python"] == "0"
    account = CommandReport(int(found["uid"]), int(found["gid"]), groups, env, has_python)
    return E2BSandbox(box, found["work_tree"], envd, account)


class E2BSandbox:
    """One machine. Made by `E2BSandboxes`."""

    def __init__(self, box: AsyncSandbox, work_tree: str, envd: Envd, account: CommandReport) -> None:
        self.id = box.sandbox_id
        self.work_tree = work_tree
        self._box = box
        self._envd = envd
        self._account = account
        self._ends_at: datetime | None = None
        """The end that was last asked for, None until it is known. Nobody else moves it while a run holds its lease."""

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
        max_output_bytes: int = 32_768,
        leaves_daemons: bool = False,
    ) -> ExecResult:
        """See `Sandbox.exec`."""
        if refused := script.refusal(argv, cwd, *(env or {}).values()):
            return refused
        started = monotonic()
        called = script.sh(script.CALL, self._absolute(cwd), *argv)
        environment = {**script.ENVIRONMENT, **(env or {})}
        ended = await self._run(Request(called, environment, timeout_s, max_output_bytes, b"", leaves_daemons))
        return ended.result(timeout_s=timeout_s, seconds=monotonic() - started)

    async def read(self, path: str, *, max_bytes: int = 1_048_576) -> bytes:
        """See `Sandbox.read`. Only `max_bytes` leave the machine."""
        if script.refusal([path]):
            raise FileNotFoundError(script.NO_SUCH_NAME)
        argv = script.sh(script.READ, self._absolute(path), str(max_bytes))
        ended = await self._finished(argv, timeout_s=_FILE_S, limit=max_bytes)
        if ended.exit_code != 0:
            raise script.not_read(path, ended.exit_code, ended.output.text())
        return ended.output.data

    async def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`. Raises OSError when the path is a folder, a pipe or read-only."""
        if script.refusal([path]):
            raise OSError(script.NO_SUCH_NAME)
        ended = await self._fed(script.sh(script.WRITE, self._absolute(path)), data, timeout_s=_FILE_S)
        if ended.exit_code != 0:
            raise OSError(f"{path} cannot be written. {ended.output.text().strip()}")

    async def upload(self, tar: Path, to: str) -> None:
        """See `Sandbox.upload`."""
        with _reading(tar) as stream:
            is_small = os.fstat(stream.fileno()).st_size <= remote.MAX_STDIN_BYTES
            data = stream.read() if is_small else stream
            ended = await self._fed(script.sh(script.UNPACK, self._absolute(to)), data, timeout_s=_UPLOAD_S)
        if ended.exit_code != 0:
            raise SandboxError(f"The upload to {to} cannot be unpacked. {ended.output.text().strip()}")

    async def set_network(self, network: Network) -> None:
        """See `Sandbox.set_network`. E2B matches hosts by name for HTTP and TLS, and by address for the rest."""
        rules: SandboxNetworkUpdate = {}
        if not network.is_open:
            rules["deny_out"] = [ALL_TRAFFIC]
            if network.hosts:
                rules["allow_out"] = list(network.hosts)
        await _asked("set the sandbox's network", lambda: self._box.update_network(rules), self._envd.again_s)

    async def keep_alive(self, seconds: float) -> None:
        """See `Sandbox.keep_alive`. Never brings the end nearer."""
        doing = "keep the sandbox alive"
        wanted = datetime.now(UTC) + timedelta(seconds=seconds)
        if self._ends_at is None:
            self._ends_at = (await _asked(doing, self._box.get_info, self._envd.again_s)).end_at
        if self._ends_at < wanted:
            await _asked(doing, lambda: self._box.set_timeout(math.ceil(seconds)), self._envd.again_s)
            self._ends_at = wanted

    async def close(self) -> None:
        """See `Sandbox.close`."""
        await _asked("kill the sandbox", self._box.kill, self._envd.again_s)

    def _absolute(self, path: str) -> str:
        return posixpath.join(self.work_tree, path)

    async def _fed(self, argv: Sequence[str], data: bytes | IO[bytes], *, timeout_s: float) -> Ended:
        """Run one of our own programs with `data` as its standard input: a little goes along with the command."""
        if isinstance(data, bytes) and len(data) <= remote.MAX_STDIN_BYTES and self._account.has_python:
            return await self._finished(argv, data, timeout_s=timeout_s, limit=_MESSAGE_BYTES)
        landed = f"/tmp/.vibecoder-{uuid.uuid4().hex}"  # noqa: S108 - in the machine

        async def send() -> None:
            if not isinstance(data, bytes):
                data.seek(0)
            with translated("send a file to the sandbox"):
                await self._box.files.write(landed, data, use_octet_stream=True)

        try:
            async with asyncio.timeout(timeout_s):
                await past_blips(send, self._envd.again_s)
        except TimeoutError as error:
            words = f"The sandbox did not take a file within {timeout_s:g} s."
            raise SandboxError(words, is_passing=True) from error
        except SandboxError as error:
            if not isinstance(error.__cause__, NotEnoughSpaceException):
                raise
            await self._finished(["rm", "-f", landed], timeout_s=timeout_s, limit=_MESSAGE_BYTES)
            return Ended(1, CappedOutput.of(_MESSAGE_BYTES, b"No space left on device"))
        return await self._finished(script.sh(script.FED, landed, *argv), timeout_s=timeout_s, limit=_MESSAGE_BYTES)

    async def _finished(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float, limit: int) -> Ended:
        """Run one of our own programs, for which running out of time means that the machine is no good."""
        ended = await self._run(Request(argv, script.ENVIRONMENT, timeout_s, limit, stdin))
        if ended.exit_code is None:
            raise SandboxError(f"The sandbox did not read or write a file within {timeout_s:g} s.", is_passing=True)
        return ended

    async def _run(self, request: Request) -> Ended:
        token = uuid.uuid4().hex
        program = remote.supervised(request, self._account, token)
        if program is None:
            return Ended(script.CANNOT_RUN, CappedOutput.of(request.limit, script.TOO_LONG))
        process = await self._envd.start(program, within_s=request.timeout_s + _GRACE_S)
        try:
            if not await process.wait(request.timeout_s + _GRACE_S):
                await _terminate(process, _TERMINATE_S)
                raise SandboxError("The sandbox does not answer any more.", is_passing=True)
        except asyncio.CancelledError:
            await _terminate(process, _GRACE_S)
            await process.wait(_GRACE_S)
            raise
        finally:
            process.forget()
        printed, complaint = process.output()
        if remote.BEGUN in complaint:
            raise SandboxError("The connection to the sandbox was lost as a command began.", is_passing=True)
        return remote.report(printed, token, request.limit) or Ended(
            128 + 9, CappedOutput.of(request.limit, complaint or _NO_REPORT)
        )


async def _terminate(process: Process, within_s: float) -> None:
    """Have a command ended, if the machine takes that in time."""
    with suppress(SandboxError, TimeoutError):
        async with asyncio.timeout(within_s):
            await process.terminate()


def _reading(path: Path) -> IO[bytes]:
    return path.open("rb")
