"""Git's smart protocol over HTTP, reading only: the server side of `git fetch`.

A token is asked for always, also for public repositories, so that its use can be seen.
https://git-scm.com/docs/http-protocol, https://git-scm.com/docs/gitprotocol-v2
"""

import asyncio
import gzip
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.demo.github.auth import identify_git
from app.demo.github.call import Hub
from app.demo.github.state.bare_repo import environment, program
from app.demo.github.state.records import Repo

TIMEOUT_S: Final = 60.0
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_PROTOCOL: Final = re.compile(r"version=[0-2]")
_NO_CACHE: Final = {"cache-control": "no-cache, max-age=0, must-revalidate"}
_ANNOUNCEMENT: Final = b"001e# service=git-upload-pack\n0000"


class _Refused(Exception):
    def __init__(self, status: int, words: str, *, location: str = "") -> None:
        super().__init__(words)
        headers = {"www-authenticate": 'Basic realm="GitHub"'} if status == 401 else {}
        if location:
            headers["location"] = location
        self.response = PlainTextResponse(f"{words}\n", status, headers=headers)


def _admit(hub: Hub, request: Request) -> Repo:
    caller = identify_git(hub.world, request.headers.get("authorization", ""))
    if caller.kind == "none":
        raise _Refused(401, "Invalid username or token.")
    full_name = f"{request.path_params['owner']}/{request.path_params['name']}"
    repo = hub.world.repos.get(full_name.lower())
    if repo is None and (moved := hub.world.moved.get(full_name.lower())) and caller.sees(moved):
        tail = request.url.path.rpartition(".git/")[2]
        query = f"?{request.url.query}" if request.url.query else ""
        raise _Refused(301, "Moved Permanently", location=f"{hub.world.url}/{moved.full_name}.git/{tail}{query}")
    if repo is None or not caller.sees(repo):
        raise _Refused(404, "Repository not found.")
    if not caller.may(repo, "contents", "read"):
        raise _Refused(403, "Read access to repository not granted.")
    return repo


def _env(request: Request) -> dict[str, str]:
    version = request.headers.get("git-protocol", "")
    return environment(GIT_PROTOCOL=version) if _PROTOCOL.fullmatch(version) else environment()


async def _run(argv: list[str], stdin: IO[bytes] | int, env: dict[str, str], cwd: Path) -> AsyncIterator[bytes]:
    """What a program prints, as it prints it; the program is gone when this ends."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=env, cwd=cwd
    )
    assert process.stdout is not None  # noqa: S101  a pipe was asked for
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while chunk := await process.stdout.read(_CHUNK_BYTES):
                yield chunk
    finally:
        if process.returncode is None:
            try:
                async with asyncio.timeout(1):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _upload_pack(repo: Repo, *options: str) -> list[str]:
    return program("upload-pack", "--stateless-rpc", *options, str(repo.git.path))


async def advertise(hub: Hub, request: Request) -> Response:
    repo = _admit(hub, request)
    if request.query_params.get("service") != "git-upload-pack":
        raise _Refused(403, "Only reading is served here.")
    env = _env(request)
    argv = _upload_pack(repo, "--advertise-refs")
    body = b"".join([chunk async for chunk in _run(argv, asyncio.subprocess.DEVNULL, env, repo.git.path)])
    prefix = b"" if env.get("GIT_PROTOCOL") == "version=2" else _ANNOUNCEMENT
    return Response(prefix + body, media_type="application/x-git-upload-pack-advertisement", headers=_NO_CACHE)


async def upload_pack(hub: Hub, request: Request) -> Response:
    repo = _admit(hub, request)
    body = await request.body()
    if request.headers.get("content-encoding") in {"gzip", "x-gzip"}:
        body = gzip.decompress(body)
    if len(body) > MAX_REQUEST_BYTES:
        raise _Refused(413, "The request is too large.")

    async def stream() -> AsyncIterator[bytes]:
        with tempfile.TemporaryFile() as wants:  # a file cannot block, whatever git reads and prints first
            wants.write(body)
            wants.seek(0)
            async for chunk in _run(_upload_pack(repo), wants, _env(request), repo.git.path):
                yield chunk

    return StreamingResponse(stream(), media_type="application/x-git-upload-pack-result", headers=_NO_CACHE)


async def receive_pack(hub: Hub, request: Request) -> Response:
    _admit(hub, request)
    raise _Refused(403, "Only reading is served here.")


def routes(hub: Hub) -> list[Route]:
    async def serve(request: Request) -> Response:
        endpoint = _ENDPOINTS[request.url.path.rpartition(".git/")[2]]
        try:
            return await endpoint(hub, request)
        except _Refused as refused:
            return refused.response

    methods = {"info/refs": "GET", "git-upload-pack": "POST", "git-receive-pack": "POST"}
    return [Route(f"/{{owner}}/{{name}}.git/{tail}", serve, methods=[method]) for tail, method in methods.items()]


_ENDPOINTS: Final = {"info/refs": advertise, "git-upload-pack": upload_pack, "git-receive-pack": receive_pack}
