"""E2B on loopback: the control plane and envd, as far as the unmodified SDK needs them, running real commands.

A sandbox is a folder that is its home; absolute paths are the host's. envd's protocol comes from the stubs in the SDK's
own wheel, and, as in envd, a command outlives the client that started it.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
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

API_KEY = "e2b_0000000000000000000000000000000000000000"
PAGE = 2


@dataclass
class Box:
    """One sandbox of the server's."""

    id: str
    home: Path
    metadata: dict[str, str]
    ends_at: datetime
    started_at: datetime
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    network: dict[str, Any] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)

    @property
    def tmp(self) -> Path:
        return self.home.with_suffix(".tmp")


class E2BServer:
    """The state of the double, and what a test may do to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.boxes: dict[str, Box] = {}
        self.created = 0
        self.faults: list[int] = []
        """HTTP statuses that the next control plane requests get."""
        self.bytes_out = 0
        self.prepare: Callable[[Path], object] = lambda home: None
        """What the template holds: called with each new sandbox's home."""
        self._by_key: dict[str, Box] = {}

    async def control(self, request: Request) -> Response:
        """One call to the control plane."""
        if self.faults:
            status = self.faults.pop(0)
            return JSONResponse({"code": status, "message": "out of order"}, status)
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
            self._by_key[key] = self.boxes[name] = Box(name, home, body["metadata"], ends_at, now)
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
                return JSONResponse(_summary(box))
        return JSONResponse(_detail(box))

    def kill(self, sandbox_id: str) -> None:
        """A sandbox ends, with all that runs in it."""
        for pid in self.boxes.pop(sandbox_id).pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def box(self, headers: Any) -> Box | None:
        """The sandbox that a request to envd is for, when it may."""
        box = self.boxes.get(headers.get("e2b-sandbox-id") or "")
        return box if box and headers.get("x-access-token") == box.token else None

    async def files(self, request: Request) -> Response:
        """envd's upload."""
        box = self.box(request.headers)
        assert box is not None
        path = box.home / request.query_params["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        return JSONResponse([{"name": path.name, "path": str(path), "type": "file"}])


class Envd(Process):
    """envd's process service."""

    def __init__(self, server: E2BServer) -> None:
        self._server = server

    async def start(
        self, request: pb.StartRequest, ctx: RequestContext[pb.StartRequest, pb.StartResponse], /
    ) -> AsyncIterator[pb.StartResponse]:
        box = self._server.box(ctx.request_headers)
        if box is None or request.process is None:
            raise ConnectError(Code.UNAVAILABLE, "the sandbox was not found")
        asked = request.process
        process = await asyncio.create_subprocess_exec(
            asked.cmd,
            *asked.args,
            env={"HOME": str(box.home), "TMPDIR": str(box.tmp), "PATH": os.defpath, **asked.envs},
            cwd=box.home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        box.pids.add(process.pid)
        yield _event(Oneof("start", pb.ProcessEvent.StartEvent(pid=process.pid)))
        assert process.stdout is not None
        while chunk := await process.stdout.read(32_768):
            self._server.bytes_out += len(chunk)
            printed = pb.ProcessEvent.DataEvent(output=Oneof[Literal["stdout"], bytes]("stdout", chunk))
            yield _event(Oneof("data", printed))
        code = await process.wait()
        if box.id not in self._server.boxes:
            raise ConnectError(Code.UNAVAILABLE, "the sandbox was not found")
        yield _event(Oneof("end", pb.ProcessEvent.EndEvent(exit_code=max(code, -1), exited=code >= 0)))

    async def send_signal(
        self, request: pb.SendSignalRequest, ctx: RequestContext[pb.SendSignalRequest, pb.SendSignalResponse], /
    ) -> pb.SendSignalResponse:
        assert request.process is not None
        assert request.process.selector is not None
        with suppress(ProcessLookupError):
            os.kill(int(request.process.selector.value), signal.SIGKILL)
        return pb.SendSignalResponse()


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


@asynccontextmanager
async def e2b_server(folder: Path) -> AsyncIterator[E2BServer]:
    """A server on loopback; everything in its sandboxes is dead afterwards."""
    server = E2BServer(folder)
    envd = ProcessASGIApplication(Envd(server))

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        """The proxy before envd, which knows which sandboxes live."""
        if server.box(Request(scope).headers) is None:
            gone = {"sandboxId": "?", "message": "The sandbox was not found", "code": 502}
            await JSONResponse(gone, 502)(scope, receive, send)
        else:
            await envd(scope, receive, send)

    app = Starlette(
        routes=[
            Route("/v2/sandboxes", server.control, methods=["GET", "POST"]),
            Route("/v2/sandboxes/{id}/connect", server.control, methods=["POST"]),
            Route("/sandboxes/{id}", server.control, methods=["GET", "DELETE"]),
            Route("/sandboxes/{id}/timeout", server.control, methods=["POST"]),
            Route("/sandboxes/{id}/network", server.control, methods=["PUT"]),
            Route("/files", server.files, methods=["POST"]),
            Mount("/", door),
        ]
    )
    async with serving(app) as server.url:
        try:
            yield server
        finally:
            for name in list(server.boxes):
                server.kill(name)
