"""OpenAI's own schema of what may be sent, as the SDK's types carry it, with no key besides."""

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from typing_extensions import is_typeddict


def faults_of_response(body: Mapping[str, object]) -> list[str]:
    return _faults(body, ResponseCreateParamsNonStreaming, "body")


def faults_of_completion(body: Mapping[str, object]) -> list[str]:
    return _faults(body, CompletionCreateParamsNonStreaming, "body")


def _faults(value: object, kind: Any, at: str) -> list[str]:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        return _faults_of_keys(value, kind, at)
    if origin in {Required, NotRequired}:
        return _faults(value, arguments[0], at)
    if origin in {Union, types.UnionType}:
        each = [_faults(value, member, at) for member in arguments]
        return [] if not all(each) else min(each, key=len)
    if origin is Literal:
        return [] if value in arguments else [f"{at}: {value!r} is none of {arguments}"]
    if origin not in {None, dict}:  # List, Iterable, SequenceNotStr: all of them JSON arrays
        if not isinstance(value, list):
            return [f"{at}: {value!r} is no array"]
        return [fault for i, part in enumerate(value) for fault in _faults(part, arguments[0], f"{at}[{i}]")]
    if kind is object or type(value) is (origin or kind) or (kind is float and type(value) is int):
        return []
    return [f"{at}: {value!r} is no {kind}"]


def _faults_of_keys(value: object, kind: Any, at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: {value!r} is no object"]
    hints = _hints(kind)
    faults = [f"{at}.{key}: unknown" for key in value if key not in hints]
    faults += [f"{at}.{key}: missing" for key, hint in hints.items() if _is_required(hint) and key not in value]
    return faults + [
        fault for key, part in value.items() if key in hints for fault in _faults(part, hints[key], f"{at}.{key}")
    ]


def _is_required(hint: Any) -> bool:
    return get_origin(hint) is Required


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)
