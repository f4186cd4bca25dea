"""Getting something in that GitHub did not send, or keeping others from getting in."""

import asyncio
import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx

from app.commands.web import serve_web
from app.core.errors import UserError
from app.demo.github.webhooks import sign
from app.demo.loopback import free_port
from app.settings import load
from tests.attacks.attack import attack
from tests.attacks.scene import Scene
from tests.bot import REPO, SECRET, environment
from tests.faults.program import Program
from tests.payloads.optional import reduced

_MIB: Final = 1 << 20
_CUT_S: Final = 10.0
"""How long a slow client may hold a connection."""
_SLACK_S: Final = 5.0


async def _assert_kept_out(scene: Scene, answer: httpx.Response) -> None:
    scene.assert_refused(answer, 401, "bad signature")
    assert await scene.runs() == ()
    await scene.assert_silent()


@attack("ingress")
async def unsigned_delivery(scene: Scene) -> None:
    """A delivery without any signature."""
    _, payload = await scene.payload()
    await _assert_kept_out(scene, await scene.deliver(payload, headers={"X-Hub-Signature-256": ""}))


@attack("ingress")
async def forged_signature(scene: Scene) -> None:
    """A delivery signed with a guessed secret, with the empty one, and with the App's name."""
    _, payload = await scene.payload()
    body = json.dumps(payload).encode()
    for guess in ("", "secret", "vibecoder", SECRET[:-1], SECRET + " "):
        await _assert_kept_out(scene, await scene.deliver(body, headers={"X-Hub-Signature-256": sign(guess, body)}))


@attack("ingress")
async def sha1_signature(scene: Scene) -> None:
    """A true SHA-1 signature, in its own header and in the other one's place."""
    _, payload = await scene.payload()
    body = json.dumps(payload).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    for header in ("", f"sha1={digest}", f"sha256={digest}"):
        headers = {"X-Hub-Signature": f"sha1={digest}", "X-Hub-Signature-256": header}
        await _assert_kept_out(scene, await scene.deliver(body, headers=headers))


@attack("ingress")
async def malformed_signatures(scene: Scene) -> None:
    """Signatures that are not ASCII, cut off, too long, doubled, or followed by something."""
    _, payload = await scene.payload()
    body = json.dumps(payload).encode()
    true = sign(SECRET, body)
    odd: list[str | bytes] = ["sha256=é".encode(), b"sha256=\xff\xfe", "sha256=" + "٣" * 64, true[:-1], true + "0"]
    odd += [true[:20], true + ";", f"{true},{true}", true[7:], f"SHA512={true[7:]}", "sha256=" + "g" * 64]
    for signature in odd:
        await _assert_kept_out(scene, await scene.deliver(body, headers={"X-Hub-Signature-256": signature}))


@attack("ingress")
async def swapped_body(scene: Scene) -> None:
    """A true signature over another body: one byte is changed, one is added."""
    _, payload = await scene.payload()
    body = json.dumps(payload).encode()
    for changed in (body.replace(b"/vibecode", b"/vibecodE"), body + b" ", body[:-1] + b" }"):
        headers = {"X-Hub-Signature-256": sign(SECRET, body)}
        await _assert_kept_out(scene, await scene.deliver(changed, headers=headers))


@attack("ingress")
async def empty_secret(scene: Scene) -> None:
    """A deployment whose secret is blank, which everybody could sign for: it must not start."""
    environ = environment(scene.github, scene.model.url, scene.folder) | {"GITHUB_WEBHOOK_SECRET": "   "}
    try:
        async with serve_web(load(environ), scene.bot.records):
            raise AssertionError("It serves with a blank secret.")
    except UserError as error:
        scene.assert_in(str(error), "webhook secret is empty")


@attack("ingress")
async def replayed_delivery(scene: Scene) -> None:
    """A delivery that was listened to, sent again under new ids, before and after its run has ended."""
    _, payload = await scene.payload()
    scene.persuade()
    first = await scene.deliver(payload)
    again = [await scene.deliver(payload) for _ in range(5)]
    await scene.bot.settled(first.json()["job"])
    again += [await scene.deliver(payload) for _ in range(5)]
    taken = [answer.json() for answer in again if answer.status_code != 429]
    assert taken, "None was taken."
    assert all(answer.get("duplicate") for answer in taken), taken
    assert len(await scene.runs()) == len(scene.comments()) == len(scene.bot.pull_requests()) == 1
    scene.assert_in(scene.log.getvalue(), '"outcome": "duplicate"')


@attack("ingress", JOBS_PER_MINUTE="100000", is_worker_up=False)
async def absent_fields(scene: Scene) -> None:
    """True deliveries without the fields that GitHub's schemas make optional: taken or ignored, never failed."""
    for name in ("issues.labeled", "repository.renamed", "installation_repositories.removed", "issue_comment.created"):
        for what, document in reduced(name):
            answer = await scene.deliver(document, name.partition(".")[0])
            assert answer.status_code in {200, 202}, f"{name}, {what}: {answer.status_code} {answer.text[:200]}"
            assert {"job", "ignored", "told"} & answer.json().keys(), f"{name}, {what}: {answer.text[:200]}"
    scene.assert_in(scene.log.getvalue(), "ignored: no trigger matches")
    await scene.assert_silent()


@attack("ingress")
async def confused_event(scene: Scene) -> None:
    """A true body under the header of another event, which the signature does not cover."""
    _, payload = await scene.payload()
    for event in (
        "issues",
        "ping",
        "installation",
        "push",
        "pull_request",
        "",
        "../issues",
        "ISSUE_COMMENT",
        "a" * 999,
    ):
        answer = await scene.deliver(payload, event=event)
        assert answer.status_code in (200, 400), f"{event}: {answer.status_code}"
        assert "job" not in answer.json(), event
    assert await scene.runs() == ()
    await scene.assert_silent()


@attack("ingress")
async def cut_off_body(scene: Scene) -> None:
    """Bodies that end before their announced length."""
    for _ in range(20):
        writer = await _opened(scene, b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{")
        writer.close()
    await _assert_serves(scene)
    assert await scene.runs() == ()
    await scene.assert_silent()
    scene.assert_not_in(scene.log.getvalue(), "Traceback", '"level": "error"')


@attack("ingress")
async def huge_chunked_body(scene: Scene) -> None:
    """200 MB in chunks with a forged signature: no more than 5 MB and a second of ours may go for it."""
    web = Program("web", scene.folder / "web.log", _web_environ(scene))
    await web.start()
    try:
        url = f"http://127.0.0.1:{_web_environ(scene)['PORT']}"
        async with httpx.AsyncClient(timeout=20) as client:
            await client.post(f"{url}/webhook", content=b"{}", headers={"X-Hub-Signature-256": "sha256=" + "0" * 64})
            before, peak, sent_mib = _resident_bytes(web.pid), 0, 0

            async def flood() -> AsyncIterator[bytes]:
                nonlocal peak, sent_mib
                while sent_mib < 200:
                    yield b" " * _MIB
                    sent_mib += 1
                    peak = max(peak, _resident_bytes(web.pid))

            status = 0
            headers = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
            try:
                status = (await client.post(f"{url}/webhook", content=flood(), headers=headers)).status_code
            except httpx.TransportError:
                status = 413  # it was cut while it still sent
            assert (await client.get(f"{url}/healthz")).status_code == 200
    finally:
        await web.kill()
    assert status in (401, 413), f"It was answered {status}."
    assert sent_mib < 100, f"It took {sent_mib} MiB before it refused."
    assert peak - before < 5 * _MIB, f"It took {(peak - before) / _MIB:.1f} MiB."
    assert await scene.runs() == ()


@attack("ingress")
async def slow_headers(scene: Scene) -> None:
    """Fifty connections that never come to the end of their headers."""
    writers = [await _opened(scene, b"POST /webhook HTTP/1.1\r\nHost: x\r\nX-A: ") for _ in range(50)]
    await _assert_dropped(scene, writers)


@attack("ingress")
async def slow_body(scene: Scene) -> None:
    """Fifty connections that send a byte of their body now and then."""
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nX-Hub-Signature-256: sha256=%b\r\n\r\n{"
    writers = [await _opened(scene, head % (b"0" * 64)) for _ in range(50)]
    await _assert_dropped(scene, writers)


@attack("ingress")
async def slow_api_body(scene: Scene) -> None:
    """The same at the status API, where a token is asked for."""
    head = b"POST /api/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nAuthorization: Bearer x\r\n\r\n{"
    writers = [await _opened(scene, head) for _ in range(20)]
    await _assert_dropped(scene, writers)


@attack("ingress")
async def json_bombs(scene: Scene) -> None:
    """Signed bodies of every shape, depth and encoding: none may be a fault of ours."""
    _, payload = await scene.payload()
    deep = b'{"action":"created","issue":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"
    bodies = [deep, b"[" * 200_000, b'{"action":"created","x":1e999999999}', b'{"action":"created","issue":NaN}']
    bodies += [b"", b"null", b"[]", b'"x"', b"1", b"{", b"\xff\xfe{\0}\0", b'\xef\xbb\xbf{"action":"created"}', b"\0"]
    bodies += [json.dumps(payload).encode("utf-16"), b'{"action":"\xff"}', b'{"action":"created","comment":"\\ud800"}']
    bodies += [b'{"action":"created","issue":{"number":%b}}' % (b"9" * 5_000), b'{"action":{"$gt":""}}']
    for body in bodies:
        for event in ("issue_comment", "issues", "ping", "installation"):
            answer = await scene.deliver(body, event=event)
            assert answer.status_code < 500, f"{body[:40]!r} as {event}: {answer.status_code}"
    assert await scene.runs() == ()
    await scene.assert_silent()
    scene.assert_in(scene.log.getvalue(), "bad delivery")
    scene.assert_not_in(scene.log.getvalue(), "Traceback")


@attack("ingress")
async def duplicate_keys(scene: Scene) -> None:
    """A body that says two things under one key, to be filtered by one reading and believed by another."""
    _, payload = await scene.payload(by="outsider")
    text = json.dumps(payload)
    bodies = [
        text.replace('{"action": "created"', '{"action": "created", "action": "edited"', 1),
        text.replace('{"action": "created"', '{"action": "deleted", "action": "created"', 1),
    ]
    for body in bodies:
        answer = await scene.deliver(body.encode())
        assert answer.status_code in (200, 202, 400), answer.status_code
    runs = await scene.bot.work()
    assert all(run.cost.turns == 0 for run in runs), "A stranger's doubled key started work."
    assert scene.model.requests == []


@attack("ingress")
async def hostile_fields(scene: Scene) -> None:
    """Well-signed deliveries whose names and numbers would lead elsewhere if they were believed."""
    _, payload = await scene.payload()
    names = [
        "../../etc/passwd",
        "a/b/c",
        "acme/..",
        "acme/greeter#1",
        "a\nb/c",
        "acme/greeter?x=1",
        "/",
        "a~b/c",
        "é/é",
    ]
    for name in names:
        answer = await scene.deliver({**payload, "repository": {**payload["repository"], "full_name": name}})
        assert answer.status_code == 400, f"{name!r}: {answer.status_code}"
    for number in (0, -1, 2**70, "1", 1.5, None):
        answer = await scene.deliver({**payload, "issue": {**payload["issue"], "number": number}})
        assert answer.status_code == 400, f"{number!r}: {answer.status_code}"
    assert await scene.runs() == ()
    scene.assert_in(scene.log.getvalue(), "bad delivery")


@attack("ingress")
async def forgotten_installation(scene: Scene) -> None:
    """A delivery for an installation that is none of ours: the run may not act in somebody else's name."""
    _, payload = await scene.payload()
    answer = await scene.deliver({**payload, "installation": {"id": 424_242}})
    run = await scene.bot.settled(answer.json()["job"])
    assert run.cost.turns == 0
    assert run.conclusion is not None
    assert run.conclusion.value in ("failure", "skipped"), run.conclusion
    scene.assert_in(scene.log.getvalue(), "run failed")
    await scene.assert_silent()


@attack("ingress")
async def forged_flood(scene: Scene) -> None:
    """Three hundred forged deliveries: a true one still gets in at once."""
    scene.persuade()
    issue = await scene.bot.issue()
    forged = [scene.deliver(b"{}" * 500, headers={"X-Hub-Signature-256": "sha256=" + "0" * 64}) for _ in range(300)]
    flood = asyncio.gather(*forged)
    await asyncio.sleep(0.2)
    began = time.monotonic()
    delivery = await scene.bot.label(issue)
    seconds = time.monotonic() - began
    assert {answer.status_code for answer in await flood} <= {401, 429}
    assert delivery.status_code == 202, delivery.status_code
    assert seconds < 10.0, f"The true delivery took {seconds:.1f} s; GitHub gives up after 10."
    scene.assert_in(scene.log.getvalue(), "bad signature")


@attack("ingress")
async def spoofed_forwarded_headers(scene: Scene) -> None:
    """Another address in `X-Forwarded-For` with every guess, to slip by the limit of requests."""
    statuses = []
    async with httpx.AsyncClient(base_url=scene.bot.url, timeout=20) as client:
        for number in range(160):
            address = f"203.0.113.{number}"
            headers = {"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": f"for={address}"}
            answer = await client.get("/api/jobs", headers={**headers, "Authorization": f"Bearer guess-{number}"})
            statuses.append(answer.status_code)
    assert 429 in statuses, f"160 guesses were answered {set(statuses)}."
    assert "retry-after" in answer.headers, "Nobody is told when to come back."


@attack("ingress")
async def foreign_host_header(scene: Scene) -> None:
    """A foreign `Host`, to have links and redirects lead there."""
    scene.persuade()
    run = await scene.labelled(await scene.bot.issue())
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    for path in ("/", "/docs", f"/jobs/{run.id}", f"/api/jobs/{run.id}", "/setup", "/nowhere"):
        answer = await scene.bot.api.get(path, headers=headers)
        scene.assert_not_in(answer.text + str(answer.headers), "evil.example")
    scene.assert_not_in(scene.comment(), "evil.example")


@attack("ingress")
async def path_traversal(scene: Scene) -> None:
    """Paths that climb out of the static files and the run's name."""
    targets = ["/static/../app.py", "/static/..%2f..%2fsettings.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
    targets += ["/jobs/..%2f..%2f..%2fetc%2fpasswd", "/api/jobs/%00", "/jobs/" + "a" * 5_000, "/static/%5c..%5capp.py"]
    for target in targets:
        reader, writer = await asyncio.open_connection(*_address(scene))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(60):
            answer = (await reader.read()).decode(errors="replace")
        writer.close()
        status = answer.split(" ", 2)[1]
        assert status in ("400", "401", "404"), f"{target[:60]}: {status}"
        scene.assert_not_in(answer, "import ", "root:x:")


@attack("ingress")
async def smuggled_request(scene: Scene) -> None:
    """A request within a request: two lengths, or a length and chunks."""
    inner = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    heads = [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner),
        b"Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc",
    ]
    for head in heads:
        reader, writer = await asyncio.open_connection(*_address(scene))
        writer.write(b"POST /webhook HTTP/1.1\r\nHost: x\r\n" + head + inner)
        writer.write_eof()
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.close()
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401")) or not answer, answer[:80]
        assert b"vibecoder_" not in answer, "The inner request was answered with the metrics."
    await _assert_serves(scene)
    await scene.assert_silent()


def _web_environ(scene: Scene) -> dict[str, str]:
    """A web process of its own, to be weighed, over the same Redis."""
    port = scene.folder / "web-port"
    if not port.exists():
        port.write_text(str(free_port()))
    kept = {name: value for name in ("PATH", "HOME") if (value := os.environ.get(name))}
    own = {"PORT": port.read_text(), "REDIS_URL": scene.bot.records.redis_url}
    return kept | environment(scene.github, scene.model.url, scene.folder) | own


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _address(scene: Scene) -> tuple[str, int]:
    host, _, port = scene.bot.url.removeprefix("http://").partition(":")
    return host, int(port)


async def _opened(scene: Scene, head: bytes) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(*_address(scene))
    writer.write(head)
    await writer.drain()
    return writer


async def _assert_serves(scene: Scene) -> None:
    """Others are served, and at once."""
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.get(f"{scene.bot.url}/healthz")
    assert answer.status_code == 200
    assert time.monotonic() - began < 8.0, "Others had to wait."


async def _assert_dropped(scene: Scene, writers: list[asyncio.StreamWriter]) -> None:
    """All are cut in time though they keep sending, and nobody else notices."""
    began = time.monotonic()
    alive = list(writers)
    while alive and time.monotonic() - began < _CUT_S + _SLACK_S:
        await asyncio.sleep(0.5)
        await _assert_serves(scene)
        for writer in alive:
            writer.write(b"a")
        # A connection that the server has closed shows as such once something was sent over it.
        alive = [writer for writer in alive if not (writer.is_closing() or writer.transport.is_closing())]
    for writer in writers:
        writer.close()
    assert not alive, f"{len(alive)} of {len(writers)} connections are held open after {_CUT_S + _SLACK_S:.0f} s."
    assert (await scene.bot.api.get(f"/api/jobs?repo={REPO}")).status_code == 200
