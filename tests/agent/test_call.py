"""How what the model writes is read."""

import json
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from app.agent.tool_calls import Edit, Finish, InvalidToolCall, Propose, Read, Search, Shell, Write, read, specs
from app.core.conversation import ToolCall

WORK = (Shell, Read, Search, Edit, Write)


def misread(name: str, arguments: str) -> str:
    with pytest.raises(InvalidToolCall) as caught:
        read(ToolCall("1", name, arguments), WORK, Finish)
    return str(caught.value)


def objects(schema: object) -> Iterator[Mapping[str, object]]:
    if isinstance(schema, Mapping):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_what_may_be_left_out_may_be_null_or_missing() -> None:
    for arguments in ('{"path": "a"}', '{"path": "a", "start": null, "end": null}'):
        assert read(ToolCall("1", "read", arguments), WORK, Finish) == Read(path="a")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("reed", "{}", snapshot("There is no tool `reed` here. There are: shell, read, search, edit, write, finish.")),
        ("plan", "{}", snapshot("There is no tool `plan` here. There are: shell, read, search, edit, write, finish.")),
        (
            "shell",
            '{"command": "ls',
            snapshot(
                "The arguments are no valid JSON: EOF while parsing a string at line 1 column 15. "
                "`shell` takes `command`, `timeout_s` (or null)."
            ),
        ),
        ("shell", "", snapshot("`command` is missing. `shell` takes `command`, `timeout_s` (or null).")),
        (
            "shell",
            "[]",
            snapshot("The arguments: Input should be an object. `shell` takes `command`, `timeout_s` (or null)."),
        ),
        (
            "edit",
            '{"file": "a", "path": "a", "old": 1}',
            snapshot(
                "`old`: Input should be a valid string. `new` is missing. `file` is not known. "
                "`edit` takes `path`, `old`, `new`, `replace_all` (or null)."
            ),
        ),
        (
            "read",
            '{"path": "a\\u0000b"}',
            snapshot("`path`: must not contain NUL. `read` takes `path`, `start` (or null), `end` (or null)."),
        ),
        (
            "finish",
            '{"summary": " "}',
            snapshot(
                "`summary`: must have 1 to 4000 characters, has 0. `finish` takes `summary`, `answers` (or null)."
            ),
        ),
    ],
)
def test_a_call_that_cannot_be_read_is_explained(name: str, arguments: str, said: str) -> None:
    assert misread(name, arguments) == said


def test_a_plan_of_too_many_steps_is_explained() -> None:
    steps = [{"title": "a", "files": [], "check": ""}] * 13
    written = ToolCall("1", "plan", json.dumps({"title": "t", "summary": "s", "steps": steps}))
    with pytest.raises(InvalidToolCall, match="`steps`: are 13; at most 12 are possible"):
        read(written, (Read,), Propose)


def test_a_title_is_one_line() -> None:
    written = ToolCall("1", "plan", json.dumps({"title": " a\n b ", "summary": "s", "steps": []}))
    made = read(written, (Read,), Propose)
    assert isinstance(made, Propose)
    assert made.title == "a b"


@given(st.sampled_from(["shell", "read", "search", "edit", "write", "finish"]), st.text())
def test_no_arguments_bring_the_reader_down(name: str, arguments: str) -> None:
    assert misread(name, arguments)


def test_every_object_of_the_schemas_is_closed_and_requires_every_key() -> None:
    for spec in specs((*WORK, Propose, Finish)):
        for schema in objects(spec.parameters):
            assert schema["additionalProperties"] is False
            properties = schema["properties"]
            assert isinstance(properties, Mapping)
            assert schema["required"] == list(properties)


def test_the_schemas_use_only_what_every_server_takes() -> None:
    written = json.dumps([spec.parameters for spec in specs((*WORK, Propose, Finish))])
    for keyword in ("$ref", "$defs", '"default"', "minLength", "maxItems"):
        assert keyword not in written


def test_the_tools_as_the_model_sees_them() -> None:
    said = {spec.name: (spec.description, spec.parameters) for spec in specs((Read, Edit, Propose))}
    assert said == snapshot(
        {
            "read": (
                "Read a file, with line numbers, or list a folder.",
                {
                    "type": "object",
                    "properties": {
                        "path": {
                            "description": "Relative to the repository's root; `.` lists the root.",
                            "type": "string",
                        },
                        "start": {
                            "anyOf": [{"type": "integer"}, {"type": "null"}],
                            "description": "First line, from 1; null is 1.",
                        },
                        "end": {
                            "anyOf": [{"type": "integer"}, {"type": "null"}],
                            "description": "Last line, included; null reads on to the end.",
                        },
                    },
                    "required": ["path", "start", "end"],
                    "additionalProperties": False,
                },
            ),
            "edit": (
                "Replace a passage of a file. The answer tells of new syntax faults.",
                {
                    "type": "object",
                    "properties": {
                        "path": {"description": "Relative to the repository's root.", "type": "string"},
                        "old": {
                            "description": "The passage as it stands in the file, white space and all, "
                            "without line numbers; so much of it that it is there exactly once.",
                            "type": "string",
                        },
                        "new": {"description": "What stands there afterwards.", "type": "string"},
                        "replace_all": {
                            "anyOf": [{"type": "boolean"}, {"type": "null"}],
                            "description": "true replaces every occurrence.",
                        },
                    },
                    "required": ["path", "old", "new", "replace_all"],
                    "additionalProperties": False,
                },
            ),
            "plan": (
                "Hand in the plan. Call it once, when you have read enough.",
                {
                    "type": "object",
                    "properties": {
                        "title": {"description": "The pull request's title, at most 120 characters.", "type": "string"},
                        "summary": {
                            "description": "The pull request's opening; or why there is nothing to do.",
                            "type": "string",
                        },
                        "steps": {
                            "description": "At most 12, in order; none when there is nothing to do.",
                            "items": {
                                "additionalProperties": False,
                                "properties": {
                                    "title": {
                                        "description": "Imperative, at most 120 characters: the commit's subject.",
                                        "type": "string",
                                    },
                                    "files": {
                                        "description": "Paths it expects to touch.",
                                        "items": {"type": "string"},
                                        "type": "array",
                                    },
                                    "check": {
                                        "description": "A command or a sentence: how to see that the step is right.",
                                        "type": "string",
                                    },
                                },
                                "required": ["title", "files", "check"],
                                "type": "object",
                            },
                            "type": "array",
                        },
                        "answers": {
                            "anyOf": [
                                {
                                    "items": {
                                        "additionalProperties": False,
                                        "properties": {
                                            "remark": {"description": "The remark's number.", "type": "integer"},
                                            "step": {
                                                "anyOf": [{"type": "integer"}, {"type": "null"}],
                                                "description": "The step that settles it, from 1; null when none does.",
                                            },
                                            "words": {
                                                "description": "To who made it: what is done, or why nothing is.",
                                                "type": "string",
                                            },
                                        },
                                        "required": ["remark", "step", "words"],
                                        "type": "object",
                                    },
                                    "type": "array",
                                },
                                {"type": "null"},
                            ],
                            "description": "One for each `<remark>`; null when there is none.",
                        },
                    },
                    "required": ["title", "summary", "steps", "answers"],
                    "additionalProperties": False,
                },
            ),
        }
    )


def test_a_headline_is_short() -> None:
    made = [
        Shell(command="pytest -q\n"),
        Read(path="a.py"),
        Read(path="a.py", start=3),
        Search(pattern="a+", path="src", glob="*.py"),
        Edit(path="a.py", old="a", new="b"),
        Write(path="b.py", content=""),
        Shell(command="x" * 500),
    ]
    assert [call.headline[:40] for call in made] == snapshot(
        [
            "$ pytest -q",
            "read a.py",
            "read a.py:3-",
            "search 'a+' in src/*.py",
            "edit a.py",
            "write b.py",
            "$ xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ]
    )
