"""Commits, branches and pull requests in GitHub's JSON: what has to be asked of git."""

import base64
import re
from typing import Final
from urllib.parse import quote

from app.demo.github.shapes import Json, Shapes, stamp
from app.demo.github.state.bare_repo import Commit, Entry, Identity
from app.demo.github.state.records import PullRequest, Repo, User

_STATUS: Final = {"A": "added", "D": "removed", "M": "modified", "T": "changed"}
_NOREPLY: Final = re.compile(r"(?:(?P<id>\d+)\+)?(?P<login>[^@]+)@users\.noreply\.github\.com")
_LINE: Final = re.compile(r"^([+-])", re.MULTILINE)


def git_node(repo: Repo, prefix: str, sha: str) -> str:
    return f"{prefix}_{base64.urlsafe_b64encode(f'{repo.id}:{sha}'.encode()).decode().rstrip('=')}"


def _identity(identity: Identity) -> Json:
    return {"name": identity.name, "email": identity.email, "date": stamp(identity.at)}


def account(shapes: Shapes, identity: Identity) -> User | None:
    """The account behind a commit's e-mail address, None when GitHub knows none."""
    found = _NOREPLY.fullmatch(identity.email)
    return shapes.world.users.get(found["login"].lower()) if found else None


def verification(repo: Repo, sha: str) -> Json:
    is_signed = sha in repo.signed
    return {
        "verified": is_signed,
        "reason": "valid" if is_signed else "unsigned",
        "signature": "-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n" if is_signed else None,
        "payload": f"commit {sha}" if is_signed else None,
        "verified_at": None,
    }


def git_commit(shapes: Shapes, repo: Repo, commit: Commit) -> Json:
    """A commit as the git data API writes it."""
    api, html = shapes.repo_api(repo), shapes.repo_html(repo)
    return {
        "sha": commit.sha,
        "node_id": git_node(repo, "C", commit.sha),
        "url": f"{api}/git/commits/{commit.sha}",
        "html_url": f"{html}/commit/{commit.sha}",
        "author": _identity(commit.author),
        "committer": _identity(commit.committer),
        "tree": {"sha": commit.tree, "url": f"{api}/git/trees/{commit.tree}"},
        "message": commit.message,
        "parents": [
            {"sha": sha, "url": f"{api}/git/commits/{sha}", "html_url": f"{html}/commit/{sha}"}
            for sha in commit.parents
        ],
        "verification": verification(repo, commit.sha),
    }


def commit(shapes: Shapes, repo: Repo, commit: Commit) -> Json:
    """A commit as the repository API writes it."""
    api, html = shapes.repo_api(repo), shapes.repo_html(repo)
    inner = git_commit(shapes, repo, commit)
    author, committer = account(shapes, commit.author), account(shapes, commit.committer)
    return {
        "sha": commit.sha,
        "node_id": inner["node_id"],
        "commit": {
            **{key: inner[key] for key in ("author", "committer", "message", "tree", "url", "verification")},
            "comment_count": 0,
        },
        "url": f"{api}/commits/{commit.sha}",
        "html_url": inner["html_url"],
        "comments_url": f"{api}/commits/{commit.sha}/comments",
        "author": shapes.user(author) if author else None,
        "committer": shapes.user(committer) if committer else None,
        "parents": [
            {"sha": sha, "url": f"{api}/commits/{sha}", "html_url": f"{html}/commit/{sha}"} for sha in commit.parents
        ],
    }


def ref(shapes: Shapes, repo: Repo, name: str, sha: str) -> Json:
    api = shapes.repo_api(repo)
    return {
        "ref": name,
        "node_id": git_node(repo, "REF", name),
        "url": f"{api}/git/{quote(name)}",
        "object": {"sha": sha, "type": "commit", "url": f"{api}/git/commits/{sha}"},
    }


def tree(shapes: Shapes, repo: Repo, sha: str, entries: list[Entry]) -> Json:
    api = shapes.repo_api(repo)
    return {
        "sha": sha,
        "url": f"{api}/git/trees/{sha}",
        "tree": [
            {
                "path": entry.path,
                "mode": entry.mode,
                "type": entry.kind,
                "sha": entry.sha,
                "url": f"{api}/git/{entry.kind}s/{entry.sha}",
                **({} if entry.size is None else {"size": entry.size}),
            }
            for entry in entries
        ],
        "truncated": False,
    }


async def branch(shapes: Shapes, repo: Repo, name: str, sha: str) -> Json:
    api = shapes.repo_api(repo)
    url = f"{api}/branches/{quote(name)}"
    off = {"enforcement_level": "off", "contexts": [], "checks": []}
    return {
        "name": name,
        "commit": commit(shapes, repo, await repo.git.commit(sha)),
        "_links": {"self": url, "html": f"{shapes.repo_html(repo)}/tree/{quote(name)}"},
        "protected": False,
        "protection": {"enabled": False, "required_status_checks": off},
        "protection_url": f"{url}/protection",
    }


async def files(shapes: Shapes, repo: Repo, base: str, head: str) -> list[Json]:
    """What `head` changed since it left `base`, file by file, with patches."""
    api, html = shapes.repo_api(repo), shapes.repo_html(repo)
    start = await repo.git.merge_base(base, head) or base
    printed = await repo.git.run("diff-tree", "-r", "-z", "--no-renames", start, head)
    parts = printed.decode(errors="replace").split("\0")[:-1]
    answer = []
    for line, path in zip(parts[::2], parts[1::2], strict=True):
        _, _, before, after, letter = line.split()
        patch = (await repo.git.diff(start, head, path)).partition("\n@@ ")[2]
        patch = f"@@ {patch}".rstrip("\n") if patch else ""
        signs = _LINE.findall(patch)
        sha = after if letter != "D" else before
        answer.append(
            {
                "sha": sha,
                "filename": path,
                "status": _STATUS.get(letter, "changed"),
                "additions": signs.count("+"),
                "deletions": signs.count("-"),
                "changes": len(signs),
                "blob_url": f"{html}/blob/{head}/{quote(path)}",
                "raw_url": f"{html}/raw/{head}/{quote(path)}",
                "contents_url": f"{api}/contents/{quote(path)}?ref={head}",
                **({"patch": patch} if patch else {}),
            }
        )
    return answer


def _end(shapes: Shapes, repo: Repo, branch_name: str, sha: str) -> Json:
    """One end of a pull request."""
    owner = shapes.user(repo.owner)
    label = f"{repo.owner.login}:{branch_name}"
    return {"label": label, "ref": branch_name, "sha": sha, "user": owner, "repo": shapes.repo(repo)}


async def ends(repo: Repo, pull: PullRequest) -> tuple[str, str]:
    """The shas of a pull request's base and head: of its branches, and once it is merged as they were then."""
    if pull.merged_at is not None:
        return pull.base_sha, pull.head_sha
    head = await (pull.fork or repo).git.head(pull.head)
    return await repo.git.head(pull.base) or pull.base_sha, head or pull.head_sha


def _team(shapes: Shapes, repo: Repo, slug: str) -> Json:
    url = f"{shapes.api}/organizations/{repo.owner.id}/team/{slug}"
    return {
        "id": repo.id,
        "node_id": git_node(repo, "T", slug),
        "name": slug,
        "slug": slug,
        "description": None,
        "privacy": "closed",
        "permission": "push",
        "url": url,
        "html_url": f"{shapes.world.url}/orgs/{repo.owner.login}/teams/{slug}",
        "members_url": f"{url}/members{{/member}}",
        "repositories_url": f"{url}/repos",
        "type": "organization",
        "parent": None,
    }


async def pull(shapes: Shapes, repo: Repo, pull: PullRequest) -> Json:
    """A pull request as lists carry it; its head follows the branch."""
    api = shapes.repo_api(repo)
    url, issue = f"{api}/pulls/{pull.number}", shapes.issue(repo, pull)
    base_sha, head_sha = await ends(repo, pull)
    links = {
        "self": url,
        "html": issue["html_url"],
        "issue": issue["url"],
        "comments": issue["comments_url"],
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{head_sha}",
    }
    kept = "node_id html_url number state locked title user body labels milestone created_at updated_at closed_at"
    more = "assignee assignees active_lock_reason author_association"
    return {
        **{key: issue[key] for key in f"{kept} {more}".split()},
        "url": url,
        "id": pull.id,
        "diff_url": f"{issue['html_url']}.diff",
        "patch_url": f"{issue['html_url']}.patch",
        "issue_url": issue["url"],
        **{f"{name}_url": link for name, link in links.items() if name not in {"self", "html", "issue"}},
        "merged_at": stamp(pull.merged_at) if pull.merged_at else None,
        "merge_commit_sha": pull.merge_sha or None,
        "requested_reviewers": [shapes.user(user) for user in pull.reviewers],
        "requested_teams": [_team(shapes, repo, slug) for slug in pull.teams],
        "draft": pull.is_draft,
        "head": _end(shapes, pull.fork or repo, pull.head, head_sha),
        "base": _end(shapes, repo, pull.base, base_sha),
        "_links": {name: {"href": link} for name, link in links.items()},
        "auto_merge": None,
    }


async def full_pull(shapes: Shapes, repo: Repo, pull_request: PullRequest) -> Json:
    """A pull request with what only its own address tells."""
    simple = await pull(shapes, repo, pull_request)
    base, head = simple["base"]["sha"], simple["head"]["sha"]
    changed = await files(shapes, repo, base, head)
    is_merged, merger = pull_request.merged_at is not None, pull_request.merged_by
    is_mergeable = None if is_merged else await repo.git.merged_tree(base, head) is not None
    return {
        **simple,
        "merged": is_merged,
        "mergeable": is_mergeable,
        "rebaseable": is_mergeable,
        "mergeable_state": {None: "unknown", True: "clean", False: "dirty"}[is_mergeable],
        "merged_by": shapes.user(merger) if merger else None,
        "comments": len(repo.thread(pull_request.number)),
        "review_comments": sum(len(review.comments) for review in pull_request.reviews),
        "maintainer_can_modify": False,
        "commits": await repo.git.count(f"{base}..{head}"),
        "additions": sum(file["additions"] for file in changed),
        "deletions": sum(file["deletions"] for file in changed),
        "changed_files": len(changed),
    }
