"""The check of the model: one real turn, in which it has to call a tool."""

import json
import time
from typing import Final

from app import wiring
from app.commands.doctor.finding import Look, Skip, Trouble
from app.core.conversation import Instructions, Reply, ToolSpec, UserMessage
from app.settings import Settings

TOOL: Final = ToolSpec(
    "report",
    "Say that you are ready.",
    {
        "type": "object",
        "properties": {"word": {"type": "string", "description": "The word you were given."}},
        "required": ["word"],
        "additionalProperties": False,
    },
)
WORD: Final = "ready"
_ASKED: Final = (
    Instructions("You answer by calling the one tool that you have, and in no other way."),
    UserMessage(f"Call the tool `report` with the word `{WORD}`."),
)
_MAX_TOKENS: Final = 2_048


def model_check(settings: Settings) -> Look:
    """Take the turn; it costs a fraction of a cent."""

    async def look() -> tuple[str, list[Trouble]]:
        if not settings.openai_api_key.get_secret_value() and not settings.openai_base_url:
            raise Skip("there is no model")
        began = time.monotonic()
        async with wiring.open_model(settings) as model:
            reply = await model.reply(_ASKED, (TOOL,), max_output_tokens=_MAX_TOKENS)
        price = f"${reply.usd:.6f}" if reply.usd is not None else "price not known"
        took = f"{time.monotonic() - began:.1f} s, {reply.usage.total_tokens} tokens, {price}"
        return f"{settings.model} answered: {took}", [*_calls(settings, reply), *_price(settings, reply)]

    return look


def _calls(settings: Settings, reply: Reply) -> list[Trouble]:
    fix = "Use a model that calls tools; on your own server, one with tool calling switched on."
    calls = reply.answer.tool_calls
    if not calls:
        return [Trouble(f"{settings.model} answered in words and called no tool: {reply.answer.text[:80]!r}.", fix)]
    try:
        arguments = json.loads(calls[0].arguments)
    except (ValueError, RecursionError):
        arguments = None
    if calls[0].name != TOOL.name or not isinstance(arguments, dict) or "word" not in arguments:
        return [Trouble(f"{settings.model} called {calls[0].name[:80]!r} with {calls[0].arguments[:80]!r}.", fix)]
    return []


def _price(settings: Settings, reply: Reply) -> list[Trouble]:
    if reply.usd is not None:
        return []
    what = f"The price of {settings.model} is unknown: MAX_USD can't be enforced."
    return [
        Trouble(what, "MAX_TOKENS, MAX_TURNS and MAX_MINUTES hold; set them to what you would pay.", is_warning=True)
    ]
