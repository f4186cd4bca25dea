"""REST: branches, commits, comparisons and contents, all asked of git itself."""

import base64
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from app.demo.github import git_shapes
from app.demo.github.call import Call, Row
from app.demo.github.responses import Refusal, not_found, page, reply
from app.demo.github.state.bare_repo import SHA

MAX_COMPARED: Final = 250


async def resolve(call: Call, ref: str) -> str:
    git, lag_s = call.repo.git, call.world.lag_s
    sha = await git.shown_ref(f"refs/heads/{ref}", lag_s) if await git.head(ref) else await git.resolve(ref)
    if sha is None:
        raise Refusal(422, f"No commit found for SHA: {ref}") if SHA.fullmatch(ref) else not_found()
    return sha


async def get_branch(call: Call) -> Response:
    name = call.part("branch")
    sha = await call.repo.git.shown_ref(f"refs/heads/{name}", call.world.lag_s)
    if sha is None:
        raise Refusal(404, "Branch not found")
    return reply(await git_shapes.branch(call.shapes, call.repo, name, sha))


async def list_commits(call: Call) -> Response:
    start = await resolve(call, call.query("sha") or call.repo.default_branch)
    shown, links = page(call.request, await call.repo.git.log(start))
    return reply([git_shapes.commit(call.shapes, call.repo, commit) for commit in shown], headers=links)


async def get_commit(call: Call) -> Response:
    repo, sha = call.repo, await resolve(call, call.part("ref"))
    commit = await repo.git.commit(sha)
    changed = await git_shapes.files(call.shapes, repo, commit.parents[0], sha) if commit.parents else []
    counts = {name: sum(file[name] for file in changed) for name in ("additions", "deletions")}
    stats = {**counts, "total": sum(counts.values())}
    return reply({**git_shapes.commit(call.shapes, repo, commit), "stats": stats, "files": changed})


async def compare(call: Call) -> Response:
    repo, git, shapes = call.repo, call.repo.git, call.shapes
    left, dots, right = call.part("range").partition("...")
    if not dots:
        raise not_found()
    base, head = await resolve(call, left), await resolve(call, right)
    start = await git.merge_base(base, head)
    if start is None:
        raise Refusal(404, f"No common ancestor between {left} and {right}.")
    ahead, behind = await git.count(f"{base}..{head}"), await git.count(f"{head}..{base}")
    status = {(0, 0): "identical", (1, 0): "ahead", (0, 1): "behind", (1, 1): "diverged"}
    html = f"{shapes.repo_html(repo)}/compare/{left}...{right}"
    commits = [git_shapes.commit(shapes, repo, commit) for commit in reversed(await git.log(f"{base}..{head}"))]
    commits = commits[-MAX_COMPARED:]
    return reply(
        {
            "url": f"{shapes.repo_api(repo)}/compare/{left}...{right}",
            "html_url": html,
            "permalink_url": html,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "base_commit": git_shapes.commit(shapes, repo, await git.commit(base)),
            "merge_base_commit": git_shapes.commit(shapes, repo, await git.commit(start)),
            "status": status[min(ahead, 1), min(behind, 1)],
            "ahead_by": ahead,
            "behind_by": behind,
            "total_commits": ahead,
            "commits": commits,
            "files": await git_shapes.files(shapes, repo, base, head),
        }
    )


async def get_content(call: Call) -> Response:
    """A file of the tree; folders are not listed here."""
    repo, path = call.repo, call.part("path")
    sha = await resolve(call, call.query("ref") or repo.default_branch)
    found = [entry for entry in await repo.git.tree(sha, recursive=True) if entry.path == path and entry.kind == "blob"]
    if not found or found[0].sha is None:
        raise not_found()
    blob = found[0].sha
    data, api, html = await repo.git.blob(blob), call.shapes.repo_api(repo), call.shapes.repo_html(repo)
    ref = call.query("ref") or repo.default_branch
    links = {
        "self": f"{api}/contents/{quote(path)}?ref={quote(ref)}",
        "git": f"{api}/git/blobs/{blob}",
        "html": f"{html}/blob/{quote(ref)}/{quote(path)}",
    }
    about = {"type": "file", "encoding": "base64", "size": len(data), "name": path.rpartition("/")[2], "path": path}
    urls = {"url": links["self"], "git_url": links["git"], "html_url": links["html"], "download_url": None}
    return reply({**about, **urls, "sha": blob, "content": base64.encodebytes(data).decode(), "_links": links})


_REPO: Final = "/repos/{owner}/{name}"

ROWS: Final[tuple[Row, ...]] = (
    ("GET", f"{_REPO}/branches/{{branch:path}}", get_branch, "contents:read"),
    ("GET", f"{_REPO}/commits", list_commits, "contents:read"),
    ("GET", f"{_REPO}/commits/{{ref:path}}", get_commit, "contents:read"),
    ("GET", f"{_REPO}/compare/{{range:path}}", compare, "contents:read"),
    ("GET", f"{_REPO}/contents/{{path:path}}", get_content, "contents:read"),
)
