"""The nouns as GitHub's REST API and webhooks write them in JSON (https://docs.github.com/en/rest)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from app.demo.github.state.records import (
    Comment,
    Installation,
    Issue,
    Label,
    PullRequest,
    Reaction,
    Repo,
    User,
    node_id,
)
from app.demo.github.state.world import ROLES, World

Json: TypeAlias = dict[str, Any]

REACTIONS: Final = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
_REPO_LINKS: Final = (
    "archive:{archive_format}{/ref}|assignees:{/user}|blobs:git/blobs{/sha}|branches:{/branch}|"
    "collaborators:{/collaborator}|comments:{/number}|commits:{/sha}|compare:{base}...{head}|contents:{+path}|"
    "contributors|deployments|downloads|events|forks|git_commits:git/commits{/sha}|git_refs:git/refs{/sha}|"
    "git_tags:git/tags{/sha}|issue_comment:issues/comments{/number}|issue_events:issues/events{/number}|"
    "issues:{/number}|keys:{/key_id}|labels:{/name}|languages|merges|milestones:{/number}|"
    "notifications:{?since,all,participating}|pulls:{/number}|releases:{/id}|stargazers|statuses:{sha}|subscribers|"
    "subscription|tags|teams|trees:git/trees{/sha}|hooks"
)


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _repo_links(api: str) -> Json:
    links: Json = {}
    for line in _REPO_LINKS.split("|"):
        name, _, tail = line.partition(":")
        glue = "" if tail.startswith(("{/", "{?")) or not tail else "/"
        where = tail if tail.startswith(("git/", "issues/")) else f"{name}{glue}{tail}"
        links[f"{name}_url"] = f"{api}/{where}"
    return links


class Shapes:
    """Writes a world's nouns, with links to where that world is served."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def api(self) -> str:
        return f"{self.world.url}/api/v3"

    def repo_api(self, repo: Repo) -> str:
        return f"{self.api}/repos/{repo.full_name}"

    def repo_html(self, repo: Repo) -> str:
        return f"{self.world.url}/{repo.full_name}"

    # people and the App ----------------------------------------------------------------------------------------

    def user(self, user: User) -> Json:
        url = f"{self.api}/users/{quote(user.login, safe='')}"
        page = f"github-apps/{user.login.removesuffix('[bot]')}" if user.kind == "Bot" else user.login
        tails = {
            "followers": "", "following": "{/other_user}", "gists": "{/gist_id}", "starred": "{/owner}{/repo}",
            "subscriptions": "", "repos": "", "events": "{/privacy}", "received_events": "",
        }  # fmt: skip
        return {
            "login": user.login,
            "id": user.id,
            "node_id": node_id("BOT" if user.kind == "Bot" else "U", user.id),
            "avatar_url": f"{self.world.url}/avatars/u/{user.id}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.world.url}/{page}",
            **{f"{name}_url": f"{url}/{name}{tail}" for name, tail in tails.items()},
            "organizations_url": f"{url}/orgs",
            "type": user.kind,
            "user_view_type": "public",
            "site_admin": False,
        }

    def author(self, user: User) -> Json | None:
        """Whoever did something; None once the account was deleted."""
        return None if user.is_deleted else self.user(user)

    def full_user(self, user: User) -> Json:
        texts = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio", "twitter_username"))
        counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
        moment = stamp(self.world.created_at)
        return {**self.user(user), **texts, **counts, "blog": "", "created_at": moment, "updated_at": moment}

    def app(self) -> Json:
        world, moment = self.world, stamp(self.world.created_at)
        return {
            "id": world.app_id,
            "client_id": f"Iv23li{world.app_id:014d}",
            "slug": world.app_slug,
            "node_id": node_id("A", world.app_id),
            "owner": self.user(world.app_owner),
            "name": world.app_slug,
            "description": "",
            "external_url": world.url,
            "html_url": f"{world.url}/github-apps/{world.app_slug}",
            "created_at": moment,
            "updated_at": moment,
            "permissions": dict(world.permissions),
            "events": list(world.events),
        }

    def installation(self, installation: Installation) -> Json:
        world, moment = self.world, stamp(installation.created_at)
        url = f"{self.api}/app/installations/{installation.id}"
        return {
            "id": installation.id,
            "account": self.user(installation.account),
            "repository_selection": "selected",
            "access_tokens_url": f"{url}/access_tokens",
            "repositories_url": f"{self.api}/installation/repositories",
            "html_url": f"{world.url}/settings/installations/{installation.id}",
            "app_id": world.app_id,
            "app_slug": world.app_slug,
            "target_id": installation.account.id,
            "target_type": installation.account.kind,
            "permissions": dict(installation.permissions),
            "events": list(world.events),
            "created_at": moment,
            "updated_at": moment,
            "single_file_name": None,
            "has_multiple_single_files": False,
            "single_file_paths": [],
            "suspended_by": self.user(installation.account) if installation.suspended_at else None,
            "suspended_at": stamp(installation.suspended_at) if installation.suspended_at else None,
        }

    # repositories ----------------------------------------------------------------------------------------------

    def repo(self, repo: Repo, permissions: Mapping[str, bool] | None = None) -> Json:
        html, moment = self.repo_html(repo), stamp(repo.created_at)
        open_issues = sum(issue.state == "open" for issue in repo.issues.values())
        zeros = ("forks", "forks_count", "stargazers_count", "watchers", "watchers_count", "size")
        return {
            "id": repo.id,
            "node_id": node_id("R", repo.id),
            "name": repo.name,
            "full_name": repo.full_name,
            "private": repo.private,
            "owner": self.user(repo.owner),
            "html_url": html,
            "description": None,
            "fork": False,
            "url": self.repo_api(repo),
            **_repo_links(self.repo_api(repo)),
            "created_at": moment,
            "updated_at": moment,
            "pushed_at": moment,
            "git_url": html.replace("http", "git", 1) + ".git",
            "ssh_url": f"git@127.0.0.1:{repo.full_name}.git",
            "clone_url": f"{html}.git",
            "svn_url": html,
            **dict.fromkeys(("homepage", "language", "mirror_url", "license")),
            **dict.fromkeys(zeros, 0),
            **dict.fromkeys(
                ("has_projects", "has_wiki", "has_pages", "has_discussions", "has_downloads", "disabled"), False
            ),
            "archived": repo.archived,
            "has_issues": repo.has_issues,
            "allow_forking": True,
            "is_template": False,
            "web_commit_signoff_required": False,
            "topics": [],
            "visibility": "private" if repo.private else "public",
            "open_issues_count": open_issues,
            "open_issues": open_issues,
            "default_branch": repo.default_branch,
            **({} if permissions is None else {"permissions": dict(permissions)}),
        }

    def full_repo(self, repo: Repo, permissions: Mapping[str, bool]) -> Json:
        return {**self.repo(repo, permissions), "network_count": 0, "subscribers_count": 0}

    def role_permissions(self, role: str) -> dict[str, bool]:
        level = ROLES.index(role)
        names = {"admin": "admin", "maintain": "maintain", "push": "write", "triage": "triage", "pull": "read"}
        return {name: level >= ROLES.index(least) for name, least in names.items()}

    def collaborator(self, repo: Repo, user: User) -> Json:
        role = repo.role(user)
        legacy = {"maintain": "write", "triage": "read"}.get(role, role)
        person = {**self.user(user), "permissions": self.role_permissions(role), "role_name": role}
        return {"permission": legacy, "role_name": role, "user": person}

    # threads ---------------------------------------------------------------------------------------------------

    def _authorship(self, repo: Repo, user: User) -> Json:
        """Who wrote it: the person, their bond to the repository, and the App when it wrote it itself."""
        app, bond = self.app() if user is self.world.bot else None, self.association(repo, user)
        return {"user": self.author(user), "author_association": bond, "performed_via_github_app": app}

    def association(self, repo: Repo, user: User) -> str:
        return "OWNER" if user is repo.owner else "COLLABORATOR" if user.login.lower() in repo.roles else "NONE"

    def reactions(self, reactions: list[Reaction], url: str) -> Json:
        counts = {name: sum(reaction.content == name for reaction in reactions) for name in REACTIONS}
        return {"url": f"{url}/reactions", "total_count": len(reactions), **counts}

    def label(self, repo: Repo, label: Label) -> Json:
        return {
            "id": label.id,
            "node_id": node_id("LA", label.id),
            "url": f"{self.repo_api(repo)}/labels/{quote(label.name)}",
            "name": label.name,
            "color": "ededed",
            "default": False,
            "description": None,
            "archived_at": None,
            "archived_by": None,
        }

    def issue(self, repo: Repo, issue: Issue) -> Json:
        url = f"{self.repo_api(repo)}/issues/{issue.number}"
        is_pull = isinstance(issue, PullRequest)
        html = f"{self.repo_html(repo)}/{'pull' if is_pull else 'issues'}/{issue.number}"
        pull = f"{self.repo_api(repo)}/pulls/{issue.number}"
        links = {
            "url": pull,
            "html_url": html,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "merged_at": stamp(issue.merged_at) if isinstance(issue, PullRequest) and issue.merged_at else None,
        }
        return {
            "url": url,
            "repository_url": self.repo_api(repo),
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "html_url": html,
            "id": issue.id,
            "node_id": node_id("PR" if is_pull else "I", issue.id),
            "number": issue.number,
            "title": issue.title,
            "labels": [self.label(repo, label) for label in issue.labels],
            "state": issue.state,
            "locked": issue.is_locked,
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "comments": len(repo.thread(issue.number)),
            "created_at": stamp(issue.created_at),
            "updated_at": stamp(issue.updated_at),
            "closed_at": stamp(issue.closed_at) if issue.closed_at else None,
            "active_lock_reason": None,
            "body": issue.body or None,
            "closed_by": None,
            "reactions": self.reactions(issue.reactions, url),
            "timeline_url": f"{url}/timeline",
            "state_reason": None,
            **self._authorship(repo, issue.user),
            **({"draft": issue.is_draft, "pull_request": links} if isinstance(issue, PullRequest) else {}),
        }

    def comment(self, repo: Repo, comment: Comment) -> Json:
        url = f"{self.repo_api(repo)}/issues/comments/{comment.id}"
        issue = repo.issues[comment.number]
        kind = "pull" if isinstance(issue, PullRequest) else "issues"
        return {
            "url": url,
            "html_url": f"{self.repo_html(repo)}/{kind}/{comment.number}#issuecomment-{comment.id}",
            "issue_url": f"{self.repo_api(repo)}/issues/{comment.number}",
            "id": comment.id,
            "node_id": node_id("IC", comment.id),
            "created_at": stamp(comment.created_at),
            "updated_at": stamp(comment.updated_at),
            "body": comment.body,
            "reactions": self.reactions(comment.reactions, url),
            **self._authorship(repo, comment.user),
        }

    def reaction(self, reaction: Reaction) -> Json:
        return {
            "id": reaction.id,
            "node_id": node_id("REA", reaction.id),
            "user": self.author(reaction.user),
            "content": reaction.content,
            "created_at": stamp(reaction.created_at),
        }
