"""The sweep: how long freed runs and approvals wait while an installation with 100,000 repositories is swept.

GitHub is a stand-in that lists them over 1,000 pages and answers after 5 ms, with ETags. Whatever the sweep does, a run
that lost its worker must be queued again, and a plan's comment be looked at for a 👍, within 15 s. What a worker does
beside its runs goes on in one process here: the sweep without its pauses, and a list of sandboxes that never comes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final, cast

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import wiring
from app.adapters.github.app import GithubkitApp
from app.commands.web import listen, serve_app
from app.core.errors import OutsideError
from app.core.ports.bundle import Ports
from app.core.ports.queue import Queue
from app.core.run.run import Conclusion, Run, Status
from app.runs.background.recovery import look_after, recover_forever
from app.runs.background.sweep import sweep
from app.settings import load
from app.wiring import Records
from tests.bench.figure import Figure, figure
from tests.contract.sample_run import a_full_run, a_run, taken

REPOSITORIES: Final = 100_000
PAGE: Final = 100
ANSWER_S: Final = 0.005
FOR_S: Final = 15.0
BUDGET_S: Final = 15.0
LOOK_S: Final = 0.05


@dataclass
class StandIn:
    """One installation. `looked` are the ids of comments whose reactions were asked for."""

    answered: int = 0
    repositories: int = 0
    looked: set[str] = field(default_factory=set)

    def app(self) -> Starlette:
        api, repo = "/api/v3", "/api/v3/repos/acme/{name}"
        token = {"token": "ghs_any", "expires_at": "2999-01-01T00:00:00Z"}
        routes = [
            Route(f"{api}/app/hook/deliveries", self._say([])),
            Route(f"{api}/app/installations", self._say([{"id": 7}])),
            Route(f"{api}/app/installations/7/access_tokens", self._say(token, 201), methods=["POST"]),
            Route(f"{api}/installation/token", self._say({}, 204), methods=["DELETE"]),
            Route(f"{api}/installation/repositories", self._list),
            Route(repo, self._say({"full_name": "acme/any"})),
            Route(f"{repo}/issues", self._issues),
            Route(f"{repo}/issues/comments/{{id}}/reactions", self._reactions),
            Route(f"{repo}/contents/{{path:path}}", self._say({"message": "Not Found"}, 404)),
        ]
        return Starlette(routes=routes)

    def _say(self, body: object, status: int = 200) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            await self._take_time()
            return Response(status_code=204) if status == 204 else JSONResponse(body, status)

        return answer

    async def _take_time(self) -> None:
        self.answered += 1
        await asyncio.sleep(ANSWER_S)

    async def _list(self, request: Request) -> Response:
        await self._take_time()
        page = int(request.query_params.get("page", "1"))
        etag = f'"page {page}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        names = [f"acme/r{index}" for index in range((page - 1) * PAGE, page * PAGE)]
        # As many keys as GitHub writes of each, of which the sweep reads three.
        shown = [{"full_name": name, **{f"{key}_url": "https://" + "x" * 60 for key in range(50)}} for name in names]
        link = f'<{request.url.include_query_params(page=page + 1)}>; rel="next"'
        more = {"link": link} if page * PAGE < REPOSITORIES else {}
        return JSONResponse({"total_count": REPOSITORIES, "repositories": shown}, headers={"etag": etag, **more})

    async def _issues(self, request: Request) -> Response:
        await self._take_time()
        self.repositories += 1
        if request.headers.get("if-none-match") == '"none"':
            return Response(status_code=304, headers={"etag": '"none"'})
        return JSONResponse([], headers={"etag": '"none"'})

    async def _reactions(self, request: Request) -> Response:
        await self._take_time()
        self.looked.add(request.path_params["id"])
        return JSONResponse([])


class Requeued:
    """A queue in front of the real one that tells which runs were put again."""

    def __init__(self, queue: Queue) -> None:
        self.again: set[str] = set()
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def put_again(self, job_id: str, *, after_s: float = 0.0) -> None:
        await self._queue.put_again(job_id, after_s=after_s)
        self.again.add(job_id)


class NoAnswer:
    """A sandbox vendor that has stopped answering."""

    async def list(self) -> tuple[()]:
        await asyncio.Event().wait()
        return ()


async def measure() -> list[Figure]:
    stand_in = StandIn()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        records = await stack.enter_async_context(wiring.open_records(load({"DATA_DIR": str(folder)})))
        settings = load({"DATA_DIR": str(folder)})
        url, _ = await stack.enter_async_context(serve_app(stand_in.app(), listen("127.0.0.1", 0), settings))
        queue = Requeued(records.queue)
        ports = replace(_ports(records, url), queue=cast("Any", queue))
        await stack.enter_async_context(_going_on(ports))
        began = monotonic()
        freed, approved = await asyncio.gather(_freed(records, queue), _looked_at(ports, stand_in))
        rate = stand_in.repositories / (monotonic() - began)
    return [
        figure("a run is freed", freed, "s", budget=BUDGET_S),
        Figure("at most", max(freed), "s", verdict=_verdict(freed)),
        figure("a plan is looked at", approved, "s", budget=BUDGET_S),
        Figure("at most", max(approved), "s", verdict=_verdict(approved)),
        Figure("repositories swept meanwhile, without pauses", rate, "/s"),
    ]


def _verdict(samples: list[float]) -> str:
    return f"{'within' if max(samples) <= BUDGET_S else 'over'} {BUDGET_S:.0f} s"


def _ports(records: Records, url: str) -> Ports:
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return Ports(
        clock=wiring.clock(),
        github=GithubkitApp("1", SecretStr(pem.decode()), server_url=url),
        sandboxes=cast("Any", NoAnswer()),
        model=cast("Any", None),
        queue=records.queue,
        store=records.store,
        repos=cast("Any", None),
        parsers=cast("Any", None),
    )


@asynccontextmanager
async def _going_on(ports: Ports) -> AsyncIterator[None]:
    """What a worker does beside its runs, and the sweep again as soon as it paused."""

    async def sweep_on() -> None:
        while True:
            with suppress(OutsideError):
                await sweep(ports, label="vibecode", holder="the benchmark")

    beside = [recover_forever(ports), *look_after(ports, deployment="bench", label="vibecode").values(), sweep_on()]
    tasks = [asyncio.ensure_future(each) for each in beside]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _freed(records: Records, queue: Requeued) -> list[float]:
    """Seconds from the moment at which a run has no worker any more to the one at which it is queued."""
    samples: list[float] = []
    until = monotonic() + FOR_S
    while monotonic() < until:
        held = await taken(cast("Any", records), a_run(f"freed-{len(samples)}", repo="acme/freed"))
        await records.store.release(held)
        began = monotonic()
        while held.id not in queue.again:  # noqa: ASYNC110 - it rings no bell
            await asyncio.sleep(LOOK_S)
        samples.append(monotonic() - began)
    return samples


async def _looked_at(ports: Ports, stand_in: StandIn) -> list[float]:
    """Seconds from the moment at which a plan's comment is to be looked at to the one at which GitHub is asked."""
    samples: list[float] = []
    until = monotonic() + FOR_S
    while monotonic() < until:
        run = await _planned(ports, len(samples) + 1)
        began = monotonic()
        await ports.store.remind(run.id, datetime.now(UTC))
        while str(run.comment_id) not in stand_in.looked:  # noqa: ASYNC110 - it rings no bell
            await asyncio.sleep(LOOK_S)
        samples.append(monotonic() - began)
        await ports.store.remind(run.id, None)
    return samples


async def _planned(ports: Ports, number: int) -> Run:
    """A run whose plan waits for somebody's word."""
    records = Records(ports.queue, ports.store, "")
    held = await taken(cast("Any", records), a_run(f"planned-{number}", repo="acme/planned", number=number))
    done = replace(
        held,
        status=Status.COMPLETED,
        conclusion=Conclusion.ACTION_REQUIRED,
        needs="approval",
        plan=a_full_run().plan,
        comment_id=number,
        ended_at=datetime.now(UTC),
    )
    await ports.store.save(done)
    await ports.store.set_lead(done.job.thread, done.id)
    return done
