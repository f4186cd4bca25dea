"""What a connection may cost, over real sockets."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network
from itertools import product
from time import monotonic

import pytest
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.web.app import WebOptions
from app.web.server import Config, ConnectionLimits, Network
from tests.payloads import SECRET, headers, payload
from tests.web.site import OPERATOR, Site
from tests.web.wire import connect, request

SHORT = ConnectionLimits(request_s=0.15)


@asynccontextmanager
async def served(
    *, limits: ConnectionLimits | None = None, options: WebOptions | None = None, proxies: tuple[Network, ...] = ()
) -> AsyncIterator[int]:
    """The web process's application as it is served; gives its port."""
    options = options or WebOptions(webhook_secrets=(SecretStr(SECRET),))
    async with serving(Config(Site(options).app, limits=limits, trusted_proxies=proxies)) as port:
        yield port


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[door]))
        try:
            yield door.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def noise(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def delivery(event: str, body: bytes) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers(event, body).items()]
    return request("/webhook", *lines, method="POST", body=body)


BEGINNINGS = [
    b"",
    b"GET ",
    b"GET / HTTP/1.1\r\nHost: bot\r\nX-Slow: ",
    b"POST /webhook HTTP/1.1\r\nHost: bot\r\nContent-Length: 10\r\n\r\n",
    b"POST /webhook HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"POST /webhook HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: ",
    b"POST /api/jobs HTTP/1.1\r\nHost: bot\r\nAuthorization: %s\r\nContent-Length: 10\r\n\r\n{"
    % OPERATOR["Authorization"].encode(),
    b"\r\n",
]


async def test_a_request_that_does_not_come_in_time_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    async with served(limits=SHORT) as port, AsyncExitStack() as stack:
        asked_at = monotonic()
        wires = [await stack.enter_async_context(connect(port)) for _ in BEGINNINGS]
        for wire, beginning in zip(wires, BEGINNINGS, strict=True):
            await wire.send(beginning)
        said = [(await wire.rest()).split(b"\r\n")[0] for wire in wires]
        assert said == [b"HTTP/1.1 408 Request Timeout"] * len(BEGINNINGS)
        assert 0.1 < monotonic() - asked_at < 2
    assert noise(caplog) == []


async def test_a_body_that_nobody_waits_for_is_cut_too() -> None:
    async with served(limits=SHORT) as port, connect(port) as wire:
        asked_at = monotonic()
        await wire.send(b"POST /nowhere HTTP/1.1\r\nHost: bot\r\nContent-Length: 10\r\n\r\n{")
        assert await wire.status() == 404
        assert await wire.rest() == b""
        assert monotonic() - asked_at < 2


@pytest.mark.parametrize("drip", [b"X-Drip: 1\r\n", b"a"])
async def test_a_drip_does_not_buy_time(drip: bytes) -> None:
    async with served(limits=SHORT) as port, connect(port) as wire:
        asked_at = monotonic()
        await wire.send(b"GET / HTTP/1.1\r\n")
        said = asyncio.create_task(wire.rest())
        while not said.done():
            wire.writer.write(drip)
            await asyncio.wait({said}, timeout=0.02)
        assert said.result()[:12] in {b"HTTP/1.1 408", b""}  # what was sent after it may have swallowed it
        assert 0.1 < monotonic() - asked_at < 1


async def test_an_answered_connection_may_not_dawdle_over_its_next_request() -> None:
    async with served(limits=SHORT) as port, connect(port) as wire:
        assert await wire.ask("/healthz") == 200
        await asyncio.sleep(0.2)
        assert await wire.ask("/healthz") == 200
        await wire.send(b"\r\n\r\nGET /healthz HTTP/1.1\r\n")
        assert (await wire.rest()).startswith(b"HTTP/1.1 408")


async def test_slow_ones_do_not_touch_others() -> None:
    body = payload("issues.labeled")
    async with served(limits=ConnectionLimits(request_s=1.0)) as port, AsyncExitStack() as stack:
        for _ in range(50):
            slow = await stack.enter_async_context(connect(port))
            await slow.send(b"POST /webhook HTTP/1.1\r\nHost: bot\r\nContent-Length: 99\r\n\r\nx")
        async with connect(port) as wire:
            asked_at = monotonic()
            await wire.send(delivery("issues", body))
            assert await wire.status() == 202
            assert monotonic() - asked_at < 0.5


async def test_an_answer_that_takes_long_is_not_cut() -> None:
    async def answer(_: Request) -> Response:
        await asyncio.sleep(0.3)
        return PlainTextResponse("late")

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    async with serving(Config(app, limits=SHORT)) as port, connect(port) as wire:
        await wire.send(request("/", method="POST", body=b"whole"))
        assert (await wire.answer()).endswith(b"late")


FLOODS = [
    b"GET /" + b"x" * 70_000,
    b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 70_000,
    b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 20_000,
    b"POST /webhook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 70_000,
    b"POST /webhook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: " + b"x" * 70_000,
    b"\r\n" * 35_000,
]


async def test_what_is_not_body_is_capped() -> None:
    async with served() as port:
        for flood in FLOODS:
            async with connect(port) as wire:
                asked_at = monotonic()
                await wire.send(flood)
                said = await wire.rest()
                assert said.split(b"\r\n")[0] in {b"", b"HTTP/1.1 431 Request Header Fields Too Large"}
                assert monotonic() - asked_at < 2


async def test_a_head_as_large_as_proxies_make_it_is_taken() -> None:
    async with served() as port, connect(port) as wire:
        assert await wire.ask("/healthz", *[f"X-Header-{number}: {'x' * 300}" for number in range(90)]) == 200


async def test_a_body_in_many_small_chunks_is_taken() -> None:
    body = payload("issues.labeled")
    head = "\r\n".join(f"{name}: {value}" for name, value in headers("issues", body).items())
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    async with served() as port, connect(port) as wire:
        await wire.send(f"POST /webhook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{head}\r\n\r\n".encode())
        await wire.send(chunks + b"0\r\n\r\n")
        assert await wire.status() == 202


async def test_requests_sent_ahead_are_answered_in_turn() -> None:
    async with served() as port, connect(port) as wire:
        await wire.send(request("/healthz") * 3 + request("/nowhere"))
        assert [await wire.status() for _ in range(4)] == [200, 200, 200, 404]


async def test_who_is_longest_without_a_request_gives_way() -> None:
    async with served(limits=ConnectionLimits(connections=5)) as port, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connect(port)) for _ in range(5)]
        assert await idle[0].ask("/healthz") == 200
        newcomers = [await stack.enter_async_context(connect(port)) for _ in range(3)]
        assert [await wire.ask("/healthz") for wire in newcomers] == [200] * 3
        assert [await wire.rest() for wire in idle[1:4]] == [b""] * 3
        assert [await wire.ask("/healthz") for wire in (idle[0], idle[4])] == [200] * 2


async def test_when_all_are_being_answered_only_probes_get_in() -> None:
    begun, ends = asyncio.Semaphore(0), asyncio.Event()

    async def answer(request: Request) -> Response:
        if request.url.path == "/slow":
            begun.release()
            await ends.wait()
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/{name}", answer)])
    async with serving(Config(app, limits=ConnectionLimits(connections=3))) as port, AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(connect(port)) for _ in range(3)]
        for wire in busy:
            await wire.send(request("/slow"))
            await begun.acquire()
        async with connect(port) as probe:
            assert [await probe.ask("/healthz"), await probe.ask("/readyz")] == [200, 200]
        async with connect(port) as late:
            await late.send(request("/fast"))
            said = await late.rest()
            assert said.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 5" in said
        ends.set()
        assert [await wire.status() for wire in busy] == [200] * 3
        async with connect(port) as wire:
            assert await wire.ask("/fast") == 200


async def seen_by(proxies: tuple[Network, ...], *forwarded: str) -> tuple[str, str]:
    """The client and the scheme that the application sees."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse(f"{request.client.host if request.client else ''} {request.url.scheme}")

    config = Config(Starlette(routes=[Route("/", answer)]), trusted_proxies=proxies)
    async with serving(config) as port, connect(port) as wire:
        await wire.send(request("/", *forwarded))
        host, _, scheme = (await wire.answer()).partition(b"\r\n\r\n")[2].decode().partition(" ")
        return host, scheme


LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("10.0.0.1"))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        ((), ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"], ("127.0.0.1", "http")),
        ((ip_network("10.0.0.0/8"),), ["X-Forwarded-For: 203.0.113.9"], ("127.0.0.1", "http")),
        (LOOPBACK, ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"], ("203.0.113.9", "https")),
        (LOOPBACK, ["X-Forwarded-For: 198.51.100.1, 203.0.113.9"], ("203.0.113.9", "http")),
        (LOOPBACK, ["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.9"], ("203.0.113.9", "http")),
        (LOOPBACK, ["X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.0.0.1"], ("203.0.113.9", "http")),
        (LOOPBACK, ["Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9"], ("127.0.0.1", "http")),
        (LOOPBACK, ["X-Forwarded-Proto: javascript"], ("127.0.0.1", "http")),
    ],
)
async def test_only_named_proxies_say_who_asks(
    proxies: tuple[Network, ...], forwarded: list[str], expected: tuple[str, str]
) -> None:
    assert await seen_by(proxies, *forwarded) == expected


@pytest.mark.parametrize(("proxies", "expected"), [((), {429}), (LOOPBACK, {404})])
async def test_a_forged_address_does_not_escape_the_limit(proxies: tuple[Network, ...], expected: set[int]) -> None:
    async with served(options=WebOptions(rate=0.001, burst=1), proxies=proxies) as port, connect(port) as wire:
        await wire.ask("/nowhere")
        statuses = {await wire.ask("/nowhere", f"X-Forwarded-For: 203.0.113.{last}") for last in range(9)}
        assert statuses == expected
        claims = {await wire.ask("/nowhere", f"X-Forwarded-For: 192.0.2.{last}, 203.0.113.99") for last in range(9)}
        assert 429 in claims


STRANGE_JSON = [
    b"",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b"{" + b'"action":"labeled",' * 1_000 + b'"x":1}',
    b'{"action":"labeled","issue":' + b"9" * 1_000_000 + b"}",
    b'{"action":"labeled","issue":{"number":1e999999}}',
    b'{"action":"\\ud800"}',
    b'{"action":"created","comment":{"body":"/vibecode \\u0000\\udfff"}}',
    b'\xef\xbb\xbf{"action":"labeled"}',
    '{"action":"labeled"}'.encode("utf-16"),
    '{"action":"labeled"}'.encode("utf-32"),
    b'{"action":"labeled"}\x00',
    b'{"action":NaN}',
    b'{"action":["labeled"]}',
    b"\xff" * 1_000,
    b'"' + b"\\" * 100_001,
    b"\x1f\x8b\x08\x00gzip",
]


async def test_no_signed_body_is_a_failure_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as port, connect(port) as wire:
        statuses = set()
        for event, body in product(["issues", "issue_comment", "installation", "ping", "push"], STRANGE_JSON):
            await wire.send(delivery(event, body))
            statuses.add(await wire.status())
        assert statuses == {200, 400}
        assert await wire.ask("/healthz") == 200
    assert noise(caplog) == []


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT bot:443 HTTP/1.1\r\nHost: bot\r\n\r\n",
    b"GET ? HTTP/1.1\r\n\r\n",
    b"GET \xff\xfe HTTP/1.1\r\n\r\n",
    b"GET //%00%ff HTTP/1.1\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nmore",
    b"GET /healthz HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    b"POST /webhook HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /webhook HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"POST /webhook HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /webhook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /webhook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"POST /webhook HTTP/1.1\r\nContent-Length: 100\r\nX-GitHub-Event: issues\r\n\r\n{",
    b"GET /healthz HTTP/9.9\r\n\r\n",
    b"GET /healthz\r\n\r\n",
    b"\x00" * 100,
    b"A" * 100,
    bytes(range(256)),
]


async def test_garbage_is_dropped_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as port:
        for garbage in GARBAGE:
            async with connect(port) as wire:
                await wire.send(garbage + b"\r\n\r\n")
                wire.writer.write_eof()
                assert not (await wire.rest()).startswith(b"HTTP/1.1 5"), garbage
        async with connect(port) as wire:
            assert await wire.ask("/healthz") == 200
    assert noise(caplog) == []


async def test_a_connection_reset_amid_a_body_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as port:
        async with connect(port) as wire:
            await wire.send(delivery("issues", payload("issues.labeled"))[:-100])
            assert wire.writer.transport is not None
            await asyncio.sleep(0)
            wire.writer.transport.abort()
        async with connect(port) as wire:
            assert await wire.ask("/healthz") == 200
    assert noise(caplog) == []
