"""Is a file well formed? Read with tree-sitter, by the file's name; nothing of it is run.

Grammars are C code that hostile text can crash: only `program.py` may import this.

Judges nothing when it cannot know: other languages, very large files, templates, JSON that has comments by custom.
Grammars lag behind languages, so a fault is information, never a verdict.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from typing import Final

from tree_sitter import Language, Node, Parser, Tree

from app.core.parsed import SyntaxFault

MAX_BYTES: Final = 512 * 1024
MAX_FAULTS: Final = 20
_MAX_PARSER_CALLBACKS: Final = 10_000
"""A second or so. Garbage can keep a grammar's error recovery busy for many minutes."""

_SUFFIXES: Final = {
    "python": (".py", ".pyi"),
    "javascript": (".js", ".mjs", ".cjs", ".jsx"),
    "typescript": (".ts", ".mts", ".cts"),
    "tsx": (".tsx",),
    "go": (".go",),
    "rust": (".rs",),
    "java": (".java",),
    "ruby": (".rb", ".rake", ".gemspec"),
    "json": (".json",),
    "yaml": (".yml", ".yaml"),
    "toml": (".toml",),
}
_LANGUAGES: Final = {suffix: language for language, suffixes in _SUFFIXES.items() for suffix in suffixes}
_BY_NAME: Final = {"Rakefile": "ruby", "Gemfile": "ruby"}
_JSON_WITH_COMMENTS: Final = re.compile(
    r"(^|/)(\.vscode/.*|\.devcontainer/.*|\.?devcontainer|[tj]sconfig([.-].*)?|\.eslintrc|\.babelrc|\.swcrc|deno|"
    r"api-extractor|language-configuration|\.jshintrc|\.code-workspace)\.json$",
    re.IGNORECASE,
)
_TEMPLATE: Final = re.compile(rb"\{%|\{#|(?<!\$)\{\{")
_DATA: Final = frozenset({"yaml", "json", "toml"})
_AGREED_FAULTS: Final = ("positional argument follows", "cannot assign to", "keyword argument repeated")
"""Faults on which all versions of Python 3 agree, unlike new syntax that this interpreter may not know yet."""
_NAMED_FAULTS: Final = (
    "'(' was",
    "'[' was",
    "'{' was",
    "unmatched",
    "unterminated",
    "closing parenthesis",
    "expected ':'",
)


def check(path: str, data: bytes) -> tuple[SyntaxFault, ...] | None:
    """The first faults of a file, at most `MAX_FAULTS`, in order; None when it cannot be judged."""
    language = language_of(path)
    if not language or len(data) > MAX_BYTES or _is_template(language, path, data):
        return None
    faults = _tree_faults(language, data)
    if faults and language == "javascript" and _tree_faults("tsx", data) == ():
        return ()  # JavaScript with type annotations
    if faults is not None and language == "python":
        return (*_python_faults(data, is_broken=bool(faults)), *faults)
    return faults


def language_of(path: str) -> str:
    """The grammar a file is read with, empty when there is none."""
    file = PurePosixPath(path)
    if _JSON_WITH_COMMENTS.search(path):
        return ""
    return _BY_NAME.get(file.name) or _LANGUAGES.get(file.suffix.lower(), "")


def _is_template(language: str, path: str, data: bytes) -> bool:
    return "{{" in path or (language in _DATA and _TEMPLATE.search(data) is not None)


def preload() -> None:
    """Load every grammar, so that a confined process needs no file: 65 ms, 3 MiB."""
    for language in _SUFFIXES:
        _parser(language)


@cache
def _parser(language: str) -> Parser:
    module = import_module("tree_sitter_typescript" if language in {"typescript", "tsx"} else f"tree_sitter_{language}")
    name = f"language_{language}" if language in {"typescript", "tsx"} else "language"
    grammar: Callable[[], object] = getattr(module, name)
    return Parser(Language(grammar()))


def _parse(language: str, data: bytes) -> Tree | None:
    calls = 0

    def is_enough(_offset: int, _has_error: bool) -> bool:
        nonlocal calls
        calls += 1
        return calls > _MAX_PARSER_CALLBACKS

    parser = _parser(language)
    try:
        return parser.parse(lambda offset, _point: data[offset : offset + 65_536], progress_callback=is_enough)
    except ValueError:  # given up
        parser.reset()
        return None


def _tree_faults(language: str, data: bytes) -> tuple[SyntaxFault, ...] | None:
    tree = _parse(language, data)
    if tree is None:
        return None
    lines = data.decode(errors="replace").split("\n")
    found = []
    for node in _broken(tree.root_node):
        point = node.start_point
        source = lines[point.row].strip() if point.row < len(lines) else ""
        message = f"`{node.type}` is missing" if node.is_missing else f"cannot be read: {_excerpt(node, data)}"
        found.append(SyntaxFault(point.row + 1, point.column + 1, message, source[:200]))
        if len(found) == MAX_FAULTS:
            break
    return tuple(found)


def _broken(root: Node) -> Iterator[Node]:
    """The outermost ERROR and MISSING nodes, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            yield node
        elif node.has_error:
            waiting.extend(reversed(node.children))


def _excerpt(node: Node, data: bytes) -> str:
    first = data[node.start_byte : node.end_byte].decode(errors="replace").strip().split("\n")[0]
    return f"`{first[:60]}`" if first else "what stands here"


def _python_faults(data: bytes, *, is_broken: bool) -> tuple[SyntaxFault, ...]:
    """Indentation and what else tree-sitter lets pass; of a broken file, what it names less well."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bad escape is the author's affair
            ast.parse(data)
    except SyntaxError as error:
        agreed = _AGREED_FAULTS + (_NAMED_FAULTS if is_broken else ())
        if isinstance(error, IndentationError) or error.msg.startswith(agreed):
            return (SyntaxFault(error.lineno or 1, error.offset or 1, error.msg, (error.text or "").strip()[:200]),)
    except (ValueError, RecursionError, MemoryError):
        return ()  # NUL bytes, an unknown encoding, depths beyond this interpreter
    return ()
