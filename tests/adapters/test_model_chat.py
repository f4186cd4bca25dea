"""Chat Completions in the accents of the servers that speak it."""

import json

import pytest
from inline_snapshot import snapshot
from pydantic import SecretStr

from app.adapters.model.chat import ChatModel, body_of, parse
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
from app.demo.model.scripted import ScriptedModel, say
from tests.adapters.openai_schema import faults_of_completion

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
ASKED: Conversation = (
    Instructions("You mend programs."),
    UserMessage("Mend greet.py."),
    AssistantMessage("", (ToolCall("c1", "ls", '{"a": "."}'), ToolCall("c2", "ls", '{"a": '))),
    ToolResult("c1", "greet.py"),
    ToolResult("c2", "These arguments are no JSON."),
)


def completion(message: dict[str, object], **more: object) -> str:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "model": "qwen3", **more})


def test_a_conversation_is_sent_without_anything_only_openai_knows() -> None:
    body = body_of(ASKED, [ToolSpec("ls", "List.", CLOSED)], "qwen3", for_openai=False)

    assert faults_of_completion(body) == []
    assert body == snapshot(
        {
            "model": "qwen3",
            "messages": [
                {"role": "system", "content": "You mend programs."},
                {"role": "user", "content": "Mend greet.py."},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"a": "."}'}},
                        {"id": "c2", "type": "function", "function": {"name": "ls", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "greet.py"},
                {"role": "tool", "tool_call_id": "c2", "content": "These arguments are no JSON."},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "ls",
                        "description": "List.",
                        "parameters": {
                            "type": "object",
                            "properties": {"a": {"type": "string"}},
                            "required": ["a"],
                            "additionalProperties": False,
                        },
                    },
                }
            ],
        }
    )


def test_openai_itself_is_asked_to_enforce_schemas() -> None:
    body = body_of(ASKED, [ToolSpec("ls", "List.", CLOSED)], "gpt-x", for_openai=True)

    assert faults_of_completion(body) == []
    assert '"strict": true' in json.dumps(body)


async def test_other_servers_get_max_tokens_and_no_cache_key() -> None:
    async with ScriptedModel() as server:
        server.says(say("Mended."))
        async with ChatModel(SecretStr(""), model="qwen3", base_url=server.url, effort="high") as model:
            await model.reply(ASKED, [], max_output_tokens=77, cache_key="acme")

        assert {key: value for key, value in server.requests[0].body.items() if key != "messages"} == {
            "model": "qwen3",
            "max_tokens": 77,
            "reasoning_effort": "high",
        }


def test_arguments_given_as_an_object_become_text() -> None:
    calls = [{"id": "c1", "function": {"name": "ls", "arguments": {"a": "."}}}]

    assert parse(completion({"tool_calls": calls}), {"model": "m"}, 2).answer.tool_calls == (
        ToolCall("c1", "ls", '{"a": "."}'),
    )


def test_arguments_without_a_bottom_go_back_empty() -> None:
    calls = (ToolCall("c1", "ls", "[" * 100_000),)
    body = body_of((AssistantMessage("", calls),), [], "m", for_openai=False)
    assert '"arguments": "{}"' in json.dumps(body)


def test_calls_without_an_id_or_with_the_same_get_one_each() -> None:
    calls = [
        {"function": {"name": "ls", "arguments": None}},
        {"id": "", "function": {"name": "ls"}},
        {"id": "x", "function": {"name": "ls"}},
        {"id": "x", "function": {"name": "ls"}},
    ]

    answer = parse(completion({"content": None, "tool_calls": calls}), {"model": "m"}, 4).answer

    assert [call.id for call in answer.tool_calls] == ["call_4_0", "call_4_1", "x", "call_4_3"]


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": 5}])
def test_missing_usage_is_estimated(usage: dict[str, int] | None) -> None:
    body = {"model": "m", "messages": "x" * 4000}

    assert parse(completion({"content": "Hi."}, usage=usage), body, 1).usage.input_tokens > 1000


def test_usage_with_cached_tokens_is_read() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}}

    assert parse(completion({"content": "Hi."}, usage=usage), {"model": "m"}, 1).usage == Usage(100, 64, 7)


def test_thoughts_beside_the_answer_are_no_part_of_it() -> None:
    message: dict[str, object] = {"content": "Hi.", "reasoning_content": "Greet them.", "reasoning": "x", "audio": None}

    assert parse(completion(message, service_tier=None), {"model": "m"}, 1).answer == AssistantMessage("Hi.")


def test_words_in_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "Hi."}, {"type": "thinking", "thinking": []}, {"type": "text", "text": "Bye."}]

    assert parse(completion({"content": parts}), {"model": "m"}, 1).answer.text == "Hi.\nBye."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (completion({"content": None, "refusal": "I can't."}), r"declined: I can't\."),
        ('{"choices": []}', "no completion"),
        ('{"error": {"message": "Provider returned error", "code": 502}}', "Provider returned error"),
        ('{"choices": [{"message": {}, "finish_reason": "content_filter"}]}', "held the answer back"),
    ],
)
def test_what_is_no_answer_is_an_error(text: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        parse(text, {"model": "m"}, 1)
