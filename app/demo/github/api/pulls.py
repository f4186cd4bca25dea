"""REST: pull requests between branches of one repository."""

from typing import Final

from starlette.responses import PlainTextResponse, Response

from app.demo.github import git_shapes
from app.demo.github.call import Call, Row
from app.demo.github.responses import Refusal, invalid, not_found, page, reply
from app.demo.github.state.records import PullRequest, Repo


def find_pull(call: Call) -> PullRequest:
    pull = call.repo.issues.get(call.number("number"))
    if not isinstance(pull, PullRequest) or (call.request.method == "GET" and not call.world.is_shown(pull.id)):
        raise not_found()
    return pull


def _custom(message: str) -> Refusal:
    fault = {"resource": "PullRequest", "code": "custom", "message": message}
    return Refusal(422, "Validation Failed", errors=[fault])


async def list_pulls(call: Call) -> Response:
    """`head` is `owner:branch`; GitHub looks past a `head` without an owner, and so does this."""
    repo, state, base = call.repo, call.query("state", "open"), call.query("base")
    owner, colon, head = call.query("head").partition(":")
    pulls = [
        pull
        for pull in repo.pull_requests()
        if state in {"all", pull.state}
        and call.world.is_shown(pull.id)
        and base in {"", pull.base}
        and (not colon or (owner.lower(), head) == ((pull.fork or repo).owner.login.lower(), pull.head))
    ]
    pulls.sort(key=lambda pull: pull.number, reverse=call.query("direction", "desc") == "desc")
    shown, links = page(call.request, pulls)
    return reply([await git_shapes.pull(call.shapes, repo, pull) for pull in shown], headers=links)


async def _ends(repo: Repo, head: str, base: str) -> tuple[str, str]:
    """The shas of both ends of a new pull request, if it may be opened."""
    head_sha, base_sha = await repo.git.head(head), await repo.git.head(base)
    if head_sha is None:
        raise invalid("PullRequest", "head")
    if base_sha is None:
        raise invalid("PullRequest", "base")
    if any(
        pull.state == "open" and (pull.fork, pull.head, pull.base) == (None, head, base)
        for pull in repo.pull_requests()
    ):
        raise _custom(f"A pull request already exists for {repo.owner.login}:{head}.")
    if await repo.git.count(f"{base_sha}..{head_sha}") == 0:
        raise _custom(f"No commits between {base} and {head}")
    return head_sha, base_sha


async def create_pull(call: Call) -> Response:
    repo, title = call.repo, call.text("title", resource="PullRequest")
    owner, _, head = call.text("head").rpartition(":")
    base, body = call.text("base"), call.text("body", required=False)
    if owner and owner.lower() != repo.owner.login.lower():
        raise invalid("PullRequest", "head")
    head_sha, base_sha = await _ends(repo, head, base)
    pull = PullRequest(
        id=call.world.next_id(),
        number=len(repo.issues) + 1,
        title=title,
        body=body,
        user=call.user,
        head=head,
        base=base,
        head_sha=head_sha,
        base_sha=base_sha,
        is_draft=bool(call.given("draft", bool)),
    )
    repo.issues[pull.number] = pull
    answer = await git_shapes.full_pull(call.shapes, repo, pull)
    call.hub.courier.send_soon("pull_request", call.hub.courier.pull_request("opened", repo, answer, call.user))
    await call.hub.ci.pushed(repo, head, call.user)
    return reply(answer, 201, {"location": answer["url"]})


async def get_pull(call: Call) -> Response:
    """The pull request; as a diff for those who accept only that."""
    repo, pull = call.repo, find_pull(call)
    if "diff" in call.request.headers.get("accept", ""):
        return PlainTextResponse(await repo.git.diff(*await git_shapes.ends(repo, pull)))
    return reply(await git_shapes.full_pull(call.shapes, repo, pull))


async def edit_pull(call: Call) -> Response:
    repo, pull = call.repo, find_pull(call)
    title, body, state, base = (call.given(name, str) for name in ("title", "body", "state", "base"))
    if "title" in call.body and not (title or "").strip():
        raise invalid("PullRequest", "title", "missing_field", "title can't be blank")
    if state not in {None, "open", "closed"}:
        raise invalid("PullRequest", "state")
    if base is not None and await repo.git.head(base) is None:
        raise invalid("PullRequest", "base")
    before = {"title": pull.title, "body": pull.body}
    pull.title = title or pull.title
    pull.body = (body or "") if "body" in call.body else pull.body
    pull.base = base or pull.base
    action = "edited" if state in {None, pull.state} else "closed" if state == "closed" else "reopened"
    if state is not None and action != "edited":
        pull.put_state(state)
    pull.touch()
    answer = await git_shapes.full_pull(call.shapes, repo, pull)
    told = {name: {"from": text} for name, text in before.items() if text != getattr(pull, name)}
    changes = {"changes": told} if action == "edited" else {}
    payload = call.hub.courier.pull_request(action, repo, answer, call.user, **changes)
    call.hub.courier.send_soon("pull_request", payload)
    return reply(answer)


async def list_files(call: Call) -> Response:
    base, head = await git_shapes.ends(call.repo, find_pull(call))
    shown, links = page(call.request, await git_shapes.files(call.shapes, call.repo, base, head))
    return reply(list(shown), headers=links)


async def list_commits(call: Call) -> Response:
    base, head = await git_shapes.ends(call.repo, find_pull(call))
    oldest_first = list(reversed(await call.repo.git.log(f"{base}..{head}")))
    shown, links = page(call.request, oldest_first)
    return reply([git_shapes.commit(call.shapes, call.repo, commit) for commit in shown], headers=links)


_PULLS: Final = "/repos/{owner}/{name}/pulls"
_PULL: Final = f"{_PULLS}/{{number}}"

ROWS: Final[tuple[Row, ...]] = (
    ("GET", _PULLS, list_pulls, "pull_requests:read"),
    ("POST", _PULLS, create_pull, "pull_requests:write"),
    ("GET", _PULL, get_pull, "pull_requests:read"),
    ("PATCH", _PULL, edit_pull, "pull_requests:write"),
    ("GET", f"{_PULL}/files", list_files, "pull_requests:read"),
    ("GET", f"{_PULL}/commits", list_commits, "pull_requests:read"),
)
