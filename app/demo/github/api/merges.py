"""REST: merging one branch into another, and what else merges: a person who presses the button."""

from typing import Final

from starlette.responses import Response

from app.demo.github import git_shapes
from app.demo.github.api import rulesets
from app.demo.github.call import Call, Row
from app.demo.github.responses import Refusal, reply
from app.demo.github.state.bare_repo import Commit, Identity
from app.demo.github.state.records import Repo, User

GITHUB: Final = "GitHub", "noreply@github.com"


async def merge(repo: Repo, branch: str, head: str, user: User, message: str) -> str | None:
    """Put a merge commit on a branch, signed by GitHub; None when the two are in conflict."""
    base = await repo.git.head(branch)
    tree = await repo.git.merged_tree(base, head) if base else None
    if base is None or tree is None:
        return None
    author = user.identity()
    sha = await repo.git.write_commit(
        Commit("", tree, (base, head), author, Identity(*GITHUB, author.at), message),
    )
    await repo.git.update_ref(f"refs/heads/{branch}", sha, base)
    repo.signed.add(sha)
    return sha


async def create_merge(call: Call) -> Response:
    repo, base, name = call.repo, call.text("base"), call.text("head")
    before, head = await repo.git.head(base), await repo.git.resolve(name)
    if before is None or head is None:
        raise Refusal(404, "Base does not exist" if before is None else "Head does not exist")
    if await repo.git.merge_base(before, head) == head:
        return Response(status_code=204)
    message = call.text("commit_message", required=False) or f"Merge {name} into {base}"
    merged = await repo.git.merged_tree(before, head)
    if merged is not None and (path := await rulesets.brings_workflow(call, repo, merged, before)):
        raise Refusal(403, rulesets.workflow_words(path))
    sha = await merge(repo, base, head, call.user, message)
    if sha is None:
        raise Refusal(409, "Merge conflict")
    await call.hub.ci.pushed(repo, base, call.user)
    return reply(git_shapes.commit(call.shapes, repo, await repo.git.commit(sha)), 201)


ROWS: Final[tuple[Row, ...]] = (("POST", "/repos/{owner}/{name}/merges", create_merge, "contents:write"),)
