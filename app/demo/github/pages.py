"""Readable pages for people: a repository, an issue, a pull request, a commit. Nothing on them can run or load."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Final

import nh3
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.demo.github import git_shapes
from app.demo.github.call import Hub
from app.demo.github.state.bare_repo import SHA, Commit
from app.demo.github.state.records import Issue, PullRequest, Repo

_STYLE: Final = files("app.demo.github").joinpath("templates/style.css").read_text()
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action {form_action}; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_TAGS: Final = nh3.ALLOWED_TAGS - {"img"}
_CLASSES: Final = {"+": "added", "-": "removed", "@": "hunk", "d": "file"}
MAX_DIFF_LINES: Final = 5_000


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.demo.github", "templates"), undefined=StrictUndefined, autoescape=True
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters["markdown"] = markdown
    environment.filters["moment"] = lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return environment


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def markdown(text: str) -> Markup:
    """Markdown as HTML with nothing in it that runs, loads or hides."""
    return Markup(nh3.clean(_parser().render(text), tags=_TAGS))  # noqa: S704  cleaned right here


def diff_lines(diff: str) -> list[tuple[str, str]]:
    """Each line of a diff with the class it is shown in."""
    lines = diff.splitlines()[:MAX_DIFF_LINES]
    heads = ("+++ ", "--- ", "index ", "new file", "deleted file")
    return [("meta" if line.startswith(heads) else _CLASSES.get(line[:1], ""), line) for line in lines]


def show(template: str, *, status: int = 200, form_action: str = "'none'", **variables: object) -> Response:
    """A page; `form_action` is where its forms may lead, by redirects too."""
    body = _environment().get_template(f"{template}.html.j2").render(style=Markup(_STYLE), **variables)  # noqa: S704
    policy = _POLICY.format(form_action=form_action)
    return HTMLResponse(body, status, headers={**_HEADERS, "content-security-policy": policy})


def _nothing() -> Response:
    policy = _POLICY.format(form_action="'none'")
    headers = {**_HEADERS, "content-security-policy": policy}
    return HTMLResponse("<!doctype html><title>404</title><h1>404</h1>", 404, headers=headers)


async def show_repo(hub: Hub, repo: Repo, request: Request) -> Response:
    head = await repo.git.head(repo.default_branch)
    return show(
        "repo",
        repo=repo,
        branches=await repo.git.refs("refs/heads/"),
        entries=await repo.git.tree(head, recursive=True) if head else [],
        commits=await repo.git.log(head, limit=20) if head else [],
        readme=((await repo.git.file(head, "README.md") if head else b"") or b"").decode(errors="replace"),
    )


async def show_issue(hub: Hub, repo: Repo, request: Request) -> Response:
    issue = _issue(repo, request)
    if issue is None or isinstance(issue, PullRequest):
        return _nothing()
    return show("issue", repo=repo, issue=issue, comments=repo.thread(issue.number))


def _issue(repo: Repo, request: Request) -> Issue | None:
    number = request.path_params["number"]
    return repo.issues.get(int(number)) if number.isdecimal() and len(number) < 10 else None


async def show_pull(hub: Hub, repo: Repo, request: Request) -> Response:
    pull = _issue(repo, request)
    if not isinstance(pull, PullRequest):
        return _nothing()
    base, head = await git_shapes.ends(repo, pull)
    is_merged = await repo.git.merge_base(base, head) == head
    return show(
        "pull",
        repo=repo,
        pull=pull,
        state="merged" if is_merged or pull.merged_at else pull.state,
        commits=list(reversed(await repo.git.log(f"{pull.base_sha if is_merged else base}..{head}"))),
        lines=diff_lines(await repo.git.diff(pull.base_sha if is_merged else base, head)),
        comments=repo.thread(pull.number),
    )


async def show_commit(hub: Hub, repo: Repo, request: Request) -> Response:
    sha = request.path_params["sha"]
    if not SHA.fullmatch(sha) or await repo.git.kind(sha) != "commit":
        return _nothing()
    commit: Commit = await repo.git.commit(sha)
    diff = await repo.git.diff(commit.parents[0], sha) if commit.parents else ""
    return show("commit", repo=repo, commit=commit, is_signed=sha in repo.signed, lines=diff_lines(diff))


def _route(hub: Hub, path: str, show: Callable[[Hub, Repo, Request], Awaitable[Response]]) -> Route:
    async def serve(request: Request) -> Response:
        repo = hub.world.repos.get(f"{request.path_params['owner']}/{request.path_params['name']}".lower())
        if repo is None or repo.private:
            return _nothing()
        return await show(hub, repo, request)

    return Route(f"/{{owner}}/{{name}}{path}", serve)


def routes(hub: Hub) -> list[Route]:
    shown = {
        "": show_repo,
        "/issues/{number}": show_issue,
        "/pull/{number}": show_pull,
        "/commit/{sha}": show_commit,
    }
    return [_route(hub, path, show) for path, show in shown.items()]
