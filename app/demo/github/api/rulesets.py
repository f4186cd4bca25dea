"""Rulesets, and the other rules by which GitHub refuses a branch or a commit of the App.

https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/available-rules-for-rulesets
"""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from starlette.responses import Response

from app.demo.github.call import Call, Row
from app.demo.github.responses import Refusal, not_found, page, reply
from app.demo.github.shapes import Json, stamp
from app.demo.github.state.bare_repo import NO_OBJECT
from app.demo.github.state.records import Repo, Ruleset

VIOLATION: Final = "Repository rule violations found"
WORKFLOWS: Final = ".github/workflows"
_MATCHES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
    "regex": lambda text, pattern: re.search(pattern, text) is not None,
}


_PATTERNS: Final = {
    "commit_message_pattern": "Commit message",
    "commit_author_email_pattern": "Commit author email",
    "committer_email_pattern": "Committer email",
}


_REFUSES_PUSHES: Final = {
    "update": "Cannot update this protected ref.",
    "pull_request": "Changes must be made through a pull request.",
    "required_status_checks": 'Required status check "tests" is expected.',
}


def on(repo: Repo, branch: str) -> list[tuple[Ruleset, str, Mapping[str, Any]]]:
    """The rules for a branch, whether it exists or not."""
    found = [each for each in repo.rulesets if fnmatchcase(branch, each.branches)]
    return [(ruleset, kind, parameters) for ruleset in found for kind, parameters in ruleset.rules]


def _refuse(words: list[str]) -> None:
    if words:
        raise Refusal(422, "\n\n".join([VIOLATION, *words, ""]))


def _is_held_to(call: Call, ruleset: Ruleset) -> bool:
    return call.user is call.world.bot and not ruleset.is_bypassed


def check_creation(call: Call, repo: Repo, branch: str) -> None:
    """Refuse a branch that may not be made."""
    words = []
    for ruleset, kind, parameters in on(repo, branch):
        if not _is_held_to(call, ruleset):
            continue
        if kind == "creation":
            words.append("Cannot create ref due to creations being restricted.")
        if kind == "branch_name_pattern" and not _fits(branch, parameters):
            words.append(f"Branch name must match a given {parameters['operator']} pattern: {parameters['pattern']}")
    _refuse(words)


def check_commit(call: Call, repo: Repo, branch: str, message: str, *, emails: tuple[str, str], signed: bool) -> None:
    """Refuse a commit that may not be on the branch; `emails` are the author's and the committer's."""
    words = []
    texts = dict(zip(_PATTERNS, (message, *emails), strict=True))
    for ruleset, kind, parameters in on(repo, branch):
        if not _is_held_to(call, ruleset):
            continue
        if kind in _REFUSES_PUSHES:
            words.append(_REFUSES_PUSHES[kind])
        if kind == "required_signatures" and not signed:
            words.append("Commits must have verified signatures.")
        if kind in _PATTERNS and not _fits(texts[kind], parameters):
            words.append(
                f"{_PATTERNS[kind]} must match a given {parameters['operator']} pattern: {parameters['pattern']}"
            )
    _refuse(words)


def _fits(text: str, parameters: Mapping[str, Any]) -> bool:
    return _MATCHES[parameters["operator"]](text, parameters["pattern"]) is not bool(parameters.get("negate"))


# ------------------------------------------------------------------------------------------------------- workflow files


async def _workflows(repo: Repo, sha: str) -> dict[str, str | None]:
    tree = await repo.git.tree(sha, recursive=True)
    return {each.path: each.sha for each in tree if each.path.startswith(f"{WORKFLOWS}/") and each.kind == "blob"}


async def brings_workflow(call: Call, repo: Repo, sha: str, before: str) -> str:
    """The first workflow file of `sha` that differs from that of `before`, where the caller may not change such files.

    An App without `workflows: write` may neither commit such a change nor point a new ref to it.
    """
    if call.user is not call.world.bot or call.caller.may(repo, "workflows", "write") or before == NO_OBJECT:
        return ""
    there, here = await _workflows(repo, sha), await _workflows(repo, before)
    return next((path for path in sorted({*there, *here}) if there.get(path) != here.get(path)), "")


def workflow_words(path: str) -> str:
    return f"refusing to allow a GitHub App to create or update workflow `{path}` without `workflows` permission"


# ----------------------------------------------------------------------------------------------------------------- REST


def _rule(repo: Repo, ruleset: Ruleset, kind: str, parameters: Mapping[str, object]) -> Json:
    more = {"parameters": dict(parameters)} if parameters else {}
    source = {"ruleset_source_type": "Repository", "ruleset_source": repo.full_name, "ruleset_id": ruleset.id}
    return {"type": kind, **more, **source}


async def list_branch_rules(call: Call) -> Response:
    shown, links = page(call.request, on(call.repo, call.part("branch")))
    return reply([_rule(call.repo, *each) for each in shown], headers=links)


async def get_ruleset(call: Call) -> Response:
    repo = call.repo
    ruleset = next((each for each in repo.rulesets if each.id == call.number("id")), None)
    if ruleset is None:
        raise not_found()
    moment = stamp(repo.created_at)
    url = f"{call.shapes.repo_api(repo)}/rulesets/{ruleset.id}"
    html = f"{call.shapes.repo_html(repo)}/rules/{ruleset.id}"
    rules = [{"type": kind, **({"parameters": dict(given)} if given else {})} for kind, given in ruleset.rules]
    return reply(
        {
            "id": ruleset.id,
            "name": ruleset.name,
            "target": "branch",
            "source_type": "Repository",
            "source": repo.full_name,
            "enforcement": "active",
            "node_id": f"RRS_{ruleset.id}",
            "_links": {"self": {"href": url}, "html": {"href": html}},
            "created_at": moment,
            "updated_at": moment,
            "current_user_can_bypass": "always" if ruleset.is_bypassed else "never",
            "conditions": {"ref_name": {"include": [f"refs/heads/{ruleset.branches}"], "exclude": []}},
            "rules": rules,
        }
    )


_REPO: Final = "/repos/{owner}/{name}"
ROWS: Final[tuple[Row, ...]] = (
    ("GET", f"{_REPO}/rules/branches/{{branch:path}}", list_branch_rules, "metadata:read"),
    ("GET", f"{_REPO}/rulesets/{{id}}", get_ruleset, "metadata:read"),
)
