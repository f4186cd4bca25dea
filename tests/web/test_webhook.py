"""What GitHub, or somebody who passes for it, is told at the door."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Final

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from app.adapters.memory import MemoryStore
from app.core.errors import StoreError, UserError
from app.core.policy.repo_config import CachedConfig, encode_cached
from app.core.ports.queue import Waiting, WorkerState
from app.core.ports.store import Store
from app.core.run.run import Run, Status
from app.web.body import MAX_BODY_BYTES, MAX_KEPT_BYTES
from app.web.webhook import routes
from tests.payloads import NAMES, SECRET, Json, headers, payload, signature
from tests.web.sample import T0
from tests.web.site import HandClock

SECRETS: Final = (SecretStr(SECRET), SecretStr("the one before"))


class MemoryQueue:
    """A queue that remembers what was put, and how often it was asked."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.runs: dict[str, Run] = {}
        self.calls = 0
        self._is_away = is_away

    async def put(self, run: Run) -> bool:
        self.calls += 1
        if self._is_away:
            raise StoreError("Redis does not answer.")
        await asyncio.sleep(0)
        return self.runs.setdefault(run.id, run) is run

    async def put_again(self, job_id: str, *, after_s: float = 0.0) -> None:
        raise AssertionError(job_id)

    async def workers(self) -> tuple[WorkerState, ...]:
        return ()

    async def waiting(self) -> tuple[Waiting, ...]:
        return ()

    async def depth(self) -> int:
        return len(self.runs)


def app(
    queue: MemoryQueue, clock: HandClock | None = None, *, store: Store | None = None, jobs_per_minute: int = 60
) -> Starlette:
    return Starlette(
        routes=routes(
            queue,
            store or MemoryStore(),
            secrets=SECRETS,
            label="vibecode",
            clock=clock or HandClock(),
            jobs_per_minute=jobs_per_minute,
        )
    )


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture
def github(queue: MemoryQueue) -> Iterator[TestClient]:
    with TestClient(app(queue)) as client:
        yield client


def deliver(github: TestClient, name: str, changes: dict[str, Json] | None = None) -> httpx2.Response:
    body = payload(name, changes)
    return github.post("/webhook", content=body, headers=headers(name.partition(".")[0], body))


def raw(words: dict[str, str]) -> dict[bytes, bytes]:
    return {key.encode(): word.encode() for key, word in words.items()}


def test_a_label_is_stored_and_acknowledged(github: TestClient, queue: MemoryQueue) -> None:
    response = deliver(github, "issues.labeled")
    assert (response.status_code, response.json()) == (202, {"job": "acme~greeter~12~label~20261122T150237Z"})
    run = queue.runs["acme~greeter~12~label~20261122T150237Z"]
    assert (run.status, run.job.delivery_id) == (Status.QUEUED, "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    assert (run.job.created_at, run.updated_at) == (T0, T0)


def test_a_redelivery_is_known(github: TestClient, queue: MemoryQueue) -> None:
    first, second = deliver(github, "issue_comment.created"), deliver(github, "issue_comment.created")
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == {"job": "acme~greeter~12~comment~99", "duplicate": True}
    assert len(queue.runs) == 1


async def test_five_at_once_make_one_job(queue: MemoryQueue) -> None:
    body = payload("issues.labeled")
    transport = httpx2.ASGITransport(app(queue))
    async with httpx2.AsyncClient(transport=transport, base_url="http://bot") as github:
        answers = await asyncio.gather(
            *(github.post("/webhook", content=body, headers=headers("issues", body)) for _ in range(5))
        )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 202]
    assert len(queue.runs) == 1


def test_a_ping_is_answered(github: TestClient) -> None:
    assert deliver(github, "ping").json() == {"pong": True}


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("push", {}, "the event push or its action is not handled"),
        ("issues.opened", {}, "the event issues or its action is not handled"),
        ("issue_comment.created", {"action": "edited"}, "the event issue_comment or its action is not handled"),
        ("issue_comment.created", {"action": "deleted"}, "the event issue_comment or its action is not handled"),
        ("issue_comment.created", {"comment.body": "Nice!"}, "no trigger matches"),
        ("issues.labeled", {"label.name": "bug"}, "no trigger matches"),
        ("issues.labeled", {"installation": None}, "no trigger matches"),
        ("installation.created", {}, "installation 4242: created"),
        ("installation_repositories.added", {}, "installation 4242: added"),
    ],
)
def test_what_is_not_ours_is_dropped_without_a_call(
    github: TestClient, queue: MemoryQueue, name: str, changes: dict[str, Json], reason: str
) -> None:
    response = deliver(github, name, changes)
    assert (response.status_code, response.json()) == (200, {"ignored": reason})
    assert queue.calls == 0


async def test_what_only_the_repositorys_file_names_is_heard_once_a_worker_told_of_it(queue: MemoryQueue) -> None:
    store = MemoryStore()
    by_a_bot: dict[str, Json] = {"sender.login": "renovate[bot]", "sender.type": "Bot", "comment.user.type": "Bot"}
    with TestClient(app(queue, store=store)) as github:
        assert "ignored" in deliver(github, "issues.labeled", {"label.name": "robot"}).json()
        assert "ignored" in deliver(github, "issue_comment.created", by_a_bot).json()
        await store.note("file acme/greeter", encode_cached(CachedConfig("robot", ("renovate[bot]",))))
        assert deliver(github, "issues.labeled", {"label.name": "Robot"}).status_code == 202
        assert deliver(github, "issue_comment.created", by_a_bot).status_code == 202
        assert "ignored" in deliver(github, "issues.labeled", {"label.name": "bug"}).json()


def test_the_store_is_asked_only_where_the_file_could_matter(queue: MemoryQueue) -> None:
    class Away(MemoryStore):
        async def recall(self, name: str) -> str:
            raise StoreError("Redis is away.")

    with TestClient(app(queue, store=Away())) as github:
        assert deliver(github, "issue_comment.created", {"comment.body": "Thanks!"}).status_code == 200
        bots: dict[str, Json] = {"sender.type": "Bot", "comment.user.type": "Bot", "comment.body": "Released!"}
        assert deliver(github, "issue_comment.created", bots).status_code == 200
        assert deliver(github, "issues.labeled", {"label.name": "robot"}).status_code == 503


@pytest.mark.parametrize("sent", ["absent", "wrong", "another body's", "of an empty secret", "sha1"])
def test_a_forgery_is_refused_before_anything_is_looked_at(github: TestClient, queue: MemoryQueue, sent: str) -> None:
    body = payload("issues.labeled")
    forged = headers("issues", body)
    value = {
        "absent": None,
        "wrong": "sha256=" + "0" * 64,
        "another body's": signature(body + b" "),
        "of an empty secret": signature(body, ""),
        "sha1": "sha1=" + "0" * 40,
    }[sent]
    del forged["X-Hub-Signature-256"]
    response = github.post("/webhook", content=body, headers=forged | ({"X-Hub-Signature-256": value} if value else {}))
    assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")
    assert response.json()["title"] == "Bad signature"
    assert queue.calls == 0


def test_a_signature_that_is_no_text_is_refused(github: TestClient) -> None:
    signed = raw(headers("issues", b"{}")) | {b"X-Hub-Signature-256": b"sha256=\xff\xfe"}
    assert github.post("/webhook", content=b"{}", headers=signed).status_code == 401


def test_the_secret_before_is_good_while_it_is_being_changed(github: TestClient) -> None:
    body = payload("ping")
    signed = headers("ping", body) | {"X-Hub-Signature-256": signature(body, "the one before")}
    assert github.post("/webhook", content=body, headers=signed).status_code == 200


@pytest.mark.parametrize("secrets", [[], [""], [SECRET, " "]])
def test_an_empty_secret_is_refused_at_the_start(queue: MemoryQueue, secrets: list[str]) -> None:
    with pytest.raises(UserError):
        routes(
            queue, MemoryStore(), secrets=[SecretStr(secret) for secret in secrets], label="vibecode", clock=HandClock()
        )


@pytest.mark.parametrize("name", ["X-GitHub-Event", "X-GitHub-Delivery"])
@pytest.mark.parametrize("value", ["", "a b", "é", "x" * 65])
def test_a_missing_or_strange_header_is_refused(github: TestClient, name: str, value: str) -> None:
    body = payload("ping")
    sent = headers("ping", body) | {name: value}
    response = github.post("/webhook", content=body, headers=raw(sent))
    assert (response.status_code, response.json()["title"]) == (400, "Bad headers")


def test_a_form_is_answered_with_what_to_choose(github: TestClient) -> None:
    body = b"payload=%7B%7D"
    sent = headers("ping", body) | {"Content-Type": "application/x-www-form-urlencoded"}
    response = github.post("/webhook", content=body, headers=sent)
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


def test_a_content_type_may_name_its_charset(github: TestClient) -> None:
    body = payload("ping")
    sent = headers("ping", body) | {"Content-Type": "Application/JSON; charset=utf-8"}
    assert github.post("/webhook", content=body, headers=sent).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"action":"labeled"}'])
def test_what_is_not_the_json_that_github_documents_is_refused(github: TestClient, body: bytes) -> None:
    response = github.post("/webhook", content=body, headers=headers("issues", body))
    assert (response.status_code, response.json()["title"]) == (400, "Bad delivery")


@pytest.mark.parametrize(
    ("event", "size", "expected"),
    [
        ("issues", MAX_KEPT_BYTES, 400),
        ("issues", MAX_KEPT_BYTES + 1, 413),
        ("push", MAX_KEPT_BYTES + 1, 200),
        ("push", MAX_BODY_BYTES, 200),
        ("push", MAX_BODY_BYTES + 1, 413),
    ],
)
def test_how_large_a_delivery_may_be(github: TestClient, event: str, size: int, expected: int) -> None:
    body = b" " * size
    assert github.post("/webhook", content=body, headers=headers(event, body)).status_code == expected


def test_a_stranger_is_not_told_that_it_is_too_large(github: TestClient) -> None:
    body = b" " * (MAX_KEPT_BYTES + 1)
    assert github.post("/webhook", content=body, headers=headers("issues", b"")).status_code == 401


def test_a_comment_as_long_as_github_lets_it_be_is_taken(github: TestClient) -> None:
    words = "/vibecode " + "\U0001f600" * 65_526
    assert deliver(github, "issue_comment.created", {"comment.body": words, "issue.body": words}).status_code == 202


def test_an_installation_that_asks_too_much_is_put_off(queue: MemoryQueue) -> None:
    clock = HandClock()
    with TestClient(app(queue, clock, jobs_per_minute=3)) as github:

        def label(number: int, installation: int = 4242) -> httpx2.Response:
            return deliver(github, "issues.labeled", {"issue.number": number, "installation.id": installation})

        assert [label(number).status_code for number in range(1, 5)] == [202, 202, 202, 429]
        assert (label(4).json()["title"], label(4).headers["retry-after"]) == ("Too many requests", "20")
        assert label(4, installation=4243).status_code == 202
        assert deliver(github, "issues.opened").status_code == 200
        assert len(queue.runs) == 4
        clock.passed_s += 20
        assert label(5).status_code == 202


def test_a_strangers_comments_do_not_use_up_what_the_team_has(queue: MemoryQueue) -> None:
    with TestClient(app(queue, jobs_per_minute=12)) as github:

        def comment(number: int, sender: int) -> int:
            changes: dict[str, Json] = {"comment.id": number, "sender.id": sender, "comment.user.id": sender}
            return deliver(github, "issue_comment.created", changes).status_code

        assert [comment(number, sender=666) for number in range(1, 30)] == [202, 202] + [429] * 27
        assert comment(30, sender=1) == 202


def test_what_strangers_send_does_not_fill_the_log(github: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "app.web.webhook"):
        for _ in range(100):
            github.post("/webhook", content=b"{}", headers=headers("issues", b""))
        deliver(github, "issues.labeled")
    outcomes = [vars(record)["outcome"] for record in caplog.records if record.name == "app.web.webhook"]
    assert outcomes == ["bad signature"] * 20 + ["accepted"]


async def answer_to(queue: MemoryQueue, *parts: Message) -> tuple[int, int]:
    """Speak ASGI: the parts of a request in turn, then silence. The status, and how many parts were taken."""
    waiting = list(parts)
    sent: list[Message] = []
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhook",
        "headers": [(key.lower().encode(), value.encode()) for key, value in headers("issues", b"").items()],
        "query_string": b"",
    }

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(queue)(scope, receive, send)
    status: int = sent[0]["status"]
    return status, len(parts) - len(waiting)


def part(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": True}


async def test_nothing_is_read_past_the_cap(queue: MemoryQueue) -> None:
    assert await answer_to(queue, *[part(b"x" * 10_000_000)] * 9) == (413, 3)


async def test_a_delivery_that_breaks_off_is_dropped_quietly(
    queue: MemoryQueue, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert await answer_to(queue, part(b"{"), {"type": "http.disconnect"}) == (400, 2)
    assert [record for record in caplog.records if record.name.startswith("app")] == []


def test_a_queue_that_is_away_is_a_failed_delivery_for_github() -> None:
    with TestClient(app(MemoryQueue(is_away=True))) as github:
        response = deliver(github, "issues.labeled")
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert deliver(github, "issues.opened").status_code == 200


def test_the_log_has_one_line_without_words_of_the_delivery(
    github: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "app.web.webhook"):
        deliver(github, "issue_comment.created", {"comment.body": "/vibecode hush, private"})
    (record,) = [record for record in caplog.records if record.name == "app.web.webhook"]
    line = json.dumps(vars(record), default=str)
    assert vars(record)["outcome"] == "accepted"
    assert vars(record)["job_id"] == "acme~greeter~12~comment~99"
    assert "private" not in line
    assert SECRET not in line
    assert "sha256" not in line


def test_every_delivery_of_every_event_gets_an_answer(github: TestClient) -> None:
    """As GitHub would send any payload under any header, signed: never a failure of ours."""
    statuses = set()
    for name in NAMES:
        for event in (
            "issues",
            "issue_comment",
            "installation",
            "installation_repositories",
            "ping",
            "push",
            "projects_v2",
        ):
            body = payload(name)
            statuses.add(github.post("/webhook", content=body, headers=headers(event, body)).status_code)
    assert statuses == {200, 202, 400}


@settings(deadline=None)
@given(body=st.binary(max_size=200) | st.text(max_size=50).map(str.encode), event=st.sampled_from(["issues", "ping"]))
def test_no_signed_bytes_are_a_failure_of_ours(body: bytes, event: str) -> None:
    with TestClient(app(MemoryQueue())) as github:
        assert github.post("/webhook", content=body, headers=headers(event, body)).status_code in {200, 400}


def test_only_posts_are_taken(github: TestClient) -> None:
    assert github.get("/webhook").status_code == 405
