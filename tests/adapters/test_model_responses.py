"""The Responses API's own ways."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from inline_snapshot import snapshot
from pydantic import SecretStr

from app.adapters.model.responses import ResponsesModel, body_of, parse
from app.core.conversation import (
    AssistantMessage,
    Conversation,
    Instructions,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    UserMessage,
)
from app.core.errors import ModelError
from app.demo.model.scripted import ScriptedModel, say, tool
from tests.adapters.openai_schema import faults_of_response

START: Conversation = (Instructions("You mend programs."), UserMessage("Mend greet.py."))
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
OUTPUT: list[dict[str, object]] = [
    {
        "id": "rs_1",
        "type": "reasoning",
        "status": None,
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "gAAA",
        "content": None,
    },
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": [], "extra": 1}],
        "new_key_of_next_year": True,
    },
    {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": "ls", "arguments": "{}"},
]


def response(output: list[dict[str, object]], **more: object) -> str:
    return json.dumps({"id": "resp_1", "status": "completed", "model": "gpt-x-2026", "output": output, **more})


@pytest.fixture
async def server() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel() as server:
        yield server


def test_output_items_go_back_as_the_input_schema_takes_them() -> None:
    answer = parse(response(OUTPUT), {"model": "m"}).answer

    body = body_of((*START, answer, ToolResult("c1", "greet.py")), [ToolSpec("ls", "List.", CLOSED)], "gpt-x", 1000)

    assert answer == AssistantMessage("I look.", (ToolCall("c1", "ls", "{}"),), answer.raw)
    assert faults_of_response(body) == []
    assert body == snapshot(
        {
            "model": "gpt-x",
            "input": [
                {"type": "message", "role": "user", "content": "Mend greet.py."},
                {
                    "id": "rs_1",
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "Hm."}],
                    "encrypted_content": "gAAA",
                },
                {
                    "id": "msg_1",
                    "status": "completed",
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
                    "phase": "commentary",
                },
                {
                    "id": "fc_1",
                    "type": "function_call",
                    "call_id": "c1",
                    "name": "ls",
                    "arguments": "{}",
                },
                {"type": "function_call_output", "call_id": "c1", "output": "greet.py"},
            ],
            "max_output_tokens": 1000,
            "store": False,
            "instructions": "You mend programs.",
            "tools": [
                {
                    "type": "function",
                    "name": "ls",
                    "description": "List.",
                    "parameters": {
                        "type": "object",
                        "properties": {"a": {"type": "string"}},
                        "required": ["a"],
                        "additionalProperties": False,
                    },
                    "strict": True,
                }
            ],
        }
    )


def test_reasoning_that_only_the_store_could_look_up_is_left_out() -> None:
    items: list[dict[str, object]] = [
        {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": None},
        *OUTPUT[1:],
    ]

    assert "rs_1" not in parse(response(items), {"model": "m"}).answer.raw


def test_reasoning_that_nothing_follows_is_left_out() -> None:
    answer = parse(response([*OUTPUT, OUTPUT[0]], status="incomplete"), {"model": "m"}).answer

    assert [item["type"] for item in json.loads(answer.raw)] == ["reasoning", "message", "function_call"]


def test_usage_with_cached_tokens_is_read() -> None:
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 64}, "output_tokens": 7}

    assert parse(response(OUTPUT, usage=usage), {"model": "m"}).usage == Usage(100, 64, 7)


def test_missing_usage_is_estimated() -> None:
    assert parse(response(OUTPUT, usage=None), {"model": "m", "input": "x" * 4000}).usage.input_tokens > 1000


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": {**CLOSED, "required": []}}}}, False),
    ],
)
def test_a_tool_is_strict_when_its_schema_may_be(schema: dict[str, object], is_strict: bool) -> None:
    body = body_of(START, [ToolSpec("t", "", schema)], "m", 100)

    assert json.loads(json.dumps(body))["tools"][0]["strict"] is is_strict


def test_a_refusal_is_an_error_with_the_model_s_words() -> None:
    items: list[dict[str, object]] = [
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
    ]

    with pytest.raises(ModelError, match=r"declined: I can't\."):
        parse(response(items), {"model": "m"})


@pytest.mark.parametrize(
    ("code", "is_passing"), [("server_error", True), ("rate_limit_exceeded", True), ("invalid_prompt", False)]
)
def test_a_failed_response_is_an_error_with_the_vendor_s_words(code: str, is_passing: bool) -> None:
    failed = response([], status="failed", error={"code": code, "message": "An error occurred"})

    with pytest.raises(ModelError, match="gave up on the answer: An error occurred") as caught:
        parse(failed, {"model": "m"})
    assert caught.value.is_passing is is_passing


async def test_a_model_that_does_not_reason_is_asked_without_reasoning_from_then_on(server: ScriptedModel) -> None:
    server.fails(400, message="Encrypted content is not supported with this model.")
    server.says(tool("ls", a="."), say("Mended."))

    async with ResponsesModel(SecretStr("k"), model="gpt-4o", base_url=server.url) as model:
        first = await model.reply(START, [])
        await model.reply((*START, first.answer, ToolResult(first.answer.tool_calls[0].id, "")), [])

    assert ["include" in seen.body for seen in server.requests] == [False, False]


async def test_effort_and_a_long_cache_key_are_sent_as_openai_takes_them(server: ScriptedModel) -> None:
    server.says(say("Mended."), say("Mended."))

    async with ResponsesModel(SecretStr("k"), model="m", base_url=server.url, effort="low") as model:
        await model.reply(START, [], cache_key="acme~greeter~12")
        await model.reply(START, [], cache_key="x" * 200)

    assert server.requests[0].body["prompt_cache_key"] == "acme~greeter~12"
    assert server.requests[0].body["reasoning"] == {"effort": "low"}
    assert faults_of_response(server.requests[1].body) == []


async def test_reasoning_comes_back_unchanged(server: ScriptedModel) -> None:
    server.says(tool("ls", a="."), say("Mended."))

    async with ResponsesModel(SecretStr("k"), model="m", base_url=server.url) as model:
        answer = (await model.reply(START, [])).answer
        forged = replace(answer, raw=answer.raw.replace("scripted-", "forged-"))
        result = ToolResult(answer.tool_calls[0].id, "")
        with pytest.raises(ModelError, match="could not be verified"):
            await model.reply((*START, forged, result), [])
        assert (await model.reply((*START, answer, result), [])).answer.text == "Mended."
