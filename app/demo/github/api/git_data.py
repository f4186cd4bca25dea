"""REST: git's own objects and refs, one by one."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from app.core.policy.changes import SUBMODULE
from app.demo.github import git_shapes
from app.demo.github.api import rulesets
from app.demo.github.call import Call, Row
from app.demo.github.responses import Refusal, not_found, page, reply
from app.demo.github.state.bare_repo import NO_OBJECT, SHA, Commit, Entry, GitFailed, Identity

_MODES: Final = {"100644": "blob", "100755": "blob", "040000": "tree", "160000": "commit", "120000": "blob"}


# ------------------------------------------------------------------------------------------------------------- refs


async def get_ref(call: Call) -> Response:
    name = f"refs/{call.part('ref')}"
    sha = await call.repo.git.shown_ref(name, call.world.lag_s)
    if sha is None:
        raise not_found()
    return reply(git_shapes.ref(call.shapes, call.repo, name, sha))


async def list_matching_refs(call: Call) -> Response:
    refs = await call.repo.git.refs(f"refs/{call.part('ref')}")
    shown, links = page(call.request, list(refs.items()))
    return reply([git_shapes.ref(call.shapes, call.repo, name, sha) for name, sha in shown], headers=links)


async def _commit_sha(call: Call, name: str = "sha") -> str:
    """A sha from the body that names a commit of this repository."""
    sha = call.text(name)
    if not SHA.fullmatch(sha):
        raise Refusal(422, f"The {name} parameter must be exactly 40 characters and contain only [0-9a-f].")
    if await call.repo.git.kind(sha) != "commit":
        raise Refusal(422, "Object does not exist")
    return sha


async def create_ref(call: Call) -> Response:
    name, git = call.text("ref"), call.repo.git
    if not name.startswith("refs/") or name.count("/") < 2:
        raise Refusal(422, "Reference name must start with 'refs/' and contain at least two slashes.")
    sha = await _commit_sha(call)
    if not await git.is_ref_name(name):
        raise Refusal(422, f"{name} is not a valid ref name.")
    branch = name.removeprefix("refs/heads/")
    rulesets.check_creation(call, call.repo, branch)
    default = await git.head(call.repo.default_branch)
    if default is not None and await rulesets.brings_workflow(call, call.repo, sha, default):
        accepted = {"x-accepted-github-permissions": "contents=write; contents=write,workflows=write"}
        raise Refusal(403, "Resource not accessible by integration", headers=accepted)
    try:
        await git.update_ref(name, sha, NO_OBJECT)
    except GitFailed as error:
        taken = await git.ref(name) is not None
        raise Refusal(422, "Reference already exists" if taken else "Reference update failed") from error
    answer = git_shapes.ref(call.shapes, call.repo, name, sha)
    return reply(answer, 201, {"location": answer["url"]})


async def update_ref(call: Call) -> Response:
    name, git = f"refs/{call.part('ref')}", call.repo.git
    sha, force = await _commit_sha(call), call.given("force", bool) or False
    before = await git.ref(name)
    if before is None:
        raise Refusal(422, "Reference does not exist")
    if not force and await git.merge_base(before, sha) != before:
        raise Refusal(422, "Update is not a fast forward")
    await _check_pushed(call, name.removeprefix("refs/heads/"), before, sha)
    try:
        await git.update_ref(name, sha, before)
    except GitFailed as error:
        raise Refusal(422, "Reference cannot be updated") from error
    await call.hub.ci.pushed(call.repo, name.removeprefix("refs/heads/"), call.user)
    return reply(git_shapes.ref(call.shapes, call.repo, name, sha))


async def _check_pushed(call: Call, branch: str, before: str, sha: str) -> None:
    """Refuse commits that the rules keep off the branch."""
    repo = call.repo
    for commit in await repo.git.log(f"{before}..{sha}"):
        emails = commit.author.email, commit.committer.email
        signed = commit.sha in repo.signed
        rulesets.check_commit(call, repo, branch, commit.message, emails=emails, signed=signed)
    if path := await rulesets.brings_workflow(call, repo, sha, before):
        raise Refusal(403, rulesets.workflow_words(path))


async def delete_ref(call: Call) -> Response:
    name = f"refs/{call.part('ref')}"
    if await call.repo.git.ref(name) is None:
        raise Refusal(422, "Reference does not exist")
    await call.repo.git.delete_ref(name)
    return Response(status_code=204)


# ---------------------------------------------------------------------------------------------------------- objects


def decode_base64(content: str) -> bytes:
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, "content is not valid Base64") from error


async def create_blob(call: Call) -> Response:
    content, encoding = call.text("content"), call.text("encoding", required=False) or "utf-8"
    data = decode_base64(content) if encoding == "base64" else content.encode()
    sha = await call.repo.git.write_blob(data)
    url = f"{call.shapes.repo_api(call.repo)}/git/blobs/{sha}"
    return reply({"url": url, "sha": sha}, 201, {"location": url})


async def get_blob(call: Call) -> Response:
    repo, sha = call.repo, call.part("sha")
    if not SHA.fullmatch(sha) or await repo.git.kind(sha) != "blob":
        raise not_found()
    data = await repo.git.blob(sha)
    return reply(
        {
            "sha": sha,
            "node_id": git_shapes.git_node(repo, "B", sha),
            "size": len(data),
            "url": f"{call.shapes.repo_api(repo)}/git/blobs/{sha}",
            "content": base64.encodebytes(data).decode(),
            "encoding": "base64",
        }
    )


async def _entry(call: Call, item: Any) -> Entry:
    """An entry of a new tree: an object's sha, text inline, or `sha: null` to delete."""
    path, mode = (item.get("path"), item.get("mode")) if isinstance(item, dict) else (None, None)
    if not isinstance(path, str) or not path or mode not in _MODES:
        raise Refusal(422, "Must supply a valid tree.path and tree.mode")
    if "content" in item:
        return Entry(path, mode, await call.repo.git.write_blob(str(item["content"]).encode()))
    if "sha" not in item:
        raise Refusal(422, "Must supply either tree.sha or tree.content")
    sha = item["sha"]
    # A submodule's commit is another repository's.
    is_there = SHA.fullmatch(str(sha)) and (mode == SUBMODULE or await call.repo.git.kind(sha) == _MODES[mode])
    if sha is not None and not is_there:
        raise Refusal(422, f"tree.sha {sha} is not a valid {_MODES[mode]}")
    return Entry(path, mode, sha)


async def create_tree(call: Call) -> Response:
    repo, git = call.repo, call.repo.git
    base = call.text("base_tree", required=False) or None
    if base is not None and (not SHA.fullmatch(base) or await git.kind(base) not in {"tree", "commit"}):
        raise Refusal(422, "base_tree is not a valid tree oid")
    entries = [await _entry(call, item) for item in call.given("tree", list, required=True)]
    try:
        sha = await git.write_tree(base, entries)
    except GitFailed as error:
        raise Refusal(422, "tree contains a malformed path component") from error
    return reply(git_shapes.tree(call.shapes, repo, sha, await git.tree(sha)), 201)


async def get_tree(call: Call) -> Response:
    sha, is_recursive = call.part("sha"), bool(call.query("recursive"))
    found = sha if SHA.fullmatch(sha) and await call.repo.git.kind(sha) == "tree" else await call.repo.git.resolve(sha)
    if found is None:
        raise not_found()
    entries = await call.repo.git.tree(found, recursive=is_recursive)
    return reply(git_shapes.tree(call.shapes, call.repo, found, entries))


def _identity(call: Call, name: str, otherwise: Identity) -> Identity:
    given = call.given(name, dict)
    if given is None:
        return otherwise
    if not given.get("name") or not given.get("email"):
        raise Refusal(422, f"Invalid request.\n\nFor 'properties/{name}', name and email weren't supplied.")
    date = given.get("date")
    at = datetime.fromisoformat(date).astimezone(UTC) if date else otherwise.at
    return Identity(given["name"], given["email"], at)


async def create_commit(call: Call) -> Response:
    """A commit object. GitHub signs what the App makes in its own name."""
    repo, git = call.repo, call.repo.git
    message, tree, parents = call.text("message"), call.text("tree"), call.given("parents", list) or []
    if await git.kind(tree) != "tree":
        raise Refusal(422, "Tree SHA does not exist")
    for parent in parents:
        if not SHA.fullmatch(str(parent)) or await git.kind(parent) != "commit":
            raise Refusal(422, "Parent SHA does not exist or is not a commit object")
    author = _identity(call, "author", call.user.identity())
    committer = _identity(call, "committer", author)
    sha = await git.write_commit(Commit("", tree, tuple(parents), author, committer, message))
    if call.user is call.world.bot and call.world.is_signing and not {"author", "committer"} & call.body.keys():
        repo.signed.add(sha)
    return reply(git_shapes.git_commit(call.shapes, repo, await git.commit(sha)), 201)


async def get_git_commit(call: Call) -> Response:
    sha = call.part("sha")
    if not SHA.fullmatch(sha) or await call.repo.git.kind(sha) != "commit":
        raise not_found()
    return reply(git_shapes.git_commit(call.shapes, call.repo, await call.repo.git.commit(sha)))


_REPO: Final = "/repos/{owner}/{name}"

ROWS: Final[tuple[Row, ...]] = (
    ("GET", f"{_REPO}/git/ref/{{ref:path}}", get_ref, "contents:read"),
    ("GET", f"{_REPO}/git/matching-refs/{{ref:path}}", list_matching_refs, "contents:read"),
    ("POST", f"{_REPO}/git/refs", create_ref, "contents:write"),
    ("PATCH", f"{_REPO}/git/refs/{{ref:path}}", update_ref, "contents:write"),
    ("DELETE", f"{_REPO}/git/refs/{{ref:path}}", delete_ref, "contents:write"),
    ("POST", f"{_REPO}/git/blobs", create_blob, "contents:write"),
    ("GET", f"{_REPO}/git/blobs/{{sha}}", get_blob, "contents:read"),
    ("POST", f"{_REPO}/git/trees", create_tree, "contents:write"),
    ("GET", f"{_REPO}/git/trees/{{sha:path}}", get_tree, "contents:read"),
    ("POST", f"{_REPO}/git/commits", create_commit, "contents:write"),
    ("GET", f"{_REPO}/git/commits/{{sha}}", get_git_commit, "contents:read"),
)
