"""Signed deliveries, sent once, timed, and kept in a log that can be asked to send again.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers
"""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Coroutine
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from types import TracebackType
from typing import Final, Self

import httpx

from app.demo.github.shapes import Json, Shapes, stamp
from app.demo.github.state.records import Comment, Delivery, Installation, Issue, Repo, User, now
from app.demo.github.state.world import EVENTS, World

TIMEOUT_S: Final = 10.0
_MAX_RESPONSE_CHARS: Final = 4_096


def sign(secret: str, payload: bytes) -> str:
    """The value of `X-Hub-Signature-256`."""
    return "sha256=" + hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


class Courier:
    """Sends deliveries to `url`; with an empty `url` nothing is sent and nothing is logged."""

    def __init__(self, world: World, shapes: Shapes, secret: str) -> None:
        self.url = ""
        self.content_type = "json"
        self.losses = 0
        self.hook_id = 400_000_000 + world.app_id
        self._world = world
        self.shapes = shapes
        self.secret = secret
        # It speaks to this machine only: the authorities of the world, 25 ms to load, are not needed.
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, verify=SSLContext(PROTOCOL_TLS_CLIENT))
        self._tasks: set[asyncio.Task[Delivery]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    # sending ---------------------------------------------------------------------------------------------------

    async def send(self, event: str, payload: Json) -> Delivery:
        """Deliver an event and wait for the outcome, ten seconds at most."""
        return await self._attempt(self._prepare(event, payload))

    def send_soon(self, event: str, payload: Json) -> None:
        """Deliver an event while the caller goes on, as GitHub does with what an API call caused."""
        self.soon(self.send(event, payload))

    def soon(self, deed: Coroutine[None, None, Delivery]) -> None:
        """Do what ends in a delivery while the caller goes on."""
        task = asyncio.get_running_loop().create_task(deed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def again(self, delivery: Delivery) -> Delivery:
        """Deliver the same bytes with the same guid once more, as a new attempt."""
        attempt = Delivery(
            id=self._world.next_id(),
            guid=delivery.guid,
            event=delivery.event,
            action=delivery.action,
            payload=delivery.payload,
            installation_id=delivery.installation_id,
            repository_id=delivery.repository_id,
            redelivery=True,
        )
        return await self._attempt(attempt)

    def again_soon(self, delivery: Delivery) -> None:
        self.soon(self.again(delivery))

    def _prepare(self, event: str, payload: Json) -> Delivery:
        return Delivery(
            id=self._world.next_id(),
            guid=str(uuid.uuid4()),
            event=event,
            action=payload.get("action"),
            payload=json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode(),
            installation_id=payload.get("installation", {}).get("id"),
            repository_id=payload.get("repository", {}).get("id"),
        )

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        return {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/7f3c1a2",
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(self.hook_id),
            "X-GitHub-Hook-Installation-Target-ID": str(self._world.app_id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
            "X-Hub-Signature-256": sign(self.secret, delivery.payload),
        }

    async def _attempt(self, delivery: Delivery) -> Delivery:
        if not self.url or not self._is_told(delivery):
            return delivery
        delivery.request_headers = self._headers(delivery)
        delivery.delivered_at, began = now(), time.monotonic()
        self._world.deliveries.append(delivery)
        if self.losses > 0:
            self.losses -= 1
            delivery.status, delivery.status_code = "failed to connect to host", 502
            return delivery
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._client.post(self.url, content=delivery.payload, headers=delivery.request_headers)
        except (TimeoutError, httpx.TimeoutException):
            delivery.status, delivery.status_code = "timed out", 504
        except httpx.HTTPError:
            delivery.status, delivery.status_code = "failed to connect to host", 502
        else:
            delivery.status_code = answer.status_code
            delivery.status = "OK" if answer.is_success else f"Invalid HTTP Response: {answer.status_code}"
            delivery.response_headers = dict(answer.headers)
            delivery.response = answer.text[:_MAX_RESPONSE_CHARS]
        delivery.duration_s = round(time.monotonic() - began, 2)
        return delivery

    def _is_told(self, delivery: Delivery) -> bool:
        """Whether the App is told: not of what it unsubscribed from, nor where it is suspended or not installed."""
        if delivery.event in EVENTS and delivery.event not in self._world.events:
            return False
        if delivery.event == "installation" or delivery.installation_id is None:
            return True
        installation = self._world.installations.get(delivery.installation_id)
        return installation is not None and installation.suspended_at is None

    # payloads --------------------------------------------------------------------------------------------------

    def about(self, action: str, repo: Repo, sender: User) -> Json:
        return {
            "action": action,
            "repository": self.shapes.repo(repo),
            "sender": self.shapes.user(sender),
            "installation": {"id": repo.installation_id, "node_id": f"MDIzOkludGVncmF0aW9u{repo.installation_id}"},
        }

    def issue(self, action: str, repo: Repo, issue: Issue, sender: User, **more: Json) -> Json:
        return {**self.about(action, repo, sender), "issue": self.shapes.issue(repo, issue), **more}

    def comment(self, action: str, repo: Repo, comment: Comment, sender: User, **more: Json) -> Json:
        issue = repo.issues[comment.number]
        return self.issue(action, repo, issue, sender, comment=self.shapes.comment(repo, comment), **more)

    def pull_request(self, action: str, repo: Repo, pull: Json, sender: User, **more: Json) -> Json:
        """A pull request's event; `pull` is the pull request in JSON."""
        return {**self.about(action, repo, sender), "number": pull["number"], "pull_request": pull, **more}

    def about_installation(self, action: str, installation: Installation, *repos: Repo) -> Json:
        """An event of the App's installation; `repos` are those that it is about."""
        named = [
            {"id": repo.id, "name": repo.name, "full_name": repo.full_name, "private": repo.private} for repo in repos
        ]
        return {
            "action": action,
            "installation": self.shapes.installation(installation),
            "repositories": named,
            "requester": None,
            "sender": self.shapes.user(installation.account),
        }

    def ping(self) -> Json:
        moment = stamp(self._world.created_at)
        hook = {
            "type": "App",
            "id": self.hook_id,
            "name": "web",
            "active": True,
            "events": self.shapes.app()["events"],
            "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": self.url},
            "app_id": self._world.app_id,
            "created_at": moment,
            "updated_at": moment,
            "deliveries_url": f"{self.shapes.api}/app/hook/deliveries",
        }
        return {"zen": "Keep it logically awesome.", "hook_id": self.hook_id, "hook": hook}
