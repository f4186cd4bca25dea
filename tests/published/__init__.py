"""What GitHub publishes about its API, as far as this product touches it, and whether an exchange agrees with it.

`rest.json`, `webhooks.json` and `schema.graphql` are made by `distil.py`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import jsonschema_rs
from graphql import GraphQLSchema, build_schema, execute_sync, parse, validate

Json: TypeAlias = dict[str, Any]

_FOLDER: Final = Path(__file__).parent
_REST: Final[Json] = json.loads((_FOLDER / "rest.json").read_text("utf-8"))
_WEBHOOKS: Final[Json] = json.loads((_FOLDER / "webhooks.json").read_text("utf-8"))
OPERATIONS: Final[Mapping[str, Json]] = _REST["operations"]
"""By method and path template: the schemas of `query`, `body` and, by status, `answers`."""

_ERRORS: Final = {"anyOf": [{"$ref": "#/$defs/basic-error"}, {"$ref": "#/$defs/validation-error"}]}
_ANYWHERE: Final = frozenset({301, 304, 307, 400, 401, 403, 404, 410, 415, 422, 429, 451, 500, 502, 503})
"""What every operation may answer, described or not; 304 to a conditional request, which is described for some only:
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api"""
_BY_ID: Final = re.compile(r"^/repositories/\d+")
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request to the API and its answer. `path` starts behind `/api/v3`, with its parts still escaped."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes
    request_headers: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """The operation's key in `OPERATIONS`; empty when GitHub has none there."""
        return find_operation(self.method, self.path)


@cache
def find_operation(method: str, path: str) -> str:
    path = _BY_ID.sub("/repos/o/n", path)
    fits = [key for key in OPERATIONS if _pattern(key).fullmatch(f"{method} {path}")]
    # The more specific wins: `…/issues/comments` over `…/issues/{issue_number}`.
    return min(fits, key=lambda key: key.count("{"), default="")


@cache
def _pattern(key: str) -> re.Pattern[str]:
    method, _, template = key.partition(" ")
    parts = [r"\d+" if part.endswith(("_id}", "_number}")) else r"[^/]+" for part in re.findall(r"\{\w+\}", template)]
    fixed = [re.escape(text) for text in re.split(r"\{\w+\}", template)]
    path = "".join(text + part for text, part in zip(fixed, [*parts, ""], strict=True))
    # The path of a file and the name of a ref may be several segments.
    return re.compile(f"{method} {path}(/[^/]+)*" if re.search("/(contents|git/refs?)/", path) else f"{method} {path}")


@cache
def _validator(document: str, schema: str) -> jsonschema_rs.Draft202012Validator:
    definitions = (_REST if document == "rest" else _WEBHOOKS)["$defs"]
    # A bot's address, `1+name[bot]@users.noreply.github.com`, is none by the standard.
    formats = {"date-time": lambda text: bool(MOMENT.fullmatch(text)), "email": lambda text: "@" in text}
    return jsonschema_rs.Draft202012Validator(
        {**json.loads(schema), "$defs": definitions}, validate_formats=True, formats=formats
    )


def disagreements(document: str, schema: Any, instance: object) -> list[str]:
    """Where an instance is not what a schema of `rest` or `webhooks` describes."""
    errors = _validator(document, json.dumps(schema, sort_keys=True)).iter_errors(instance)
    return [f"{'.'.join(map(str, each.instance_path)) or '(all)'}: {each.message}" for each in _leaves(errors)]


def _leaves(errors: Iterable[jsonschema_rs.ValidationError]) -> Iterator[jsonschema_rs.ValidationError]:
    """What is really wrong where no alternative fits: the faults of the one that fits best, and that is not `null`."""
    for error in errors:
        branches = [list(branch) for branch in getattr(error.kind, "context", None) or []]
        branches = [branch for branch in branches if not any(each.message.endswith('"null"') for each in branch)]
        if branches:
            yield from _leaves(sorted(branches, key=len)[0])
        else:
            yield error


def faults(exchange: Exchange) -> list[str]:
    """Everything in which request or answer is not as published."""
    key = exchange.operation
    if not key:
        return [f"GitHub describes no {exchange.method} {exchange.path}"]
    found = [*_faults_of_request(OPERATIONS[key], exchange), *_faults_of_answer(OPERATIONS[key], exchange)]
    return [f"{key} ({exchange.status}): {fault}" for fault in found]


def _faults_of_request(described: Json, exchange: Exchange) -> Iterator[str]:
    for name in ("accept", "user-agent", "x-github-api-version"):
        if not exchange.request_headers.get(name):
            yield f"request without {name}"
    for name, value in exchange.query.items():
        if name == "after":  # out of a link, which is to be followed as it is
            continue
        if name not in described["query"]:
            yield f"query: {name} is not described"
        else:
            schema = described["query"][name]
            kinds = str(schema.get("type") or schema)
            typed = int(value) if value.isdecimal() and "integer" in kinds else value
            yield from (f"query {name}: {each}" for each in disagreements("rest", schema, typed))
    if not exchange.body:
        return
    body, schema = json.loads(exchange.body), described["body"]
    if schema is None:
        # githubkit sends `{}` where nothing is to be said.
        if body != {}:
            yield "body: none is described"
    elif exchange.status < 400:
        yield from (f"body: {each}" for each in disagreements("rest", schema, body))
        yield from (f"body: {name} is not described" for name in body.keys() - properties(schema))


def _faults_of_answer(described: Json, exchange: Exchange) -> Iterator[str]:
    status, answers = exchange.status, described["answers"]
    if str(status) not in answers and status not in _ANYWHERE:
        yield f"status is not one of {', '.join(answers)}"
        return
    is_error = status >= 300
    schema = _ERRORS if is_error else answers.get(str(status))
    if schema is None:
        if exchange.answer.strip() not in {b"", b"{}"}:
            yield "answer: a body, where none is described"
        return
    if status in {302, 304}:
        return
    if not exchange.headers.get("content-type", "").startswith("application/json"):
        yield "answer: not JSON"
        return
    yield from (f"answer: {each}" for each in disagreements("rest", schema, json.loads(exchange.answer)))


def definition(schema: Json) -> Json:
    """The schema that one of `rest` refers to."""
    while "$ref" in schema:
        schema = _REST["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema


def properties(schema: Json) -> set[str]:
    """All names that a schema knows at its top."""
    schema = definition(schema)
    parts = [part for word in ("allOf", "anyOf", "oneOf") for part in schema.get(word, [])]
    return set(schema.get("properties", {})).union(*map(properties, parts))


# ---------------------------------------------------------------------------------------------------------- webhooks


def payload_faults(event: str, payload: Json) -> list[str]:
    """In what a delivery's payload is not as published."""
    action = payload.get("action")
    name = f"{event}.{action}" if action else event
    schema = _WEBHOOKS["payloads"].get(name)
    if schema is None:
        return [f"{name}: not described here"]
    return [f"{name}: {each}" for each in disagreements("webhooks", schema, payload)]


# ----------------------------------------------------------------------------------------------------------- GraphQL


@cache
def graphql_schema() -> GraphQLSchema:
    return build_schema((_FOLDER / "schema.graphql").read_text("utf-8"))


def graphql_faults(request: Json, answer: Json) -> list[str]:
    """In what a GraphQL request, or the `data` it was answered with, is not as published."""
    document = parse(request["query"])
    found = [str(each.message) for each in validate(graphql_schema(), document)]
    if found or answer.get("errors"):
        return found
    # Carried out once more with the answer as the data: what is missing or of another kind is an error.
    again = execute_sync(
        graphql_schema(),
        document,
        root_value={name: lambda _, given=given, **__: given for name, given in answer["data"].items()},
        variable_values=request.get("variables"),
        type_resolver=lambda *_: "GpgSignature",
    )
    errors = [str(each.message) for each in again.errors or ()]
    return errors or ([] if again.data == answer["data"] else ["the answer holds what was not asked for"])
