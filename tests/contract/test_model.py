"""What holds of every model adapter."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from app.adapters.model.chat import ChatModel
from app.adapters.model.responses import ResponsesModel
from app.core.conversation import (
    AssistantMessage,
    Conversation,
    Instructions,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from app.core.errors import ModelError
from app.core.ports.model import Model
from app.demo.model.scripted import ScriptedModel, Turn, say, tool, turn
from tests.adapters.openai_schema import faults_of_completion, faults_of_response

SHELL = ToolSpec(
    "shell",
    "Run a command.",
    {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    },
)
READ = ToolSpec("read", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
START: Conversation = (Instructions("You mend programs."), UserMessage("Mend greet.py."))
QUICK = {"retry-after-ms": "1"}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel(key="sk-test") as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """The seconds between the tries; nobody waits for them."""
    return []


@pytest.fixture(params=[ResponsesModel, ChatModel], ids=["responses", "chat"])
async def model(request: pytest.FixtureRequest, server: ScriptedModel, waits: list[float]) -> AsyncIterator[Model]:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    key = SecretStr("sk-test")
    async with request.param(key, model="gpt-5-mini", base_url=server.url, timeout_s=10, sleep=sleep) as model:
        yield model


def faults(server: ScriptedModel) -> list[str]:
    """What OpenAI's schema has against the requests the server got."""
    checks = {"responses": faults_of_response, "chat": faults_of_completion}
    return [fault for seen in server.requests for fault in checks[seen.api](seen.body)]


async def test_words_are_answered_with_words(server: ScriptedModel, model: Model) -> None:
    server.says(say("Mended."))

    reply = await model.reply(START, [SHELL])

    assert reply.answer.text == "Mended."
    assert reply.answer.tool_calls == ()
    assert not reply.cut
    assert reply.model == "gpt-5-mini"
    assert server.requests[0].instructions == "You mend programs."
    assert server.requests[0].conversation[1:] == (UserMessage("Mend greet.py."),)
    assert server.requests[0].tools == ("shell",)


async def test_a_long_conversation_keeps_its_order_and_openai_s_schema(server: ScriptedModel, model: Model) -> None:
    server.says(
        turn(tool("shell", command="ls"), tool("read", path="greet.py"), text="I look around."),
        tool("shell", command="pytest -q"),
        say("Mended."),
    )
    conversation: Conversation = START
    while True:
        reply = await model.reply(conversation, [SHELL, READ], max_output_tokens=900, cache_key="acme~greeter~12")
        conversation = (*conversation, reply.answer)
        if not reply.answer.tool_calls:
            break
        conversation += tuple(ToolResult(call.id, f"{call.name} ran") for call in reply.answer.tool_calls)

    assert [
        (call.name, call.arguments) for m in conversation if isinstance(m, AssistantMessage) for call in m.tool_calls
    ] == [
        ("shell", '{"command": "ls"}'),
        ("read", '{"path": "greet.py"}'),
        ("shell", '{"command": "pytest -q"}'),
    ]
    assert server.requests[1].results == ("shell ran", "read ran")
    assert server.requests[2].results == ("shell ran",)
    assert faults(server) == []
    assert not server.complaints


async def test_an_answer_of_another_adapter_is_sent_too(server: ScriptedModel, model: Model) -> None:
    server.says(say("Good."))
    call = ToolCall("call_1", "shell", '{"command": "ls"}')

    await model.reply(
        (*START, AssistantMessage("I look.", (call,)), ToolResult("call_1", ""), UserMessage("Well?")), [SHELL]
    )

    assert server.requests[0].conversation[2:] == (
        AssistantMessage("I look.", (call,)),
        ToolResult("call_1", ""),
        UserMessage("Well?"),
    )
    assert faults(server) == []


async def test_usage_and_price_are_told(server: ScriptedModel, model: Model) -> None:
    server.says(tool("shell", command="ls"), say("Mended." * 100))
    first = await model.reply(START, [SHELL])
    answered = (*START, first.answer, ToolResult(first.answer.tool_calls[0].id, "x" * 4000))

    second = await model.reply(answered, [SHELL])

    assert second.usage.input_tokens > 1000
    assert 0 <= second.usage.cached_tokens < second.usage.input_tokens
    assert second.usage.output_tokens > 100
    assert second.usd is not None
    assert second.usd > 0


async def test_the_price_of_an_unknown_model_is_not_known(server: ScriptedModel, model: Model) -> None:
    server.says(say("Mended."))

    assert (await model.reply(START, [], model="home-grown")).usd is None


async def test_an_answer_cut_at_the_limit_says_so(server: ScriptedModel, model: Model) -> None:
    server.says(Turn("I would", cut=True), say("go on"))

    reply = await model.reply(START, [SHELL])
    assert reply.cut

    await model.reply((*START, reply.answer, UserMessage("Go on.")), [SHELL])
    assert faults(server) == []


@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_what_may_pass_is_tried_again(server: ScriptedModel, model: Model, status: int) -> None:
    server.fails(status, times=3, headers=QUICK)
    server.says(say("Mended."))

    assert (await model.reply(START, [])).answer.text == "Mended."


async def test_a_failure_that_stays_ends_after_four_tries(server: ScriptedModel, model: Model) -> None:
    server.fails(503, times=4, headers=QUICK)
    server.says(say("Too late."))

    with pytest.raises(ModelError, match=r"failed with status 503.*try again later") as caught:
        await model.reply(START, [])
    assert (caught.value.is_passing, caught.value.retry_after_s) == (True, 0.001)
    assert (await model.reply(START, [])).answer.text == "Too late."


async def test_a_dropped_connection_is_tried_again(server: ScriptedModel, model: Model) -> None:
    server.drops()
    server.says(say("Mended."))

    assert (await model.reply(START, [])).answer.text == "Mended."


async def test_a_wait_of_hours_is_not_waited_for(server: ScriptedModel, model: Model) -> None:
    server.fails(429, headers={"retry-after": "7200"}, message="Slow down.")

    with pytest.raises(ModelError, match=r"limits how often.*Slow down\).*few minutes") as caught:
        await model.reply(START, [])
    assert (caught.value.is_passing, caught.value.retry_after_s) == (True, 7_200.0)


@pytest.mark.parametrize(
    ("status", "code", "message", "sentence"),
    [
        (401, "invalid_api_key", "Incorrect API key provided: sk-t**t", "refused the key; check OPENAI_API_KEY"),
        (404, "model_not_found", "The model does not exist", "has no model `gpt-5-mini`"),
        (404, "", "Not Found", "OPENAI_BASE_URL usually ends in /v1"),
        (400, "context_length_exceeded", "Too long", "longer than the model `gpt-5-mini` can read"),
        (400, "", "This model's maximum context length is 8192 tokens", "longer than the model"),
        (429, "insufficient_quota", "You exceeded your current quota", "no credit left"),
        (402, "", "Insufficient Balance", "no credit left"),
        (403, "", "Region not supported", "may not use the model `gpt-5-mini`.*Region not supported"),
        (400, "", "Invalid 'tools[0]'", r"status 400 \(it says: Invalid 'tools\[0\]'\)"),
    ],
)
async def test_a_refusal_says_what_to_do(
    server: ScriptedModel, model: Model, status: int, code: str, message: str, sentence: str
) -> None:
    server.fails(status, code=code, message=message)

    with pytest.raises(ModelError, match=sentence) as caught:
        await model.reply(START, [])
    assert (caught.value.is_passing, caught.value.retry_after_s) == (False, None)


async def test_the_key_is_in_no_message(server: ScriptedModel, model: Model) -> None:
    server.fails(400, message="Bad header 'Bearer sk-test'")

    with pytest.raises(ModelError) as caught:
        await model.reply(START, [])
    assert "sk-test" not in str(caught.value)


async def test_garbage_is_a_model_error(server: ScriptedModel, model: Model) -> None:
    server.garbles()

    with pytest.raises(ModelError, match="does it speak") as caught:
        await model.reply(START, [])
    assert not caught.value.is_passing


async def test_a_connection_that_is_always_dropped_passes(
    server: ScriptedModel, model: Model, waits: list[float]
) -> None:
    server.drops(4)

    with pytest.raises(ModelError, match="no connection") as caught:
        await model.reply(START, [])
    assert caught.value.is_passing
    assert len(waits) == 3
    assert waits == sorted(waits)


async def test_an_empty_answer_is_asked_for_once_more_and_paid_twice(server: ScriptedModel, model: Model) -> None:
    server.says(say(" "), say("Mended."))

    reply = await model.reply(START, [])

    assert reply.answer.text == "Mended."
    assert len(server.requests) == 2
    assert reply.usage.input_tokens == 2 * (len(json.dumps(server.requests[0].body)) // 4)


async def test_two_empty_answers_are_an_error(server: ScriptedModel, model: Model) -> None:
    server.says(say(""), say(""))

    with pytest.raises(ModelError, match="answered nothing, twice") as caught:
        await model.reply(START, [])
    assert not caught.value.is_passing


async def test_a_limit_used_up_in_silence_is_not_asked_for_again(server: ScriptedModel, model: Model) -> None:
    server.says(Turn(cut=True))

    with pytest.raises(ModelError, match="output tokens before it said anything"):
        await model.reply(START, [])
    assert len(server.requests) == 1


async def test_half_a_character_does_not_stop_a_turn(server: ScriptedModel, model: Model) -> None:
    server.says(say("Mended."))

    assert (await model.reply((UserMessage("\ud83d half an emoji"),), [])).answer.text == "Mended."


@pytest.mark.parametrize("kind", [ResponsesModel, ChatModel])
async def test_silence_ends_at_the_time_limit(server: ScriptedModel, kind: type[ResponsesModel | ChatModel]) -> None:
    server.hangs(2)
    async with kind(SecretStr("sk-test"), model="m", base_url=server.url, timeout_s=0.1) as model:
        with pytest.raises(ModelError, match=r"did not answer within 0\.1 s") as caught:
            async with asyncio.timeout(5):
                await model.reply(START, [])
        assert caught.value.is_passing


async def test_a_server_that_is_away_is_named_without_its_password() -> None:
    async def sleep(_: float) -> None:
        return

    async with ChatModel(SecretStr(""), model="m", base_url="http://me:pass@127.0.0.1:9/v1", sleep=sleep) as model:
        with pytest.raises(
            ModelError, match=r"no connection to the model's server at http://127\.0\.0\.1:9/v1"
        ) as caught:
            await model.reply(START, [])
        assert caught.value.is_passing


@pytest.mark.parametrize("when", ["Wed, 21 Oct 2015 07:28:00 GMT", "0", "0.001"])
async def test_the_server_s_own_wait_is_kept_to(
    server: ScriptedModel, model: Model, waits: list[float], when: str
) -> None:
    server.fails(429, times=3, headers={"retry-after": when})
    server.says(say("Mended."))

    assert (await model.reply(START, [])).answer.text == "Mended."
    assert len(waits) == 3
    assert max(waits) <= 0.001


async def test_a_server_that_says_not_to_come_back_is_obeyed(server: ScriptedModel, model: Model) -> None:
    with pytest.raises(ModelError, match="The script has ended, and turn 1 was asked for") as caught:
        await model.reply(START, [])
    assert not caught.value.is_passing
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"temprature": 1},
        {"store": "no"},
        {"input": [{"type": "function_call_output", "call_id": "c"}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "", "nome": "ls"}]},
    ],
)
def test_the_schema_of_these_tests_can_refuse(more: dict[str, object]) -> None:
    assert faults_of_response({"model": "m"}) == []
    assert len(faults_of_response({"model": "m", **more})) == 1
