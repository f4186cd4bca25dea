"""What a comment can say about a run, a tap can: approve, stop, retry, more money, and the pull request as it is.

Each but a stop is a job in the run's thread, which a worker admits as it does a comment. Two taps are one job, named by
the Idempotency-Key or by the run and the verb.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.core.inbound.commands import MAX_ADD_USD
from app.core.policy.authorization import Action, stopping
from app.core.ports.clock import Clock
from app.core.ports.queue import Queue
from app.core.ports.store import Signal, Store
from app.core.run.job import Command, Job, Person, Verb, canonical_id, job_from_api
from app.core.run.run import Conclusion, Run, Status
from app.text.comment import describe_status
from app.web.api.http import as_json, read_json
from app.web.api.runs import check_may, load
from app.web.api.views import Documents
from app.web.auth import Access, repo_of


class BudgetRequest(BaseModel):
    """The body of `…/budget`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    usd: float = Field(gt=0, le=MAX_ADD_USD)


@dataclass(frozen=True, slots=True)
class ActionEndpoints:
    """The endpoints. Who may is for `core/policy/authorization.py` to say."""

    queue: Queue
    store: Store
    clock: Clock
    access: Access
    documents: Documents

    def routes(self) -> list[Route]:
        told = {
            "approve": self.approve,
            "stop": self.stop,
            "retry": self.retry,
            "budget": self.add,
            "pull-request": self.open,
        }
        return [Route(f"/api/jobs/{{job_id:path}}/{verb}", tell, methods=["POST"]) for verb, tell in told.items()]

    async def approve(self, request: Request) -> Response:
        person, run = await self._run(request, Action.APPROVE)
        problem = (
            "" if run.needs == "approval" else f"This run has no plan waiting for approval. {describe_status(run)}"
        )
        return await self._put(request, run, person, Command(Verb.APPROVE), problem)

    async def retry(self, request: Request) -> Response:
        person, run = await self._run(request, Action.START)
        problem = "" if run.is_resumable else f"There is nothing to resume. {describe_status(run)}"
        return await self._put(request, run, person, Command(Verb.RETRY), problem)

    async def add(self, request: Request) -> Response:
        """Two more dollars while it is in progress, or to go on with."""
        person, run = await self._run(request, Action.ADD_BUDGET)
        more = await read_json(request, BudgetRequest)
        is_open = run.conclusion is None
        problem = "" if is_open or run.is_resumable else f"This run is not waiting for budget. {describe_status(run)}"
        return await self._put(request, run, person, Command(Verb.BUDGET, add_usd=more.usd), problem)

    async def open(self, request: Request) -> Response:
        """Open the pull request now, from what an ended run left on its branch."""
        person, run = await self._run(request, Action.START)
        return await self._put(request, run, person, Command(Verb.RETRY, hands_over=True), _why_not_opened(run))

    async def stop(self, request: Request) -> Response:
        person, run = await self._run(request, Action.STOP)
        if run.status is Status.COMPLETED:
            raise HTTPException(409, f"The run has already ended: {run.conclusion}.")
        await self.store.signal(run.id, Signal("stop", by=person.login))
        if run.status is Status.QUEUED or run.wake_at is not None:  # nobody listens: a worker ends it where it waits
            await self.queue.put(Run(self._job(run, person, Command(Verb.STOP), f"{run.id} stop {run.attempt}")))
        return as_json(self.documents.show_progress(run), 202)

    async def _run(self, request: Request, action: Action) -> tuple[Person, Run]:
        """Who asks, and of which run.

        Raises:
            HTTPException: 401, 403 or 404.
        """
        name = canonical_id(request.path_params["job_id"])
        person, role = await self.access.sender(request, repo_of(name))
        run = await load(self.store, name)
        wanted = stopping(run.job.sender, person) if action is Action.STOP else action
        await check_may(self.store, run.job.repo, person, role, wanted)
        return person, run

    async def _put(self, request: Request, run: Run, person: Person, command: Command, problem: str) -> Response:
        """Queue the job, unless it is known: then its run is the answer, whatever became of the first one.

        Raises:
            HTTPException: 409 with `problem`, where there is one; 422.
        """
        key = request.headers.get("idempotency-key") or f"{run.id} {command} {run.granted_usd}"
        job = self._job(run, person, command, key)
        told = await self.store.load(job.id)
        if told is None:
            if problem or (problem := await self._why_not_now(run)):
                raise HTTPException(409, problem)
            told = Run(job, updated_at=job.created_at)
            if not await self.queue.put(told):
                told = await load(self.store, job.id)
        if told.job.about != run.id or told.job.command.verb not in {command.verb, Verb.START, Verb.PLAN}:
            raise HTTPException(422, "This Idempotency-Key was used for another request.")
        return as_json(self.documents.show(told), 202, {"Location": f"/api/jobs/{told.id}"})

    async def _why_not_now(self, run: Run) -> str:
        """Why nothing goes on from this run: a newer one is open in its thread. Empty when none is."""
        number = run.job.number
        newest = await self.store.latest(run.job.repo, number) if number is not None else None
        is_busy = newest is not None and newest.id != run.id and newest.conclusion is None
        return f"Another run is open in this thread: {newest.id}." if newest is not None and is_busy else ""

    def _job(self, run: Run, person: Person, command: Command, key: str) -> Job:
        return job_from_api(run.job, person, command, key, self.clock.now())


def _why_not_opened(run: Run) -> str:
    if run.conclusion is None:
        return "The run is still in progress and will open its own pull request."
    if run.pull_request is not None:
        return f"The run already has a pull request: #{run.pull_request.number}."
    if not run.commits or run.conclusion is Conclusion.SUCCESS:
        return "The run has no commits to open a pull request from."
    return ""
