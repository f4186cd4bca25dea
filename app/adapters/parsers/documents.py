"""Data formats, read into what JSON can say. What a file does not need is refused rather than interpreted."""

import datetime
import json
import math
import re
from typing import TYPE_CHECKING, Final

import yaml

from app.core.errors import ParseError
from app.core.parsed import YamlFile

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_YAML_BYTES: Final = 65_536
MAX_JSON_BYTES: Final = 1_048_576
_MAX_YAML_DEPTH: Final = 16
_MAX_YAML_VALUES: Final = 5_000
_MAX_JSON_DEPTH: Final = 100
_MAX_INTEGER_BITS: Final = 64
_MERGE: Final = "tag:yaml.org,2002:merge"
_COLLECTIONS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Loader(yaml.SafeLoader):
    """Refuses anchors and aliases, with which a few hundred bytes become gigabytes, and bottomless nesting."""

    depth = 0
    values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise ParseError("anchors and aliases (`&name`, `*name`) are not supported; repeat the value", line)
        if self.depth == _MAX_YAML_DEPTH:
            raise ParseError(f"it is nested deeper than {_MAX_YAML_DEPTH} levels", line)
        if self.values == _MAX_YAML_VALUES:
            raise ParseError(f"it has more than {_MAX_YAML_VALUES:,} values", line)
        self.depth += 1
        self.values += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def load_yaml(data: bytes) -> YamlFile:
    """The document, in what JSON can say, and where each value begins.

    Raises:
        ParseError: it is no YAML, or uses what is refused.
    """
    if len(data) > MAX_YAML_BYTES:
        raise ParseError(f"it is longer than {MAX_YAML_BYTES:,} bytes")
    lines: dict[str, int] = {}
    try:
        loader = _Loader(data.decode("utf-8", "replace"))
        node = loader.get_single_node()
        value = None if node is None else _plain(loader, node, "", lines)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ParseError(
            getattr(error, "problem", None) or "it cannot be read", mark.line + 1 if mark else None
        ) from error
    return YamlFile(value, lines)


def _plain(loader: _Loader, node: yaml.Node, path: str, lines: dict[str, int]) -> "JsonValue":
    """The node's value. Depth is bounded by then, and without aliases each node is seen once."""
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node)
    if node.tag not in _COLLECTIONS:
        raise ParseError(f"the tag `{node.tag}` is not supported", line)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, f"{path}/{index}", lines) for index, item in enumerate(node.value)]
    plain = {}
    for key, value in node.value:
        if key.tag == _MERGE:
            raise ParseError("merge keys (`<<`) are not supported; repeat the values", key.start_mark.line + 1)
        if not isinstance(key, yaml.ScalarNode):
            raise ParseError("a key must be a word", key.start_mark.line + 1)
        if isinstance(value, yaml.ScalarNode) or not value.value:  # what has lines of its own begins on them
            lines[f"{path}/{key.value}"] = key.start_mark.line + 1
        plain[key.value] = _plain(loader, value, f"{path}/{key.value}", lines)
    return plain


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> "JsonValue":
    written: str = node.value
    value: object = loader.construct_object(node)
    match value:
        case datetime.date():  # a word that looks like a date
            return written
        case int() if value.bit_length() > _MAX_INTEGER_BITS:
            return written
        case float() if not math.isfinite(value):
            return written
        case None | str() | int() | float():
            return value
    raise ParseError(f"the tag `{node.tag}` is not supported", node.start_mark.line + 1)


def load_json(data: bytes) -> "JsonValue":
    """The document.

    Raises:
        ParseError: it is no JSON, or nested too deeply.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ParseError(f"it is longer than {MAX_JSON_BYTES:,} bytes")
    too_deep = f"it is nested deeper than {_MAX_JSON_DEPTH} levels"
    try:
        value: JsonValue = json.loads(data.decode("utf-8-sig", "replace"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ParseError(error.msg, error.lineno) from error
    except ValueError as error:  # a number of thousands of digits
        raise ParseError(str(error)) from error
    except RecursionError as error:
        raise ParseError(too_deep) from error
    if _depth(value) > _MAX_JSON_DEPTH:
        raise ParseError(too_deep)
    return value


def _refuse_constant(name: str) -> object:
    raise ParseError(f"{name} is no number of JSON's")


def _depth(value: object) -> int:
    """How many lists and objects are inside one another."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def matches(data: bytes, pattern: str) -> bool:
    """Whether the expression is found in the text. One that backtracks for ever ends with the process."""
    try:
        return re.search(pattern, data.decode("utf-8", "replace")) is not None
    except (re.error, RecursionError, OverflowError) as error:
        raise ParseError(f"it is no regular expression that is understood here: {error}") from error
