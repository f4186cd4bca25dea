"""What must hold of any conversation and any tool that a model is sent, whichever API carried it.

Every call of a turn is answered exactly once, in the order of the calls, before anything else is said.
"""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from app.core.conversation import AssistantMessage, Conversation, Instructions, ToolResult
from app.demo.model.openai_api import BadRequest, ChatRequest, FunctionSpec, FunctionTool, ResponsesRequest


def check_sequence(conversation: Conversation) -> None:
    """Raise `BadRequest` unless the messages are in an order that could have happened."""
    open_calls: list[str] = []
    for index, message in enumerate(conversation):
        if isinstance(message, ToolResult):
            if not open_calls or open_calls[0] != message.call_id:
                raise BadRequest(f"Message {index} answers '{message.call_id}', but the open calls are {open_calls}.")
            open_calls.pop(0)
            continue
        if open_calls:
            raise BadRequest(f"No tool output found for the calls {open_calls} before message {index}.")
        if isinstance(message, Instructions) and index > 0:
            raise BadRequest("There is one system message, and it comes first.", f"messages.{index}")
        if isinstance(message, AssistantMessage):
            open_calls = [call.id for call in message.tool_calls]
    if open_calls:
        raise BadRequest(f"No tool output found for the calls {open_calls}.")
    if isinstance(conversation[-1], AssistantMessage | Instructions):
        raise BadRequest("The conversation ends with nothing to answer.")


def tools_of(request: ResponsesRequest | ChatRequest) -> tuple[str, ...]:
    """The tools' names, their schemas checked."""
    if isinstance(request, ResponsesRequest):
        tools: Sequence[FunctionTool | FunctionSpec] = request.tools
    else:
        tools = [tool.function for tool in request.tools or []]
    for tool in tools:
        _check_schema(tool.name, tool.parameters, is_strict=tool.strict)
    names = tuple(tool.name for tool in tools)
    if len(set(names)) < len(names):
        raise BadRequest(f"Two tools have the same name: {names}.", "tools")
    return names


def _check_schema(tool: str, schema: Mapping[str, JsonValue], *, is_strict: bool) -> None:
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        raise BadRequest(f"Invalid schema for function '{tool}': it must be of type object, with properties.", "tools")
    if is_strict:
        _check_closed(tool, dict(schema))


def _check_closed(tool: str, schema: JsonValue) -> None:
    """What strict mode asks: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas."""
    if isinstance(schema, list):
        for part in schema:
            _check_closed(tool, part)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if isinstance(properties, dict):
        if schema.get("additionalProperties") is not False or not _all_required(schema, properties):
            raise BadRequest(
                f"Invalid schema for function '{tool}': strict needs closed objects, all required.", "tools"
            )
        _check_closed(tool, list(properties.values()))
    for key in ("items", "anyOf", "$defs"):
        _check_closed(tool, schema.get(key))


def _all_required(schema: Mapping[str, JsonValue], properties: Mapping[str, JsonValue]) -> bool:
    required = schema.get("required", [])
    return isinstance(required, list) and set(map(str, required)) == set(properties)
