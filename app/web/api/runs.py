"""The status API: runs as JSON, and new jobs. What can be said about a run is in `actions.py`.

An id may be written as it is stored (`acme~greeter~12~comment~99`) or as people write it, escaped for a URL
(`acme%2Fgreeter%2312:comment:99`).
"""

import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.core.policy import repo_config
from app.core.policy.authorization import Action, Role, authorize
from app.core.ports.clock import Clock
from app.core.ports.queue import Queue
from app.core.ports.store import Store
from app.core.refs import is_branch
from app.core.run.job import Command, Job, Mode, Person, Source, Verb, canonical_id, job_id
from app.core.run.run import Run, Status
from app.web.api.http import as_json, read_json, tagged
from app.web.api.views import Document, Documents
from app.web.auth import Access

MAX_REQUEST_CHARS: Final = 20_000
SAME_S: Final = 60.0
"""For how long the same request of the same person is the same job, without an Idempotency-Key."""
_REPO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")


class RunRequest(BaseModel):
    """The body of `POST /api/jobs` and `POST /api/plans`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    repo: str
    request: str = Field(max_length=MAX_REQUEST_CHARS)
    base: str | None = None

    @field_validator("repo")
    @classmethod
    def _is_repo(cls, value: str) -> str:
        if not _REPO.fullmatch(value):
            raise ValueError("write it as owner/name")
        return value

    @field_validator("request")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value.strip()

    @field_validator("base")
    @classmethod
    def _is_branch(cls, value: str | None) -> str | None:
        if value is not None and not is_branch(value):
            raise ValueError("not a valid branch name")
        return value


@dataclass(frozen=True, slots=True)
class RunEndpoints:
    """The endpoints. Who may read and start is for `core/policy/authorization.py` to say."""

    queue: Queue
    store: Store
    clock: Clock
    access: Access
    documents: Documents

    def routes(self) -> list[Route]:
        one = "/api/jobs/{job_id:path}"
        show = self.documents
        return [
            Route("/api/jobs", self.show_all, methods=["GET"]),
            Route("/api/jobs", self.start, methods=["POST"]),
            Route("/api/plans", self.plan, methods=["POST"]),
            Route(f"{one}/progress", self.show_progress, methods=["GET"]),
            Route(f"{one}/result", self._view(show.show_result), methods=["GET"]),
            Route(f"{one}/commits", self._view(show.show_commits), methods=["GET"]),
            Route(one, self._view(show.show), methods=["GET"]),
        ]

    async def show_all(self, request: Request) -> Response:
        query = request.query_params
        repo = query.get("repo", "")
        await self.access.lister(request, repo)
        page = await self.store.list(
            repo=repo,
            status=status_of(query.get("status", "")),
            cursor=query.get("cursor", ""),
            limit=_limit(query.get("limit", "50")),
        )
        jobs = [self.documents.show_item(run) for run in page.runs]
        return tagged(request, as_json({"jobs": jobs, "cursor": page.cursor or None}))

    async def start(self, request: Request) -> Response:
        return await self._put(request, Mode.AUTO)

    async def plan(self, request: Request) -> Response:
        return await self._put(request, Mode.PLAN)

    async def show_progress(self, request: Request) -> Response:
        name = canonical_id(request.path_params["job_id"])
        await self.access.reader(request, name)
        run = await load(self.store, name)
        waiting = await self.queue.waiting() if run.status is Status.QUEUED else ()
        place = next((each for each in waiting if each.job_id == name), None)
        return tagged(request, as_json(self.documents.show_progress(run, place)))

    def _view(self, show: Callable[[Run], Document]) -> Callable[[Request], Awaitable[Response]]:
        async def view(request: Request) -> Response:
            name = canonical_id(request.path_params["job_id"])
            await self.access.reader(request, name)
            return tagged(request, as_json(show(await load(self.store, name))))

        return view

    async def _put(self, request: Request, mode: Mode) -> Response:
        self.access.check_token(request)
        asked = await read_json(request, RunRequest)
        sender, role = await self.access.sender(request, asked.repo)
        await check_may(self.store, asked.repo, sender, role, Action.START)
        verb = Verb.PLAN if mode is Mode.PLAN else Verb.START
        command = Command(verb, instruction=asked.request, base=asked.base)
        key = request.headers.get("idempotency-key") or await self._key(sender, asked.repo, command)
        job = Job(
            id=job_id(asked.repo, None, Source.API, hashlib.sha256(key.encode()).hexdigest()[:32]),
            repo=asked.repo,
            installation_id=0,
            source=Source.API,
            sender=sender,
            author=sender,
            created_at=self.clock.now(),
            command=command,
            mode=mode,
            title=asked.request.splitlines()[0][:120],
        )
        run = Run(job)
        if not await self.queue.put(run):
            run = await self._same(job)
        return as_json(self.documents.show(run), 202, {"Location": f"/api/jobs/{run.id}"})

    async def _key(self, sender: Person, repo: str, command: Command) -> str:
        """A key for who names none: a new one, or that of the same request by the same person a moment ago."""
        words = json.dumps([sender.id, sender.login, repo.casefold(), command.verb, command.instruction, command.base])
        name = f"request {hashlib.sha256(words.encode()).hexdigest()}"
        return await self.store.agree(name, secrets.token_hex(16), ttl_s=SAME_S)

    async def _same(self, job: Job) -> Run:
        """The run that this idempotency key made before."""
        run = await self.store.load(job.id)
        if run is None:
            raise HTTPException(409, "This Idempotency-Key was used, and its run is not kept any more.")
        if (run.job.command, run.job.mode) != (job.command, job.mode):
            raise HTTPException(422, "This Idempotency-Key was used for another request.")
        return run


async def check_may(store: Store, repo: str, person: Person, role: Role, action: Action) -> None:
    """May they do this, by the repository's file as a worker last read it? For jobs a worker asks again.

    Raises:
        HTTPException: 403.
    """
    rules = repo_config.decode_cached(await store.recall(repo_config.config_note_name(repo)))
    decision = authorize(person, action, role, rules)
    if not decision.is_allowed:
        raise HTTPException(403, decision.reason)


async def load(store: Store, name: str) -> Run:
    """The run of that id.

    Raises:
        HTTPException: 404.
    """
    run = await store.load(name)
    if run is None:
        raise HTTPException(404, "Not found, or you don't have access.")
    return run


def status_of(value: str) -> Status | None:
    """The filter as it was written, None when it is empty.

    Raises:
        HTTPException: 400.
    """
    if value and value not in set(Status):
        raise HTTPException(400, f"`status` is one of {', '.join(Status)}.")
    return Status(value) if value else None


def _limit(value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?|100", value):
        raise HTTPException(400, "`limit` is a number from 1 to 100.")
    return int(value)
