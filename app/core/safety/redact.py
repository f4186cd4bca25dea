"""What must never be said, taken out of what is said.

Two sources: the values this process knows (keys, tokens), in every usual encoding, and the shapes that vendors give
their secrets. The same shapes serve the gate in `core/policy/changes.py`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Final

from pydantic import SecretStr

from app.core.safety.own_secrets import own_secrets
from app.core.safety.secret_rules import SecretRule, is_sample, rules, rules_by_keyword

MASK: Final = "[redacted]"
_MARKDOWN_MASK: Final = "(redacted)"
"""Brackets would be the text of a link where an address in parentheses follows."""
_NOT_MARKUP: Final = re.compile(r"[^\s`~<>|\\]+")
"""What has no part in where code, HTML, lines and cells of tables begin and end."""
OWN: Final = "a secret of this deployment"
_SHORT_CHARS: Final = 256
_KEPT: Final = 2_048
_TELLING_CHARS: Final = 16
_LONG_PART: Final = re.compile(r"[A-Za-z0-9_+=~%!@^&*-]{13}", re.ASCII)
"""Text without one holds no secret of any shape, apart from passwords in addresses and private keys."""
_JOINT: Final = re.compile(r"""["'`]\s*+(?:[+.&\\]\s*+)*+["'`]|\\\r?\n""")
"""Where a literal goes on in the next one, or a line in the next one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in a text: what to call it, its value, and its line from 1. Line 0: it stands there in pieces."""

    kind: str
    value: str
    line: int


class Redactor:
    """Masks secrets in text. Cheap to call, safe to call twice; what was masked lately is remembered."""

    def __init__(self, secrets: Iterable[SecretStr] = ()) -> None:
        self._own = own_secrets(tuple(secrets))
        rules_by_keyword()  # is read now, and not at the first word said
        self._remembered = lru_cache(_KEPT)(self._redact)

    def redact(self, text: str) -> str:
        """The text with every known value and every known shape replaced by `MASK`."""
        return self._remembered(text) if len(text) <= _SHORT_CHARS else self._redact(text)

    def redact_markdown(self, text: str) -> str:
        """As `redact`, for Markdown that is ready to be sent. What was escaped stays so, even where a secret reaches
        over the ends of code, lines or elements: their marks stay."""
        text = _mask(text, self._own.spans(text), _mask_words)
        for rule in _candidates(text):
            text = _mask(text, rule.spans(text), _mask_words)
        return text

    def find_own(self, text: str) -> int | None:
        """The line, from 1, where a value that this process knows begins; None when none is there.

        A short word that stands in for a key which is not needed does not count: it may stand in any text.
        """
        first = min((start for start, end in self._own.spans(text) if _is_telling(text[start:end])), default=None)
        return None if first is None else text.count("\n", 0, first) + 1

    def _redact(self, text: str) -> str:
        text = _mask(text, self._own.spans(text))
        for rule in _candidates(text):
            text = _mask(text, rule.spans(text))
        return text


def find_secrets(text: str, *, is_lock_file: bool = False) -> Iterator[Found]:
    """Everything in a text that looks like a secret and not like a sample of one, also in pieces of literals."""
    seen: set[str] = set()
    for start, kind, value in _apart(text, is_lock_file):
        seen.add(value)
        yield Found(kind, value, text.count("\n", 0, start) + 1)
    joined = join_literals(text)
    if joined != text:
        yield from (Found(kind, value, 0) for _, kind, value in _apart(joined, is_lock_file) if value not in seen)


def join_literals(text: str) -> str:
    """The text with what is written in pieces put together."""
    return _JOINT.sub("", text)


def _apart(text: str, is_lock_file: bool) -> Iterator[tuple[int, str, str]]:
    """Where, what and which, in order; of what overlaps the first."""
    last = 0
    for start, end, rule in sorted(_located(text, is_lock_file), key=itemgetter(0)):
        value = text[start:end]
        if start >= last and not is_sample(value) and (rule.judge_at_gate is None or rule.judge_at_gate(value)):
            last = end
            yield start, rule.name, value


def _located(text: str, is_lock_file: bool) -> Iterator[tuple[int, int, SecretRule]]:
    for rule in _candidates(text):
        if not (rule.is_named and is_lock_file):
            yield from ((start, end, rule) for start, end in rule.spans(text))


def find_secret(line: str) -> str | None:
    """What the line's first secret-shaped part is called, None when there is none."""
    return next((found.kind for found in find_secrets(line)), None)


def _candidates(text: str) -> Sequence[SecretRule]:
    """The rules that may find something: of each, a keyword stands in the text."""
    if not ("://" in text or "PRIVATE KEY" in text or _LONG_PART.search(text)):
        return ()
    folded = text.lower()
    by_keyword = rules_by_keyword()
    there = [keyword for keyword in by_keyword if keyword in folded]
    if not there:
        return ()
    wanted = {number for keyword in there for number in by_keyword[keyword]}
    return [rules()[number] for number in sorted(wanted)]


def _is_telling(value: str) -> bool:
    return len(value) >= _TELLING_CHARS or any(char.isdigit() for char in value)


def _mask_words(secret: str) -> str:
    """The first word becomes the mask, the others a mark of one character: the text never grows much."""
    first = _NOT_MARKUP.search(secret)
    if first is None:
        return secret
    return f"{secret[: first.start()]}{_MARKDOWN_MASK}{_NOT_MARKUP.sub('…', secret[first.end() :])}"


def _mask(text: str, spans: Iterable[tuple[int, int]], masked: Callable[[str], str] = lambda _: MASK) -> str:
    """The text with a mask in the place of each span; those that touch become one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    parts, at = [], 0
    for start, end in joined:
        parts += [text[at:start], masked(text[start:end])]
        at = end
    return "".join((*parts, text[at:])) if parts else text
