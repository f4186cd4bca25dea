"""A repository's rules for branches, and which of them no work of the bot's can pass.

https://docs.github.com/en/rest/repos/rules#get-rules-for-a-branch
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.core.safety.escape import code

_ALWAYS: Final = {
    "creation": "it restricts who creates branches",
    "update": "it restricts who updates branches",
    "pull_request": "it requires a pull request for every change, even on the branch a pull request is opened from",
    "required_status_checks": "it requires status checks to pass before a push",
    "required_signatures": "it requires signed commits, and this server doesn't sign the App's commits",
}
_PATTERNS: Final = {
    "branch_name_pattern": "branches named like",
    "commit_message_pattern": "commit messages like",
    "commit_author_email_pattern": "commit authors with addresses like",
    "committer_email_pattern": "committers with addresses like",
}
RELEVANT: Final = frozenset({*_ALWAYS, *_PATTERNS})
"""Rules that may forbid the branch or a commit on it, by GitHub's names."""
MATCHED: Final = frozenset(_PATTERNS)


@dataclass(frozen=True, slots=True)
class BranchRule:
    """A rule that the App is held to. `ruleset` is the name people gave it. `operator`: `starts_with`, `ends_with`,
    `contains` or `regex`; with `is_negated` nothing may fit."""

    kind: str
    ruleset: str
    operator: str = ""
    pattern: str = ""
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Samples:
    """What the bot would put there, as far as that is known before it is made."""

    branch: str
    message: str
    author_email: str
    committer_email: str

    def of(self, kind: str) -> str:
        """What a rule of this kind looks at."""
        known = {
            "branch_name_pattern": self.branch,
            "commit_message_pattern": self.message,
            "commit_author_email_pattern": self.author_email,
            "committer_email_pattern": self.committer_email,
        }
        return known[kind]


def describe(rule: BranchRule) -> str:
    """Why the rule stands in the way, as the end of a sentence, with its name."""
    if rule.kind in _ALWAYS:
        return f"the ruleset {code(rule.ruleset)} does not allow it: {_ALWAYS[rule.kind]} ({code(rule.kind)})"
    wanted = "no " if rule.is_negated else ""
    what = f"{wanted}{_PATTERNS[rule.kind]} {code(rule.pattern)} ({rule.operator.replace('_', ' ')})"
    return f"the ruleset {code(rule.ruleset)} does not allow it: it requires {what} ({code(rule.kind)})"


def fits_literally(rule: BranchRule, text: str) -> bool | None:
    """Does the text satisfy a rule with a pattern? None for a regular expression, which is not for this process."""
    compare: dict[str, Callable[[str, str], bool]] = {
        "starts_with": str.startswith,
        "ends_with": str.endswith,
        "contains": str.__contains__,
    }
    if rule.operator not in compare:
        return None
    return compare[rule.operator](text, rule.pattern) is not rule.is_negated
