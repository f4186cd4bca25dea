import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.safety import escape
from app.core.safety.redact import MASK, Redactor
from tests.text.github import alive


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


_OWN = "Zk9-qL2_wX7cV4bN8mR1tY5u"
_FORMS = {
    "as it is": _OWN,
    "reversed": _OWN[::-1],
    "hexadecimal": _OWN.encode().hex(),
    "hexadecimal in capitals, spaced": _OWN.encode().hex(" ").upper(),
    "base64": base64.b64encode(_OWN.encode()).decode(),
    "base64 one byte on": base64.b64encode(b"x" + _OWN.encode() + b"yz").decode(),
    "base64 two bytes on": base64.b64encode(b"xy" + _OWN.encode() + b"z").decode(),
    "base64 for addresses": base64.urlsafe_b64encode(b'{"key": "' + _OWN.encode()).decode(),
    "base64 in lines": base64.encodebytes(
        b"a long prefix of more than a line, so that it wraps " + _OWN.encode()
    ).decode(),
    "percent": "".join(f"%{ord(char):02X}" for char in _OWN),
    "JSON escapes": "".join(f"\\u{ord(char):04x}" for char in _OWN),
    "C escapes": "".join(f"\\x{ord(char):02x}" for char in _OWN),
    "list of numbers": str(list(_OWN.encode())),
    "capitals": _OWN.upper(),
    "over lines": "\n".join(_OWN[at : at + 5] for at in range(0, len(_OWN), 5)),
    "pieces": '" + "'.join(_OWN),
    "base64 in pieces": '"\n    "'.join(base64.b64encode(_OWN.encode()).decode()),
}


@pytest.mark.parametrize("form", _FORMS.values(), ids=_FORMS)
def test_our_own_secrets_are_masked_in_every_encoding(form: str) -> None:
    redactor = Redactor([SecretStr(_OWN)])
    masked = redactor.redact(f"before {form} after")
    left = masked.removeprefix("before ").removesuffix(" after").replace(MASK, "")
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert len(left) < 80, left
    assert redactor.find_own(f"a\nb {form}") == 2


def test_a_key_of_many_lines_is_found_in_base64() -> None:
    body = [hashlib.sha384(bytes([number])).hexdigest()[:64] for number in range(25)]
    key = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *body, "-----END RSA PRIVATE KEY-----"])
    redactor = Redactor([SecretStr(key)])
    assert redactor.find_own(base64.b64encode(key.encode()).decode()) == 1
    assert redactor.find_own(body[3]) == 1


def test_ordinary_text_holds_no_secret_of_ours() -> None:
    redactor = Redactor([SecretStr("not-needed"), SecretStr(_OWN)])
    assert redactor.find_own("pip install flask  # not-needed\n" * 1_000) is None


def test_ordinary_code_is_left_alone() -> None:
    text = "sha 0123456789abcdef0123456789abcdef01234567, https://example.com/a:b, sk-learn, user@example.com"
    assert Redactor().redact(text) == text


@given(st.text(max_size=300))
def test_masking_twice_is_masking_once(text: str) -> None:
    redactor = Redactor([SecretStr("hunter22hunter22")])
    once = redactor.redact(text)
    assert redactor.redact(once) == once


TOKEN = "gh\u200bp_" + "c3D4" * 9
"""As a token of GitHub's once what nobody sees is taken out."""


@pytest.mark.parametrize(
    "text",
    [
        f"!{TOKEN}(//evil.example/x.png)",
        f"See {TOKEN}(//evil.example/x).",
        f"{TOKEN}: //evil.example\n\n[redacted]",
        "BEGIN`-----BE\u200bGIN PRIVATE KEY-----` and `-----END PRIVATE KEY----- @octocat #7`",
        "-----BE\u200bGIN PRIVATE KEY----- and `-----END PRIVATE KEY----- @octocat #7`",
        "-----BE\u200bGIN PRIVATE KEY-----\n```\n-----END PRIVATE KEY-----\n@octocat\n```",
    ],
)
def test_masking_what_is_ready_to_be_sent_brings_nothing_alive(text: str) -> None:
    for shown in (escape.block(text), escape.inline(text)):
        masked = Redactor().redact_markdown(shown)
        assert "c3D4c3D4" not in masked
        assert alive(masked) == []


@given(st.lists(st.sampled_from(["a", " ", "`", "\n", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"])))
def test_a_text_grows_by_masks_only(parts: list[str]) -> None:
    text = "".join(parts)
    assert len(Redactor().redact_markdown(text)) <= len(text) + 10
