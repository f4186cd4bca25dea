"""What the embedded GitHub delivers, how it signs, and what it remembers."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.demo.github.server import DemoGitHub
from app.demo.loopback import serving
from tests.contract import demo_github
from tests.contract.demo_github import REPO, SECRET, app_jwt, client

github = demo_github.github
api = demo_github.api


@dataclass
class Receiver:
    """Takes deliveries as our web process would; `answers` are the status codes to give, then 202."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: Request) -> Response:
        async with self.came:
            self.bodies.append(await request.body())
            self.headers.append(dict(request.headers))
            self.came.notify_all()
        return PlainTextResponse("noted", self.answers.pop(0) if self.answers else 202)

    async def until(self, count: int) -> list[tuple[str, Any]]:
        """Wait for that many; each one's event and payload."""
        async with asyncio.timeout(5), self.came:
            await self.came.wait_for(lambda: len(self.bodies) >= count)
        events = [headers["x-github-event"] for headers in self.headers]
        return list(zip(events, map(json.loads, self.bodies), strict=True))


@pytest.fixture
async def receiver(github: DemoGitHub) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with serving(Starlette(routes=[Route("/webhook", receiver.take, methods=["POST"])])) as url:
        receiver.url = github.webhook_url = f"{url}/webhook"
        yield receiver


async def test_a_delivery_is_signed_and_named(github: DemoGitHub, receiver: Receiver) -> None:
    issue = await github.issue(REPO, title="Naïve ☕", body="Zero width: \u200b", author="mona")
    delivery = await github.label(REPO, issue.number, "vibecode", by="hubot")

    headers, body = receiver.headers[-1], receiver.bodies[-1]
    assert headers["x-hub-signature-256"] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-github-event"] == "issues"
    assert headers["x-github-delivery"] == delivery.guid
    assert headers["x-github-hook-installation-target-id"] == str(github.world.app_id)
    assert headers["x-github-hook-installation-target-type"] == "integration"
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["content-type"] == "application/json"
    payload = json.loads(body)
    assert (payload["action"], payload["label"]["name"], payload["sender"]["login"]) == ("labeled", "vibecode", "hubot")
    assert payload["issue"]["title"] == "Naïve ☕"
    assert payload["repository"]["full_name"] == REPO
    assert payload["installation"]["id"] == github.world.repos[REPO].installation_id
    assert (delivery.status_code, delivery.status, delivery.response) == (202, "OK", "noted")


async def test_two_labellings_never_share_a_moment(github: DemoGitHub, receiver: Receiver) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    for _ in range(3):
        await github.label(REPO, issue.number, "vibecode", by="mona")

    labeled = [json.loads(body)["issue"]["updated_at"] for body in receiver.bodies[1:]]
    assert len(set(labeled)) == 3


async def test_what_the_app_does_is_delivered_too(
    github: DemoGitHub, receiver: Receiver, api: httpx.AsyncClient
) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    comment = (await api.post(f"/issues/{issue.number}/comments", json={"body": "Working."})).json()
    await receiver.until(2)
    await api.patch(f"/issues/comments/{comment['id']}", json={"body": "Done."})

    told = await receiver.until(3)

    shown = [(event, payload["action"], payload["sender"]["login"]) for event, payload in told]
    assert shown == [
        ("issues", "opened", "mona"),
        ("issue_comment", "created", "vibecoder[bot]"),
        ("issue_comment", "edited", "vibecoder[bot]"),
    ]
    assert told[2][1]["changes"] == {"body": {"from": "Working."}}


async def test_pings_installations_and_reviews_are_delivered(
    github: DemoGitHub, receiver: Receiver, api: httpx.AsyncClient
) -> None:
    await github.ping()
    await github.repo("acme/other")
    await github.push(REPO, "fix", {"x": "x"}, message="Fix", by="mona")
    pull = (await api.post("/pulls", json={"title": "Fix", "head": "fix", "base": "main"})).json()
    await receiver.until(3)
    await github.pulls.review(REPO, pull["number"], state="changes_requested", body="Shorter.", by="mona")

    told = dict(await receiver.until(4))

    assert told["ping"]["hook"]["app_id"] == github.world.app_id
    assert told["installation"]["repositories"][0]["full_name"] == "acme/other"
    assert told["pull_request"]["pull_request"]["head"]["sha"] == await github.head(REPO, "fix")
    assert told["pull_request_review"]["review"]["state"] == "changes_requested"


async def test_without_a_url_nothing_is_sent(github: DemoGitHub) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    _, delivery = await github.comment(REPO, issue.number, "/vibecode", by="mona")

    assert (delivery.status_code, delivery.status) == (0, "not sent")
    assert github.deliveries == []


async def test_a_failed_delivery_is_kept_and_not_sent_again(github: DemoGitHub, receiver: Receiver) -> None:
    receiver.answers = [503]

    delivery = await github.ping()

    assert (delivery.status_code, delivery.status) == (503, "Invalid HTTP Response: 503")
    assert len(receiver.bodies) == 1


async def test_a_delivery_to_nobody_is_a_failed_connection(github: DemoGitHub) -> None:
    async with serving(Starlette()) as url:
        github.webhook_url = url

    assert (await github.ping()).status_code == 502


async def test_a_redelivery_is_the_same_bytes_with_the_same_guid(github: DemoGitHub, receiver: Receiver) -> None:
    first = await github.ping()

    assert await github.redeliver(first, times=5) == [202] * 5
    assert len(set(receiver.bodies)) == 1
    assert {headers["x-github-delivery"] for headers in receiver.headers} == {first.guid}
    assert [delivery.redelivery for delivery in github.deliveries] == [False, *[True] * 5]
    assert len({delivery.id for delivery in github.deliveries}) == 6


async def test_the_log_lists_what_failed_and_sends_it_again(github: DemoGitHub, receiver: Receiver) -> None:
    receiver.answers = [202, 503]
    for title in ("Good", "Lost"):
        await github.issue(REPO, title=title, author="mona")

    async with client(github, app_jwt(github), path="/app/hook") as app:
        failed = (await app.get("/deliveries?status=failure")).json()
        first_page = await app.get("/deliveries?per_page=1")
        second_page = await app.get(first_page.links["next"]["url"])
        whole = (await app.get(f"/deliveries/{failed[0]['id']}")).json()
        asked = await app.post(f"/deliveries/{failed[0]['id']}/attempts")
    told = await receiver.until(3)

    assert [(one["event"], one["action"], one["status_code"]) for one in failed] == [("issues", "opened", 503)]
    assert [page.json()[0]["status_code"] for page in (first_page, second_page)] == [503, 202]
    assert "next" not in second_page.links
    assert whole["request"]["payload"]["issue"]["title"] == "Lost"
    assert asked.status_code == 202
    assert told[2][1]["issue"]["title"] == "Lost"
