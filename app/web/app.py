"""The web process put together: routes, what stands before them, and how errors are answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from app.core.errors import OutsideError, StoreError, UserError
from app.core.ports.clock import Clock
from app.core.ports.queue import Queue
from app.core.ports.store import Store
from app.text.page import render_problem, render_sign_in
from app.web import webhook
from app.web.api.actions import ActionEndpoints
from app.web.api.branches import BranchEndpoints
from app.web.api.events import Events
from app.web.api.runs import RunEndpoints
from app.web.api.views import Documents
from app.web.auth import Access
from app.web.health import Health
from app.web.limits import Buckets, RateLimit, SafeHeaders
from app.web.pages import Pages, static
from app.web.problems import problem
from app.web.setup import Setup, SetupOptions


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Plain values of one deployment.

    Without `webhook_secrets` there is no webhook yet; without `setup` the App is made elsewhere. `redact` is applied to
    all that is shown. Once `is_closing` says so the open streams end, so that they do not hold up a shutdown.
    An address may send `burst` requests at once and `rate` a second after that; an installation's deliveries may ask
    for `jobs_per_minute`.
    """

    webhook_secrets: Sequence[SecretStr] = ()
    label: str = "vibecode"
    public_url: str = ""
    github_url: str = "https://github.com"
    redact: Callable[[str], str] = str
    is_closing: Callable[[], bool] = bool
    max_streams: int = 200
    rate: float = 10.0
    burst: int = 100
    jobs_per_minute: int = 60
    setup: SetupOptions | None = None


def create_app(
    *,
    queue: Queue,
    store: Store,
    clock: Clock,
    access: Access,
    options: WebOptions,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """The web process. The ports are open already, or opened by `lifespan`."""
    documents = Documents(access.link_secret, options.public_url, options.github_url, options.redact)
    events = Events(store, access, documents, is_closing=options.is_closing, limit=options.max_streams)
    is_https = options.public_url.startswith("https:")
    routes = [
        *Health(queue, store, access, open_streams=lambda: events.open).routes(),
        events.route(),
        *RunEndpoints(queue, store, clock, access, documents).routes(),
        *ActionEndpoints(queue, store, clock, access, documents).routes(),
        *BranchEndpoints(store, access, documents).routes(),
        *Pages(store, access, documents, is_https=is_https).routes(),
    ]
    if options.webhook_secrets:
        routes += webhook.routes(
            queue,
            store,
            secrets=options.webhook_secrets,
            label=options.label,
            clock=clock,
            jobs_per_minute=options.jobs_per_minute,
        )
    if options.setup is not None:
        routes += Setup(access, options.setup, options.public_url, options.github_url.rstrip("/")).routes()
    return _put_together(routes, clock, options, lifespan)


def create_setup_app(access: Access, clock: Clock, options: WebOptions) -> Starlette:
    """Nothing but the page that makes the App, for the time before there is one.

    Raises:
        ValueError: the options have no `setup`.
    """
    if options.setup is None:
        raise ValueError("Nothing to set up.")
    setup = Setup(access, options.setup, options.public_url, options.github_url.rstrip("/"))
    return _put_together([*setup.routes(), static()], clock, options)


def _put_together(
    routes: Sequence[BaseRoute], clock: Clock, options: WebOptions, lifespan: Lifespan[Starlette] | None = None
) -> Starlette:
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(SafeHeaders, is_https=options.public_url.startswith("https:")),
            Middleware(RateLimit, buckets=Buckets(options.rate, options.burst), monotonic=clock.monotonic),
        ],
        exception_handlers={
            HTTPException: _refuse,
            UserError: _decline,
            OutsideError: partial(_fail, redact=options.redact),
            StoreError: partial(_fail, redact=options.redact),
            Exception: _apologise,
        },
        lifespan=lifespan,
    )


def _refuse(request: Request, error: Exception) -> Response:
    """Answers an `HTTPException`: people get a page, programs a problem document."""
    if not isinstance(error, HTTPException):
        raise error
    title = HTTPStatus(error.status_code).phrase
    if not _is_for_people(request):
        return problem(error.status_code, title, detail=error.detail, headers=error.headers)
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        return HTMLResponse(render_sign_in(back=request.url.path), 401, error.headers)
    return HTMLResponse(render_problem(title, error.detail), error.status_code, error.headers)


def _decline(request: Request, error: Exception) -> Response:
    """Answers a `UserError`, whose words are meant for whoever asked."""
    return _refuse(request, HTTPException(400, str(error)))


def _fail(request: Request, error: Exception, *, redact: Callable[[str], str]) -> Response:
    """Answers an `OutsideError` or a `StoreError`: GitHub or the store is away."""
    headers, detail = {"Retry-After": "5"}, redact(str(error))
    if _is_for_people(request):
        return HTMLResponse(render_problem("Not now", detail), 503, headers)
    return problem(503, "Upstream unavailable", detail=detail, headers=headers)


def _apologise(request: Request, error: Exception) -> Response:
    """Answers a bug; Starlette raises it again, so that it is logged."""
    return problem(500, "Internal error", detail="The error has been logged.")


def _is_for_people(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
