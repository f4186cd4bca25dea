import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.redact import MASK, Redactor, find_secret


def test_known_values_are_masked_wherever_they_stand() -> None:
    redactor = Redactor([SecretStr("correct horse"), SecretStr("")])
    assert redactor.redact("it is correct horse, correct horse!") == f"it is {MASK}, {MASK}!"


def test_every_line_of_a_key_is_masked() -> None:
    redactor = Redactor([SecretStr("-----BEGIN-----\nabcdefghijkl\n-----END-----")])
    assert "abcdefghijkl" not in redactor.redact("debug: abcdefghijkl")


def test_short_values_stay_for_they_stand_in_ordinary_words() -> None:
    assert Redactor([SecretStr("the")]).redact("the thing") == "the thing"


@pytest.mark.parametrize(
    "secret",
    [
        "ghs_" + "b" * 36,
        "ghp_" + "b" * 40,
        "sk-ant-" + "c" * 40,
        "e2b_" + "0a" * 20,
        "xoxb-1234567890-abc",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----",
    ],
)
def test_known_shapes_are_masked(secret: str) -> None:
    assert Redactor().redact(f"token={secret} end") == f"token={MASK} end"
    assert find_secret(secret.splitlines()[0]) is not None


def test_ordinary_code_is_left_alone() -> None:
    text = "sha 0123456789abcdef0123456789abcdef01234567, https://example.com/a:b, sk-learn, user@example.com"
    assert Redactor().redact(text) == text


@given(st.text(max_size=300))
def test_masking_twice_is_masking_once(text: str) -> None:
    redactor = Redactor([SecretStr("hunter22hunter22")])
    once = redactor.redact(text)
    assert redactor.redact(once) == once
