"""What must never be said, taken out of what is said.

Two sources: the values this process knows (keys, tokens) and the shapes that vendors give their secrets. The same
shapes serve the gate in `core/policy.py`, which refuses to publish a line that holds one.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from pydantic import SecretStr

MASK: Final = "[redacted]"
MIN_SECRET_CHARS: Final = 8
"""A shorter value is not masked: it would stand in ordinary words."""

SHAPES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    # https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b")),
    ("an OpenAI key", re.compile(r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,200}\b")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,200}\b")),
    ("an E2B key", re.compile(r"\be2b_[0-9a-f]{40}\b")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b")),
    ("a Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,200}\b")),
    ("a Stripe key", re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,200}\b")),
    (
        "a JSON Web Token",
        re.compile(r"(?<![\w-])eyJ[A-Za-z0-9_-]{10,2000}+\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000}"),
    ),
    (
        "a private key",
        re.compile(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[\s\S]{0,10000}?-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
        ),
    ),
    ("a password in a URL", re.compile(r"(?<=://)[^\s/:@]{1,100}:[^\s/@]{3,200}(?=@)")),
)
"""What a secret looks like, and what to call it. Every pattern is bounded, so that a long line costs linear time."""


_NAMED: Final = re.compile(
    r"(?:secret|token|passwd|password|credential|(?:api|access|private|signing|encryption)[_-]?key)\w{0,30}[\"']?"
    r"\s{0,8}(?::=|=>|[:=])\s{0,8}[\"'`]([A-Za-z0-9+/=_.~-]{24,200})[\"'`]",
    re.IGNORECASE,
)
"""A long value under a name that says what it is."""
_MIN_DIGITS: Final = 0.1
_MIN_TURNS: Final = 0.3
_MIN_DISTINCT: Final = 10


class Redactor:
    """Masks secrets in text. Cheap to call, safe to call twice."""

    def __init__(self, secrets: Iterable[SecretStr] = ()) -> None:
        values = {line for secret in secrets for line in secret.get_secret_value().splitlines()}
        long_enough = sorted((value for value in values if len(value) >= MIN_SECRET_CHARS), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, long_enough))) if long_enough else None

    def redact(self, text: str) -> str:
        """The text with every known value and every known shape replaced by `MASK`."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for _, shape in SHAPES:
            text = shape.sub(MASK, text)
        return text


def find_secret(line: str) -> str | None:
    """What the line's first secret-shaped part is called, None when there is none."""
    shaped = next((name for name, shape in SHAPES if shape.search(line)), None)
    if shaped is None and any(_is_random(value) for value in _NAMED.findall(line)):
        return "a secret of random characters"
    return shaped


def _is_random(value: str) -> bool:
    """Whether digits, capitals and small letters follow one another as chance has it, and not as words do."""
    kinds = ["0" if each.isdigit() else "A" if each.isupper() else "a" for each in value if each.isalnum()]
    turns = sum(before != after for before, after in pairwise(kinds))
    is_varied = len(set(value)) >= _MIN_DISTINCT
    return is_varied and turns >= _MIN_TURNS * len(kinds) and kinds.count("0") >= _MIN_DIGITS * len(kinds)
