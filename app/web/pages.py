"""The pages: the operator's list, one run's live timeline, the API's description.

A page is the status document drawn once more; `static/live.js` fetches it again when the run's event stream says so.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app.core.ports.store import Store
from app.core.run.job import canonical_id
from app.core.run.run import Status
from app.text.page import render_docs, render_list, render_run, render_sign_in
from app.web.api.http import read_body, tagged
from app.web.api.openapi import OPENAPI
from app.web.api.runs import load, status_of
from app.web.api.views import Documents
from app.web.auth import COOKIE, SESSION, SESSION_S, Access

_LIST_LIMIT: Final = 30


@dataclass(frozen=True, slots=True)
class Pages:
    """`is_https` says that the deployment is reached by HTTPS, so that its cookie travels by nothing else."""

    store: Store
    access: Access
    documents: Documents
    is_https: bool = False

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/", self.show_all, methods=["GET"]),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/jobs/{job_id:path}", self.show, methods=["GET"]),
            Route("/docs", self.docs, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            static(),
        ]

    async def show_all(self, request: Request) -> Response:
        query = request.query_params
        if token := query.get("token"):
            return self._enter(SecretStr(token), back="/")
        if not self.access.is_operator(request):
            return HTMLResponse(render_sign_in(back="/"), 401)
        repo, status = query.get("repo", ""), query.get("status", "")
        page = await self.store.list(
            repo=repo, status=status_of(status), cursor=query.get("cursor", ""), limit=_LIST_LIMIT
        )
        jobs = [self.documents.show_item(run) for run in page.runs]
        return tagged(request, HTMLResponse(render_list(jobs, cursor=page.cursor, repo=repo, status=status)))

    async def show(self, request: Request) -> Response:
        name = canonical_id(request.path_params["job_id"])
        await self.access.reader(request, name)
        run = await load(self.store, name)
        activities = [self.documents.show_activity(activity, run) for activity in run.activities]
        # after the last line that the page shows
        after = str(run.activities[-1].seq if run.activities else 0)
        events = "" if run.status is Status.COMPLETED else _api_path(request, f"{run.id}/events", after=after)
        html = render_run(self.documents.show(run), activities, events=events, json=_api_path(request, run.id))
        return tagged(request, HTMLResponse(html))

    async def sign_in(self, request: Request) -> Response:
        form = parse_qs((await read_body(request)).decode("utf-8", "replace"))
        back = form.get("back", ["/"])[0]
        return self._enter(SecretStr(form.get("token", [""])[0]), back=back if _is_local(back) else "/")

    async def docs(self, request: Request) -> Response:
        return tagged(request, HTMLResponse(render_docs(OPENAPI)))

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(OPENAPI)

    def _enter(self, token: SecretStr, *, back: str) -> Response:
        if not self.access.knows(token):
            return HTMLResponse(render_sign_in(back=back, trouble="That is not the operator's token."), 401)
        answer = RedirectResponse(back, 303)
        answer.set_cookie(
            COOKIE,
            self.access.ticket(SESSION, SESSION_S),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=self.is_https,
        )
        return answer


def static() -> Mount:
    """What pages are made of besides words."""
    return Mount("/static", StaticFiles(packages=[("app.web", "static")]))


def _api_path(request: Request, path: str, **query: str) -> str:
    """A path of the API, with the key that the page was opened with."""
    if key := request.query_params.get("key"):
        query["key"] = key
    return f"/api/jobs/{quote(path, safe='~/')}" + (f"?{urlencode(query)}" if query else "")


def _is_local(path: str) -> bool:
    """Whether it is a path of ours: a browser takes `//host` and `/\\host` for somebody else's."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
