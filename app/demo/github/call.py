"""One request to the API: who calls, on which repository, with which body; and the table that leads to endpoints.

Every endpoint names what it needs: `app` (a JWT), `installation` or `user` (that kind of token), or a permission
such as `issues:write`, alternatives separated by `|`. Who does not see a repository is told that there is none.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.demo.github.auth import Caller, identify
from app.demo.github.ci import CI
from app.demo.github.responses import Refusal, invalid, not_found, parse_body
from app.demo.github.shapes import Shapes
from app.demo.github.state.records import Issue, PullRequest, Repo, User
from app.demo.github.state.world import World
from app.demo.github.webhooks import Courier

ARCHIVED: Final = "Repository was archived so is read-only."
ISSUES_DISABLED: Final = "Issues has been disabled in this repository."
_FORBIDDEN: Final = "Resource not accessible by integration"
_VERSIONS: Final = ("2022-11-28", "2026-03-10")
_NAMED: Final = "/repos/{owner}/{name}"
_KINDS: Final = ("app", "installation", "user")
_TYPES: Final[dict[type, str]] = {
    str: "a string",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    int: "an integer",
}


@dataclass(frozen=True, slots=True)
class Hub:
    """What every endpoint works on."""

    world: World
    shapes: Shapes
    courier: Courier
    ci: CI
    private_key_pem: str


@dataclass(slots=True)
class Call:
    hub: Hub
    request: Request
    caller: Caller
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.hub.world

    @property
    def shapes(self) -> Shapes:
        return self.hub.shapes

    @property
    def user(self) -> User:
        """The account that acts: the person, or the App's bot."""
        token = self.caller.token
        return token.user if token is not None and token.user is not None else self.world.bot

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        part = self.part(name)
        if not part.isdecimal() or len(part) > 18:
            raise not_found()
        return int(part)

    def query(self, name: str, otherwise: str = "") -> str:
        return self.request.query_params.get(name, otherwise)

    @property
    def repo(self) -> Repo:
        """The repository of the path, if the caller sees it."""
        if "repo_id" in self.request.path_params:
            wanted = self.number("repo_id")
            repo = next((repo for repo in self.world.repos.values() if repo.id == wanted), None)
        else:
            full_name = f"{self.part('owner')}/{self.part('name')}".lower()
            repo = self.world.repos.get(full_name)
            if repo is None and (moved := self.world.moved.get(full_name)) and self.caller.sees(moved):
                raise self.redirect(moved)
        if repo is None or not self.caller.sees(repo):
            raise not_found()
        if repo.is_blocked:
            raise Refusal(451, "Repository access blocked")
        return repo

    def redirect(self, repo: Repo) -> Refusal:
        """The way from a repository's old name to its number."""
        url = self.request.url
        tail = url.path.split("/repos/", 1)[1].split("/", 2)[2:]
        path = "/".join([f"/repositories/{repo.id}", *tail])
        location = f"{self.shapes.api}{path}{f'?{url.query}' if url.query else ''}"
        is_read = self.request.method in {"GET", "HEAD"}
        words = "Moved Permanently" if is_read else "Temporary Redirect"
        return Refusal(301 if is_read else 307, words, headers={"location": location})

    def issue(self) -> Issue:
        """The thread of the path. An issue that is no pull request asks for the permission on issues."""
        issue = self.repo.issues.get(self.number("number"))
        if issue is None:
            raise not_found()
        is_read = self.request.method in {"GET", "HEAD"}
        if not isinstance(issue, PullRequest):
            self.require(f"issues:{'read' if is_read else 'write'}")
        if not self.repo.has_issues and not isinstance(issue, PullRequest):
            raise Refusal(410, ISSUES_DISABLED)
        if issue.is_deleted:
            raise Refusal(410, "This issue was deleted")
        if issue.moved_to:
            words = "Moved Permanently" if is_read else "Temporary Redirect"
            location = f"{self.shapes.api}{issue.moved_to}"
            raise Refusal(301 if is_read else 307, words, headers={"location": location})
        return issue

    def require(self, needs: str) -> None:
        """Refuse a caller without one of these permissions."""
        pairs = [need.split(":") for need in needs.split("|")]
        if not any(self.caller.may(self.repo, permission, level) for permission, level in pairs):
            accepted = "; ".join(f"{permission.replace('_', '-')}={level}" for permission, level in pairs)
            raise Refusal(403, _FORBIDDEN, headers={"x-accepted-github-permissions": accepted})
        if self.repo.archived and self.request.method not in {"GET", "HEAD"}:
            raise Refusal(403, ARCHIVED)

    # the body --------------------------------------------------------------------------------------------------

    def given(self, name: str, kind: type, *, required: bool = False) -> Any:
        """A field of the body, of that type; None when it was not given."""
        value = self.body.get(name)
        if value is None and name in self.body and not required:
            return None
        if name not in self.body:
            if required:
                raise Refusal(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
            return None
        if not isinstance(value, kind):
            shown = "nil" if value is None else value
            raise Refusal(422, f"Invalid request.\n\nFor 'properties/{name}', {shown} is not {_TYPES[kind]}.")
        return value

    def text(self, name: str, *, required: bool = True, resource: str = "") -> str:
        """A field that is a string; empty when it may be missing and is. With a `resource`, blank is refused."""
        value = self.given(name, str, required=required) or ""
        if resource and not value.strip():
            raise invalid(resource, name, "missing_field", f"{name} can't be blank")
        return str(value)


Endpoint: TypeAlias = Callable[[Call], Awaitable[Response]]
Row: TypeAlias = tuple[str, str, Endpoint, str]


def admit(hub: Hub, request: Request, needs: str) -> Call:
    """Check who calls, that they may, and not too often."""
    _check_headers(request)
    caller = identify(hub.world, request.headers.get("authorization", ""))
    if caller.kind != "none":
        try:
            hub.world.draw_lag()
            hub.world.limits.take(caller.name, request.method, request.url.path)
        finally:
            request.scope["rate_limit"] = hub.world.limits.headers(caller.name)
    if needs == "app" and caller.kind != "app":
        raise Refusal(401, "A JSON web token could not be decoded")
    if caller.kind == "none":
        raise Refusal(401, "Requires authentication")
    call = Call(hub, request, caller)
    if needs in _KINDS:
        if caller.kind != needs:
            raise Refusal(403, _FORBIDDEN)
    elif caller.kind == "app":
        raise Refusal(401, "Bad credentials")
    elif ":" in needs:
        call.require(needs)
    return call


def _check_headers(request: Request) -> None:
    accept, version = request.headers.get("accept", "*/*"), request.headers.get("x-github-api-version", "")
    if "json" not in accept and "*/*" not in accept:
        raise Refusal(415, f"Unsupported 'Accept' header: '{accept}'. Must accept 'application/json'.")
    if version and version not in _VERSIONS:
        raise Refusal(400, f"Unsupported API version: {version}")


def routes(hub: Hub, rows: Iterable[Row]) -> list[Route]:
    """Make a table of (method, path, endpoint, needs) into routes; what is under a repository's name is so under its
    number, too."""
    rows = list(rows)
    by_id = [
        (method, path.replace(_NAMED, "/repositories/{repo_id}", 1), endpoint, needs)
        for method, path, endpoint, needs in rows
        if path.startswith(_NAMED) and ":" in needs
    ]
    return [_route(hub, row) for row in (*rows, *by_id)]


def _tagged(call: Call, response: Response) -> Response:
    """The answer with its ETag, or 304 when the caller has it already; that is not counted."""
    etag = f'W/"{sha256(response.body).hexdigest()}"'
    response.headers["etag"] = etag
    if call.request.headers.get("if-none-match") != etag:
        return response
    call.world.limits.give_back(call.caller.name)
    return Response(status_code=304, headers={"etag": etag})


def _route(hub: Hub, row: Row) -> Route:
    method, path, endpoint, needs = row

    async def serve(request: Request) -> Response:
        call = admit(hub, request, needs)
        call.body = await parse_body(request)
        response = await endpoint(call)
        return response if method != "GET" or response.status_code != 200 else _tagged(call, response)

    return Route(path, serve, methods=[method])
