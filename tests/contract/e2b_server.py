"""E2B on loopback: the control plane and envd, as far as the unmodified SDK needs them, running real commands.

A sandbox is a folder that is its home; absolute paths are the host's. envd's protocol comes from the stubs in the SDK's
own wheel. As in envd, a command outlives the client that started it, runs as the user that the request names (`user`
unless it says otherwise), and its end is reported at once, whoever still holds its output open.

In a suite that runs as root, each sandbox has a user of its own and `sudo` is a setuid program; otherwise all are the
suite's own user and `sudo` changes the environment and the session only.
"""

import asyncio
import base64
import itertools
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import Process, ProcessASGIApplication
from protobuf import Oneof
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from app.demo.loopback import serving

PAGE_OF_EDGE = "<!DOCTYPE html>\n<html><head><title>{0} | e2b.app</title></head><body>Error {0}</body></html>"
API_KEY = "e2b_0000000000000000000000000000000000000000"
PAGE = 2
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WRAPPER = 'exec nice -n 0 "${@}"'
"""What envd puts around every command."""
SUDO = """#!/bin/sh
while :; do
  case $1 in
    -u | -g) shift 2 ;;
    -*) shift ;;
    *) break ;;
  esac
done
exec {become_root} setsid -f -w env -i PATH="$PATH" HOME=/root USER=root SUDO_USER="$USER" "$@"
"""
"""As sudo does: root without a password, an environment and a session of its own, and a parent that waits."""


_NUMBERS = itertools.count(1)
"""Of all users of this process's servers."""


@dataclass
class Box:
    """One sandbox of the server's."""

    id: str
    home: Path
    metadata: dict[str, str]
    ends_at: datetime
    started_at: datetime
    uid: int
    """Of its default user."""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    network: dict[str, Any] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)

    @property
    def tmp(self) -> Path:
        return self.home.with_suffix(".tmp")

    def own(self, path: Path) -> None:
        """Give a path to the default user."""
        os.chown(path, self.uid, self.uid if self.uid != os.getuid() else os.getgid())


def page(status: int) -> Response:
    """What a content delivery network answers for a server that is away."""
    return Response(PAGE_OF_EDGE.format(status), status, media_type="text/html")


class Edge(Enum):
    """How the way to envd fails, beside answers of its own."""

    RESET = "the connection ends in the middle of the answer's head"
    BEGUN = "envd begins the command, and its answer is lost: 502"


class E2BServer:
    """The state of the double, and what a test may do to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.boxes: dict[str, Box] = {}
        self.created = 0
        self.faults: list[int | Response] = []
        """What the next control plane requests are answered: this, or with this HTTP status."""
        self.is_answering = asyncio.Event()
        """Cleared: the control plane takes requests and answers none."""
        self.is_answering.set()
        self.edge: list[int | Response | Edge] = []
        """What becomes of the next requests to envd for `edge_of`, between the client and envd."""
        self.edge_of = ("/Start",)
        """Where paths end that `edge` is for: by default what starts a command."""
        self.is_envd_answering = asyncio.Event()
        """Cleared: envd takes requests and answers none."""
        self.is_full = False
        """Whether the machines' disks are."""
        self.has_begun: Path | None = None
        """The file by which a command that `Edge.BEGUN` is for says that it began."""
        self.is_envd_answering.set()
        self.bytes_out = 0
        self.calls: list[str] = []
        """What was asked for, to the control plane and to envd, in order."""
        self.prepare: Callable[[Path], object] = lambda home: None
        """What the template holds: called with each new sandbox's home."""
        self.path = f"{self._programs()}:{PATH}"
        self._by_key: dict[str, Box] = {}

    def _programs(self) -> Path:
        """A folder with `sudo`, and with Python where the host has it elsewhere than a machine would."""
        folder = self.folder / "bin"
        folder.mkdir()
        become_root = ""
        if os.geteuid() == 0:
            become_root = f"{folder}/setpriv --reuid=0 --regid=0 --clear-groups"
            shutil.copy(shutil.which("setpriv") or "setpriv", folder / "setpriv")
            (folder / "setpriv").chmod(0o4755)
        (folder / "sudo").write_text(SUDO.format(become_root=become_root))
        (folder / "sudo").chmod(0o755)
        if not shutil.which("python3", path=PATH):
            (folder / "python3").symlink_to(sys.executable)
        return folder

    def hide_python(self) -> None:
        """Let commands find all of the host's programs but Python."""
        folder = self.folder / "programs"
        folder.mkdir()
        for program in (path for place in PATH.split(":") if Path(place).is_dir() for path in Path(place).iterdir()):
            if not program.name.startswith("python") and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
        (self.folder / "bin" / "python3").unlink(missing_ok=True)
        self.path = f"{self.folder / 'bin'}:{folder}"

    async def control(self, request: Request) -> Response:
        """One call to the control plane."""
        self.calls.append(f"{request.method} {request.url.path}")
        await self.is_answering.wait()
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Response):
                return fault
            return JSONResponse({"code": fault, "message": "out of order"}, fault)
        if request.headers.get("x-api-key") != API_KEY:
            return JSONResponse({"code": 401, "message": "bad key"}, 401)
        box = self.boxes.get(request.path_params.get("id", ""))
        if "id" in request.path_params and box is None:
            return JSONResponse({"code": 404, "message": "no such sandbox"}, 404)
        if box is None:
            return await self._create(request) if request.method == "POST" else self._list(request)
        return await self._change(box, request)

    async def _create(self, request: Request) -> Response:
        body = await request.json()
        key = request.headers.get("idempotency-key", secrets.token_hex(8))
        if key not in self._by_key:
            self.created += 1
            name = f"i{self.created:04d}{secrets.token_hex(4)}"
            home = self.folder / name
            home.mkdir()
            self.prepare(home)
            (self.folder / f"{name}.tmp").mkdir()
            now = datetime.now(UTC)
            ends_at = now + timedelta(seconds=body["timeout"])
            uid = 1_000_000 + 1_000 * os.getpid() + next(_NUMBERS) if os.geteuid() == 0 else os.getuid()
            box = self._by_key[key] = self.boxes[name] = Box(name, home, body["metadata"], ends_at, now, uid)
            for path in (home, *home.rglob("*"), box.tmp):
                box.own(path)
        return JSONResponse(_summary(self._by_key[key]), 201)

    def _list(self, request: Request) -> Response:
        wanted = {unquote(k): unquote(v) for k, v in parse_qsl(request.query_params.get("metadata", ""))}
        found = [box for box in self.boxes.values() if wanted.items() <= box.metadata.items()]
        start = int(request.query_params.get("nextToken", "0"))
        following = {"x-next-token": str(start + PAGE)} if start + PAGE < len(found) else {}
        return JSONResponse([_detail(box) for box in found[start : start + PAGE]], headers=following)

    async def _change(self, box: Box, request: Request) -> Response:
        body = await request.json() if await request.body() else {}
        match request.method, request.url.path.rsplit("/", 1)[-1]:
            case "DELETE", _:
                self.kill(box.id)
                return Response(status_code=204)
            case "POST", "timeout":
                box.ends_at = datetime.now(UTC) + timedelta(seconds=body["timeout"])
                return Response(status_code=204)
            case "PUT", "network":
                box.network = body
                return Response(status_code=204)
            case "POST", "connect":
                if not isinstance(body.get("timeout"), int):
                    return JSONResponse({"code": 400, "message": "timeout is required"}, 400)
                box.ends_at = max(box.ends_at, datetime.now(UTC) + timedelta(seconds=body["timeout"]))
                return JSONResponse(_summary(box))
        return JSONResponse(_detail(box))

    def kill(self, sandbox_id: str) -> None:
        """A sandbox ends, with all that runs in it."""
        box = self.boxes.pop(sandbox_id)
        for pid in box.pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        while found := processes_of(box):
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def box(self, headers: Any) -> Box | None:
        """The sandbox that a request to envd is for, when it may."""
        box = self.boxes.get(headers.get("e2b-sandbox-id") or "")
        return box if box and headers.get("x-access-token") == box.token else None

    async def files(self, request: Request) -> Response:
        """envd's upload."""
        self.calls.append("POST /files")
        box = self.box(request.headers)
        assert box is not None
        if self.is_full:
            return JSONResponse({"code": 507, "message": "not enough disk space available"}, 507)
        path = box.home / request.query_params["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        box.own(path)
        return JSONResponse([{"name": path.name, "path": str(path), "type": "file"}])


class Envd(Process):
    """envd's process service."""

    def __init__(self, server: E2BServer) -> None:
        self._server = server

    async def start(
        self, request: pb.StartRequest, ctx: RequestContext[pb.StartRequest, pb.StartResponse], /
    ) -> AsyncIterator[pb.StartResponse]:
        self._server.calls.append("Start")
        box = self._server.box(ctx.request_headers)
        if box is None or request.process is None:
            raise ConnectError(Code.UNAVAILABLE, "the sandbox was not found")
        process = await self._spawn(box, request.process, _user(ctx.request_headers.get("authorization") or ""))
        yield _event(Oneof("start", pb.ProcessEvent.StartEvent(pid=process.pid)))
        printed: asyncio.Queue[pb.StartResponse | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(process, printed))
        try:
            while (event := await printed.get()) is not None:
                yield event
        finally:
            reading.cancel()
        code = await process.wait()
        if box.id not in self._server.boxes:
            raise ConnectError(Code.UNAVAILABLE, "the sandbox was not found")
        yield _event(Oneof("end", pb.ProcessEvent.EndEvent(exit_code=max(code, -1), exited=code >= 0)))

    async def _spawn(self, box: Box, asked: pb.ProcessConfig, user: str) -> asyncio.subprocess.Process:
        is_other = os.geteuid() == 0 and user != "root"
        home = Path("/root") if os.geteuid() == 0 and user == "root" else box.home
        names = {"HOME": str(home), "USER": user, "LOGNAME": user, "TMPDIR": str(box.tmp), "SANDBOX": box.id}
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", WRAPPER, "--", asked.cmd, *asked.args),
            env={"PATH": self._server.path, **names, **asked.envs},
            cwd=asked.cwd or home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            user=box.uid if is_other else None,
            group=box.uid if is_other else None,
            extra_groups=[] if is_other else None,
        )
        box.pids.add(process.pid)
        return process

    async def _read(self, process: asyncio.subprocess.Process, printed: asyncio.Queue[pb.StartResponse | None]) -> None:
        """Pass on what the process prints until it has ended: what others print into its pipes later is lost."""

        async def read(stream: asyncio.StreamReader, output: Callable[[bytes], Any]) -> None:
            while chunk := await stream.read(32_768):
                self._server.bytes_out += len(chunk)
                await printed.put(_event(Oneof("data", pb.ProcessEvent.DataEvent(output=output(chunk)))))

        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            asyncio.create_task(read(process.stdout, partial(Oneof, "stdout"))),
            asyncio.create_task(read(process.stderr, partial(Oneof, "stderr"))),
        ]
        try:
            while process.returncode is None and not all(reader.done() for reader in readers):
                await asyncio.wait(readers, timeout=0.01)
            await process.wait()
            await asyncio.wait(readers, timeout=0.05)
        finally:
            for reader in readers:
                reader.cancel()
            await printed.put(None)

    async def send_signal(
        self, request: pb.SendSignalRequest, ctx: RequestContext[pb.SendSignalRequest, pb.SendSignalResponse], /
    ) -> pb.SendSignalResponse:
        self._server.calls.append("SendSignal")
        box = self._server.box(ctx.request_headers)
        assert request.process is not None
        assert request.process.selector is not None
        pid = int(request.process.selector.value)
        if box is None or pid not in box.pids:
            raise ConnectError(Code.NOT_FOUND, f"process with pid {pid} not found")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if request.signal == pb.Signal.SIGKILL else signal.SIGTERM)
        return pb.SendSignalResponse()


def _user(authorization: str) -> str:
    """Whom a request to envd is for."""
    if not authorization:
        return "user"
    user = base64.b64decode(authorization.removeprefix("Basic ")).decode().removesuffix(":")
    if user not in {"root", "user"}:
        raise ConnectError(Code.UNAUTHENTICATED, f"invalid username: '{user}'")
    return user


def processes_of(box: Box) -> list[int]:
    """All that still runs in a sandbox: what its user runs, and what carries its name."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_users = os.geteuid() == 0 and folder.stat().st_uid == box.uid
            is_named = f"SANDBOX={box.id}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if (is_users or is_named) and (folder / "stat").read_bytes().rsplit(b")", 1)[1].split()[0] != b"Z":
                found.append(int(folder.name))
    return found


def _event(event: Any) -> pb.StartResponse:
    return pb.StartResponse(event=pb.ProcessEvent(event=event))


def _summary(box: Box) -> dict[str, Any]:
    return {
        "templateID": "base",
        "sandboxID": box.id,
        "clientID": "loopback",
        "envdVersion": "0.6.7",
        "envdAccessToken": box.token,
    }


def _detail(box: Box) -> dict[str, Any]:
    return _summary(box) | {
        "startedAt": box.started_at.isoformat(),
        "endAt": box.ends_at.isoformat(),
        "cpuCount": 2,
        "memoryMB": 512,
        "diskSizeMB": 1024,
        "state": "running",
        "metadata": box.metadata,
    }


class Door:
    """The proxy before envd, which knows which sandboxes live, and may fail."""

    def __init__(self, server: E2BServer) -> None:
        self._server = server
        files = Route("/files", server.files, methods=["POST"])
        self._envd = Starlette(routes=[files, Mount("/", ProcessASGIApplication(Envd(server)))])
        self._begun: list[asyncio.Future[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        box = self._server.box(Request(scope).headers)
        if box is None:
            gone = {"sandboxId": "?", "message": "The sandbox was not found", "code": 502}
            await JSONResponse(gone, 502)(scope, receive, send)
            return
        await self._server.is_envd_answering.wait()
        fault: int | Response | Edge | None = None
        if self._server.edge and scope["path"].endswith(self._server.edge_of):
            fault = self._server.edge.pop(0)
        if fault is None:
            await self._envd(scope, receive, send)
        elif fault is Edge.RESET:
            head = [(b"content-type", b"application/connect+json"), (b"content-length", b"100")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
        else:
            if fault is Edge.BEGUN:
                await self._begin(scope, receive)
            status = fault if isinstance(fault, int) else 502
            answer = fault if isinstance(fault, Response) else JSONResponse({"message": "out of order"}, status)
            await answer(scope, receive, send)

    async def _begin(self, scope: Scope, receive: Receive) -> None:
        """Have envd begin what is asked for, and tell nobody."""

        async def lose(message: object) -> None:
            return

        self._begun.append(asyncio.ensure_future(self._envd(scope, receive, lose)))
        while not (self._server.has_begun and self._server.has_begun.exists()):  # noqa: ASYNC110 - files ring no bell
            await asyncio.sleep(0.01)

    def close(self) -> None:
        for each in self._begun:
            each.cancel()


def e2b_settings(server: E2BServer) -> dict[str, str]:
    """The settings of a deployment that has its sandboxes there."""
    return {"SANDBOX": "e2b", "E2B_API_KEY": API_KEY, "E2B_API_URL": server.url, "E2B_SANDBOX_URL": server.url}


@asynccontextmanager
async def e2b_server(folder: Path) -> AsyncIterator[E2BServer]:
    """A server on loopback; everything in its sandboxes is dead afterwards."""
    if os.geteuid() == 0:  # the sandboxes' users may not look into pytest's folders
        folder = Path(tempfile.mkdtemp(prefix="e2b-"))
        folder.chmod(0o755)
    server = E2BServer(folder)
    door = Door(server)

    app = Starlette(
        routes=[
            Route("/v2/sandboxes", server.control, methods=["GET", "POST"]),
            Route("/v2/sandboxes/{id}/connect", server.control, methods=["POST"]),
            Route("/sandboxes/{id}", server.control, methods=["GET", "DELETE"]),
            Route("/sandboxes/{id}/timeout", server.control, methods=["POST"]),
            Route("/sandboxes/{id}/network", server.control, methods=["PUT"]),
            Mount("/", door),
        ]
    )
    async with serving(app) as server.url:
        try:
            yield server
        finally:
            for name in list(server.boxes):
                server.kill(name)
            door.close()
            if os.geteuid() == 0:
                shutil.rmtree(folder)
