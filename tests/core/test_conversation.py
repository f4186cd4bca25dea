"""Messages as they are kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.conversation import (
    AssistantMessage,
    Instructions,
    Message,
    ToolCall,
    ToolResult,
    UserMessage,
    decode_message,
    encode_message,
)
from app.core.errors import StoreError

WORDS = st.text(st.characters())  # half surrogate pairs among them
CALLS = st.lists(st.builds(ToolCall, WORDS, WORDS, WORDS), max_size=3).map(tuple)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Instructions, WORDS),
    st.builds(UserMessage, WORDS),
    st.builds(AssistantMessage, WORDS, CALLS, WORDS),
    st.builds(ToolResult, WORDS, WORDS),
)


@settings(deadline=None)
@given(MESSAGES)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_messages_of_equal_fields_keep_their_kinds() -> None:
    assert decode_message(encode_message(UserMessage("Do it."))) != Instructions("Do it.")


def test_half_a_surrogate_pair_survives() -> None:
    assert decode_message(encode_message(AssistantMessage("\ud83d"))) == AssistantMessage("\ud83d")


def test_a_field_that_a_newer_version_wrote_is_passed_over() -> None:
    assert decode_message('{"kind": "said", "text": "Hello.", "mood": "cheerful"}') == UserMessage("Hello.")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        "{}",
        '{"kind": "sung", "text": "la"}',
        '{"kind": [], "text": ""}',
        '{"kind": "said"}',
    ],
)
def test_what_is_no_message_is_an_error(document: str) -> None:
    with pytest.raises(StoreError, match="message cannot be read"):
        decode_message(document)
