"""What bodies cost before anybody knows whose they are."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.inbound.delivery import BadSignature, SignatureVerifier
from app.web.body import MAX_BODY_BYTES, MAX_KEPT_BYTES, ROOM_BYTES, SMALL_BYTES, Body, BodyMemory, BodyState
from tests.payloads import SECRET, headers, payload, signature
from tests.web.test_server import delivery, served
from tests.web.wire import Wire, connect, request

MB = 1_000_000


def body_in(room: BodyMemory, *, is_ours: bool = True) -> Body:
    return Body(SignatureVerifier([SecretStr(SECRET)]), room, is_ours=is_ours)


@given(st.lists(st.binary(max_size=100)))
def test_what_is_ours_is_kept_as_it_came(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    with body_in(BodyMemory()) as body:
        for part in parts:
            body.add(part)
        body.check(signature(whole))
        assert (bytes(body.kept), body.length, body.fate) == (whole, len(whole), BodyState.KEPT)


def test_what_is_not_ours_is_sealed_and_not_kept() -> None:
    with body_in(BodyMemory(), is_ours=False) as body:
        body.add(b"x" * MB)
        body.check(signature(b"x" * MB))
        with pytest.raises(BadSignature):
            body.check(signature(b"y" * MB))
        assert (bytes(body.kept), body.fate) == (b"", BodyState.NOT_OURS)


def test_too_large_a_body_is_let_go_at_once() -> None:
    room = BodyMemory()
    with body_in(room) as body:
        body.add(b"x" * MAX_KEPT_BYTES)
        assert room.free_bytes == ROOM_BYTES - MAX_KEPT_BYTES + SMALL_BYTES
        body.add(b"x")
        assert (bytes(body.kept), body.fate, room.free_bytes) == (b"", BodyState.TOO_LARGE, ROOM_BYTES)
        body.check(signature(b"x" * (MAX_KEPT_BYTES + 1)))
    assert room.free_bytes == ROOM_BYTES


def test_large_bodies_share_their_room_and_small_ones_need_none() -> None:
    room = BodyMemory(SMALL_BYTES)
    with body_in(room) as first, body_in(room) as second, body_in(room) as small:
        first.add(b"x" * 2 * SMALL_BYTES)
        second.add(b"x" * SMALL_BYTES)
        second.add(b"x")
        small.add(b"x" * SMALL_BYTES)
        assert [each.fate for each in (first, second, small)] == [BodyState.KEPT, BodyState.NO_ROOM, BodyState.KEPT]
    assert room.free_bytes == SMALL_BYTES


def test_a_body_that_breaks_off_gives_its_room_back() -> None:
    room = BodyMemory()

    def break_off() -> None:
        with body_in(room) as body:
            body.add(b"x" * MB)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert room.free_bytes == ROOM_BYTES


def _forget_peak_mb() -> float:
    """Let the kernel measure the peak of our memory anew (proc(5), clear_refs); the memory now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return _memory_mb("VmRSS")


def _memory_mb(what: str) -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def _head(event: str, *more: str) -> bytes:
    forged = {**headers(event, b""), "X-Hub-Signature-256": "sha256=" + "0" * 64}
    lines = [f"{name}: {value}" for name, value in forged.items()]
    head = request("/webhook", *lines, *more, method="POST")
    return head.replace(b"Content-Length: 0\r\n", b"", 1)


_CHUNK = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"


async def _pour(wire: Wire, event: str, megabytes: int) -> bytes:
    """Send a chunked body with a bad signature for as long as it is taken; what was said to it."""
    try:
        await wire.send(_head(event, "Transfer-Encoding: chunked"))
        for _ in range(megabytes * MB // 0x40000):
            await wire.send(_CHUNK)
        await wire.send(b"0\r\n\r\n")
        return await wire.answer()
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""


@pytest.mark.parametrize("event", ["issues", "push"])
async def test_300_mb_with_a_bad_signature_cost_next_to_nothing(event: str) -> None:
    async with served() as port, connect(port) as warm, connect(port) as wire:
        await _pour(warm, event, 1)
        before_mb, began_at = _forget_peak_mb(), monotonic()
        said = await _pour(wire, event, 300)
        assert monotonic() - began_at < 1
        assert _memory_mb("VmHWM") - before_mb < 5
        assert said[:12] in {b"HTTP/1.1 413", b""}  # whoever sends on after the answer may lose it
        assert await warm.ask("/healthz") == 200


@pytest.mark.parametrize("event", ["issues", "push"])
async def test_the_signature_is_what_is_told_of_a_large_body(event: str) -> None:
    async with served() as port, connect(port) as wire:
        assert (await _pour(wire, event, MAX_BODY_BYTES // MB - 1)).startswith(b"HTTP/1.1 401")
        assert await wire.ask("/healthz") == 200


async def test_many_large_bodies_at_once_stay_bounded_and_do_not_keep_deliveries_out() -> None:
    size = MAX_KEPT_BYTES - 1
    async with served() as port:
        wires = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
        before_mb = _forget_peak_mb()
        for _, writer in wires:
            writer.write(_head("issues", f"Content-Length: {size + 1}"))
            for start in range(0, size, 0x40000):
                writer.write(_CHUNK[7 : 7 + min(0x40000, size - start)])
                await writer.drain()
        async with connect(port) as wire:
            await wire.send(delivery("issues", payload("issues.labeled")))
            assert await wire.status() == 202
        assert _memory_mb("VmHWM") - before_mb < 60 * size / MB / 2  # what is under way on this end is in it
        for reader, writer in wires:
            writer.write(b" ")
            assert (await reader.readline()).startswith(b"HTTP/1.1 401")
            writer.close()
