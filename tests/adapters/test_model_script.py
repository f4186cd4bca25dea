"""The scripted model is as strict as the strictest server."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from app.core.conversation import UserMessage
from app.demo.model.scripted import ScriptedModel, Seen, Turn, say, tool, turn

SYSTEM = {"role": "system", "content": "You mend."}
USER = {"role": "user", "content": "Mend it."}
CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]}
FIRST = {"role": "tool", "tool_call_id": "c1", "content": ""}
SECOND = {"role": "tool", "tool_call_id": "c2", "content": ""}
TOOL = {"type": "function", "name": "ls", "parameters": {"type": "object", "properties": {}}, "strict": False}
ASK = {"model": "m", "store": False, "input": [USER]}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel() as server:
        yield server


async def post(server: ScriptedModel, path: str, body: object, key: str = "Bearer k") -> httpx.Response:
    async with httpx.AsyncClient(headers={"Authorization": key}) as client:
        return await client.post(server.url + path, json=body)


async def chat(server: ScriptedModel, *messages: object, **more: object) -> httpx.Response:
    return await post(server, "/chat/completions", {"model": "m", "messages": messages, **more})


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([USER, SYSTEM, USER], "comes first"),
        ([SYSTEM], "nothing to answer"),
        ([USER, CALLS, FIRST], "No tool output found"),
        ([USER, CALLS, FIRST, USER], "No tool output found"),
        ([USER, CALLS, SECOND, FIRST], "answers 'c2'"),
        ([USER, CALLS, FIRST, FIRST, SECOND], "answers 'c1'"),
        ([USER, CALLS, FIRST, SECOND, SECOND], "answers 'c2'"),
        ([USER, FIRST], "answers 'c1'"),
        ([{**USER, "name": "me"}], "Extra inputs are not permitted"),
        ([USER, {"role": "assistant"}, USER], "needs content or tool_calls"),
        ([USER, {"role": "assistant", "content": "x", "tool_calls": []}, USER], "at least 1 item"),
        ([{"role": "user", "content": None}], "valid string"),
        ([], "at least 1 item"),
    ],
)
async def test_a_conversation_that_could_not_have_happened_is_refused(
    server: ScriptedModel, messages: list[object], complaint: str
) -> None:
    server.says(say("Mended."))

    answer = await chat(server, *messages)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]
    assert server.complaints[0] == answer.json()["error"]["message"]
    assert server.requests == []


@pytest.mark.parametrize(
    "change",
    [
        {"store": True},
        {"temprature": 1},
        {"input": [{"role": "system", "content": "x"}, USER]},
        {"input": [USER, {"type": "function_call", "call_id": "c", "name": "ls", "arguments": {}}]},
        {"input": [USER, {"type": "function_call_output", "call_id": "c", "output": ""}]},
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "forged"}, USER]},
        {"tools": [{**TOOL, "name": "no spaces"}]},
        {"tools": [{**TOOL, "strict": True}]},
        {"tools": [{**TOOL, "parameters": {"type": "string"}}]},
        {"tools": [TOOL, TOOL]},
        {"max_output_tokens": 1},
        {"prompt_cache_key": "x" * 65},
    ],
)
async def test_a_response_request_beyond_the_schema_is_refused(
    server: ScriptedModel, change: dict[str, object]
) -> None:
    server.says(say("Mended."), say("Mended."))

    assert (await post(server, "/responses", {**ASK, "tools": [TOOL]})).status_code == 200
    assert (await post(server, "/responses", {**ASK, **change})).status_code == 400


@pytest.mark.parametrize("key", ["", "Bearer", "Basic k", "Bearer wrong"])
async def test_a_wrong_key_is_refused(key: str) -> None:
    async with ScriptedModel(key="k") as server:
        assert (await post(server, "/responses", ASK, key)).status_code == 401


async def test_an_unknown_model_is_refused() -> None:
    async with ScriptedModel(name="gpt-x") as server:
        assert (await post(server, "/responses", ASK)).json()["error"]["code"] == "model_not_found"


async def test_an_ended_script_is_a_loud_failure(server: ScriptedModel) -> None:
    server.says(say("Mended."))
    await chat(server, USER)

    answer = await chat(server, USER)

    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "The script has ended, and turn 2 was asked for."
    assert len(server.requests) == 2


async def test_a_function_can_answer(server: ScriptedModel) -> None:
    def answer(seen: Seen) -> Turn:
        return say(f"You said: {seen.conversation[-1]}")

    server.answers(answer)

    message = (await chat(server, SYSTEM, USER)).json()["choices"][0]["message"]

    assert message["content"] == f"You said: {UserMessage('Mend it.')}"


async def test_several_calls_make_one_turn(server: ScriptedModel) -> None:
    server.says(turn(tool("shell", command="ls", name="x"), tool("read", path="a"), text="I look."))

    message = (await chat(server, USER)).json()["choices"][0]["message"]

    assert message["content"] == "I look."
    assert [json.loads(call["function"]["arguments"]) for call in message["tool_calls"]] == [
        {"command": "ls", "name": "x"},
        {"path": "a"},
    ]
