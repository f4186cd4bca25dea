"""The application: all endpoints, in the paths of GitHub Enterprise Server."""

from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from app.demo.github import git_http, pages
from app.demo.github.api import (
    apps,
    checks,
    commits,
    git_data,
    graphql,
    merges,
    pulls,
    registration,
    rulesets,
    statuses,
    threads,
)
from app.demo.github.api.reviews import ROWS
from app.demo.github.call import Hub, routes
from app.demo.github.responses import Refusal, not_found

_METHODS: Final = ["GET", "POST", "PATCH", "PUT", "DELETE"]


async def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return error.response()


async def _nowhere(_: Request) -> Response:
    raise not_found()


def build(hub: Hub) -> Starlette:
    """Put it together over one world."""

    async def answer_graphql(request: Request) -> Response:
        if not hub.world.has_graphql:
            raise not_found()
        return await graphql.serve(hub, request)

    reviews = (*ROWS, *merges.ROWS, *rulesets.ROWS)
    states = (*checks.ROWS, *statuses.ROWS)
    tables = (*apps.ROWS, *threads.ROWS, *git_data.ROWS, *states, *commits.ROWS, *pulls.ROWS, *reviews)
    flow = registration.Flow(hub)
    api = [*routes(hub, tables), *flow.api(), Route("/{path:path}", _nowhere, methods=_METHODS)]
    return Starlette(
        routes=[
            Mount("/api/v3", routes=api),
            Route("/api/graphql", answer_graphql, methods=["POST"]),
            *git_http.routes(hub),
            *flow.pages(),
            *pages.routes(hub),
        ],
        exception_handlers={Refusal: _refuse},
    )
