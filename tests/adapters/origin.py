"""A real git repository to fetch from, and a git server that asks for a token."""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


def git(cwd: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] = ENV) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, env=env, input=stdin, check=True, capture_output=True, timeout=30
    )
    return done.stdout.decode().rstrip("\n")


class Origin:
    """A repository with a work tree, whose commits are one file each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "--initial-branch=main", "--template=")

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        return git(self.path, *arguments, stdin=stdin)

    def commit(self, name: str = "greet.py", content: str = "print('helo')\n") -> str:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Change {name}")
        return self.git("rev-parse", "HEAD")

    def noise(self, size: int) -> str:
        """A commit that no packing makes smaller."""
        (self.path / "noise").write_bytes(os.urandom(size))
        return self.commit()

    def commits(self, count: int) -> str:
        """Many commits, quickly."""
        parts = []
        for index in range(count):
            content = f"{index}\n"
            start = "" if index else "from refs/heads/main^0\n"
            parts.append(
                f"commit refs/heads/main\ncommitter Ada <ada@example.org> {1_700_000_000 + index} +0000\ndata 2\nc\n\n"
                f"{start}M 644 inline many/{index}\ndata {len(content)}\n{content}\n"
            )
        self.git("fast-import", "--quiet", stdin="".join(parts).encode())
        self.git("reset", "--hard", "--quiet")
        return self.git("rev-parse", "HEAD")


def _command_lines() -> list[bytes]:
    """What anybody on this machine can see."""
    return [line.read_bytes() for line in Path("/proc").glob("[0-9]*/cmdline") if line.exists()]


@dataclass
class GitServer:
    """Git's smart protocol over HTTP for one repository at `/acme/greeter.git`, to those who bring the token."""

    path: Path
    authorization: str
    sent_bytes: list[int] = field(default_factory=list)
    command_lines: list[bytes] = field(default_factory=list)
    fails: int = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/acme/greeter.git/info/refs", self._refs),
                Route("/acme/greeter.git/git-upload-pack", self._upload_pack, methods=["POST"]),
            ]
        )

    async def _refs(self, request: Request) -> Response:
        if self.fails:
            self.fails -= 1
            return Response(status_code=502)
        if request.headers.get("authorization") != self.authorization:
            return Response(status_code=401, headers={"WWW-Authenticate": "Basic"})
        self.command_lines += _command_lines()
        answer = await self._run(request, b"", "--advertise-refs")
        return Response(answer, media_type="application/x-git-upload-pack-advertisement")

    async def _upload_pack(self, request: Request) -> Response:
        answer = await self._run(request, await request.body())
        self.sent_bytes.append(len(answer))
        return Response(answer, media_type="application/x-git-upload-pack-result")

    async def _run(self, request: Request, body: bytes, *options: str) -> bytes:
        protocol = request.headers.get("git-protocol", "version=0")
        process = await asyncio.create_subprocess_exec(
            *("git", "upload-pack", "--stateless-rpc", *options, str(self.path)),
            env=ENV | {"GIT_PROTOCOL": protocol},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await process.communicate(body)
        if options and "version=2" not in protocol:
            return b"001e# service=git-upload-pack\n0000" + answer
        return answer
