"""Regular expressions mean the same on every Python that we run on.

Before 3.11.5 an alternation inside a possessive quantifier or an atomic group could match wrongly
(https://github.com/python/cpython/issues/106052): no pattern of ours has one.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

import pytest

from app.core.policy.globs import compile_glob
from app.core.safety import secret_rules

APP: Final = Path(__file__).parents[2] / "app"
_CLOSED: Final = {_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP}


def has_closed_alternation(pattern: str, flags: int = 0) -> bool:
    """Is there an alternation of more than single characters in something that is never tried again?"""
    return _find(_parser.parse(pattern, flags), is_closed=False)


def _find(parsed: Any, *, is_closed: bool) -> bool:
    if isinstance(parsed, _parser.SubPattern):
        return any(_find(each, is_closed=is_closed) for each in parsed)
    if isinstance(parsed, tuple | list):
        first = parsed[0] if parsed else None
        if is_closed and first is _constants.BRANCH:
            return True
        is_closed = is_closed or (isinstance(first, _constants._NamedIntConstant) and first in _CLOSED)
        return any(_find(each, is_closed=is_closed) for each in parsed)
    return False


def written() -> Iterator[tuple[str, str]]:
    """Every text in the program that uses the syntax and is a pattern, and where it stands."""
    for path in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_used(node.value):
                yield f"{path.relative_to(APP)}:{node.lineno}", node.value


def _is_used(text: str) -> bool:
    return re.search(r"[\])*+?}\w]\+\+|\*\+|\?\+|\}\+|\(\?>", text) is not None


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("(?:ab|c)*+d", True),
        ("(?>ab|c)d", True),
        ("(?:x(?:ab|cd))++", True),
        ("(?:a|b)*+", False),  # one set
        ("[ab]++", False),
        ("(?:ab|cd)+", False),
        ("(?>.*?x)", False),
    ],
)
def test_the_search_finds_what_it_is_for(pattern: str, is_found: bool) -> None:
    assert has_closed_alternation(pattern) is is_found


def test_no_alternation_is_possessive_or_atomic() -> None:
    found = []
    for place, text in written():
        for flags in (re.VERBOSE, 0):
            try:
                is_found = has_closed_alternation(text, flags)
            except re.error:
                continue  # a piece of one, or prose
            if is_found:
                found.append(place)
    assert found == []


def test_nor_in_what_is_put_together() -> None:
    rules = [pattern for rule in secret_rules.rules() for pattern in (rule.pattern, rule.before)]
    globs = [part.pattern for part in compile_glob("*a[!b]*c?*/d**e").parts if part is not None]
    assert [each for each in (*rules, *globs, secret_rules.lock_files().pattern) if has_closed_alternation(each)] == []
