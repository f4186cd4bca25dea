"""The rules for a branch that the App is held to (https://docs.github.com/en/rest/repos/rules)."""

from collections.abc import AsyncIterator
from typing import Final

from pydantic import Field, RootModel

from app.adapters.github.client.address import path_part, repo_path
from app.adapters.github.client.api import Api
from app.adapters.github.client.responses import ApiResponse, GitCommit
from app.core.errors import GitHubError, RepositoryGone
from app.core.policy.branch_rules import RELEVANT, BranchRule

_UNTOLD: Final = frozenset({403, 404, 410})
"""Older Enterprise Servers know no rulesets, and private repositories of free accounts have none."""


class Parameters(ApiResponse):
    """What a rule with a pattern holds; those of other rules are not read."""

    operator: str = ""
    pattern: str = ""
    negate: bool = False


class BranchRuleResponse(ApiResponse):
    kind: str = Field(default="", alias="type")
    ruleset_id: int = 0
    ruleset_source: str = ""
    parameters: Parameters = Parameters()


class BranchRulesResponse(RootModel[list[BranchRuleResponse]]):
    pass


class Ruleset(ApiResponse):
    """`current_user_can_bypass`: `always`, `pull_requests_only`, `never`; not everybody is told."""

    name: str = ""
    current_user_can_bypass: str = "never"


async def find_rules(api: Api, repo: str, branch: str, sha: str) -> tuple[BranchRule, ...]:
    """Those among the relevant ones that the App cannot pass by. See the port."""
    found = [rule async for rule in _list(api, repo, branch) if rule.kind in RELEVANT]
    if any(rule.kind == "required_signatures" for rule in found) and await _is_signing(api, repo, sha):
        found = [rule for rule in found if rule.kind != "required_signatures"]
    rulesets = {key: await _read(api, repo, key) for key in dict.fromkeys(rule.ruleset_id for rule in found)}
    return tuple(
        BranchRule(
            rule.kind,
            rulesets[rule.ruleset_id].name or f"{rule.ruleset_source} {rule.ruleset_id}".strip(),
            rule.parameters.operator,
            rule.parameters.pattern,
            rule.parameters.negate,
        )
        for rule in found
        if rulesets[rule.ruleset_id].current_user_can_bypass != "always"
    )


async def _list(api: Api, repo: str, branch: str) -> AsyncIterator[BranchRuleResponse]:
    try:
        async for page in api.pages(f"{repo_path(repo)}/rules/branches/{path_part(branch)}", BranchRulesResponse):
            for rule in page.root:
                yield rule
    except GitHubError as error:
        if error.status not in _UNTOLD or error.is_passing or isinstance(error, RepositoryGone):
            raise


async def _read(api: Api, repo: str, ruleset_id: int) -> Ruleset:
    try:
        return await api.call("GET", f"{repo_path(repo)}/rulesets/{ruleset_id}", Ruleset)
    except GitHubError as error:
        if error.status not in _UNTOLD or error.is_passing or isinstance(error, RepositoryGone):
            raise
        return Ruleset()


async def _is_signing(api: Api, repo: str, sha: str) -> bool:
    """Does this server sign what the App commits? Tried on a commit that no ref leads to, which nobody sees."""
    path = f"{repo_path(repo)}/git/commits"
    tree = (await api.call("GET", f"{path}/{sha}", GitCommit)).tree.sha
    made = await api.call("POST", path, GitCommit, body={"message": "Try a signature", "tree": tree, "parents": [sha]})
    return made.verification is not None and made.verification.verified
