"""Deliveries as bytes ready to be sent, and the web process that they are sent to.

The payloads are the tests' (some 5 kB; GitHub's own are two to three times that).
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from app.demo.loopback import free_port
from tests.bench.program import VIBECODER, Program, running
from tests.payloads import SECRET, headers, payload

FIRST_ID: Final = 1_000
_IDS: Final = itertools.count(FIRST_ID)


def ignored_event() -> bytes:
    """A push: an event that is not ours."""
    return _request("push", payload("push"))


def ignored_comment() -> bytes:
    """People who talk with one another."""
    return _request("issue_comment", payload("issue_comment.created", {"comment.body": "Thanks, I will look at it."}))


def command() -> tuple[str, bytes]:
    """A `/vibecode` that nobody said before: the id of its job, and its delivery."""
    number = next(_IDS)
    body = payload("issue_comment.created", {"comment.id": number})
    return f"acme~greeter~12~comment~{number}", _request("issue_comment", body)


def _request(event: str, body: bytes) -> bytes:
    delivery_id = f"72d3162e-cc78-11e3-81ab-{next(_IDS):012d}"
    lines = [f"{name}: {value}" for name, value in headers(event, body, delivery_id=delivery_id).items()]
    head = ["POST /webhook HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def open_door(folder: Path, redis_url: str) -> AsyncIterator[tuple[int, Program]]:
    """`vibecoder web` as it is deployed; gives its port."""
    port = free_port()
    environ = {"GITHUB_WEBHOOK_SECRET": SECRET, "REDIS_URL": redis_url, "PORT": str(port), "PATH": "/usr/bin:/bin"}
    environ["JOBS_PER_MINUTE"] = "1000000"
    log = folder / f"web-{port}.log"
    async with running(log, VIBECODER, "web", ready="web is ready", environ=environ) as web:
        yield port, web
