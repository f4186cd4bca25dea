"""Our own secrets are found in pieces that somebody cut out of them, and nothing that is public is taken for one."""

import base64
import json
import random
import string
import time
from collections.abc import Callable
from typing import Final

import pytest
from pydantic import SecretStr

from app.core.safety.redact import MASK, Redactor

_CHANCE: Final = random.Random(11)


def _made(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(_CHANCE.choices(alphabet, k=count))


_BASE64: Final = string.ascii_letters + string.digits + "+/"
_PEM_START: Final = "MIIEpAIBAAKCAQEA"
_PKCS8_START: Final = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
_EXPONENT: Final = "AgMBAAECggEBA"


def _key(start: str = _PEM_START) -> str:
    """As long as an RSA key of 2048 bits, with what all of them have at its place."""
    body = start + _made(360 - len(start), _BASE64) + _EXPONENT + _made(1_230, _BASE64)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"])


_JWT_HEAD: Final = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2dpdGh1Yi5jb20iLCJhdWQiOiJ2aWJlIn0"
_OWN: Final = {
    "model's key": f"sk-proj-{_made(48, string.ascii_letters + string.digits + '-_')}",
    "E2B key": f"e2b_{_made(40, '0123456789abcdef')}",
    "webhook secret": _made(40, "0123456789abcdef"),
    "24 characters": "Zk9-qL2_wX7cV4bN8mR1tY5u",
    "passphrase": "correct horse battery staple",
    "installation token": f"ghs_1234567_{_JWT_HEAD}.{_made(86, string.ascii_letters + string.digits + '-_')}",
    "App's key": _key(),
}
_WAYS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "reversed": lambda value: value[::-1],
    "hexadecimal": lambda value: value.encode().hex(),
    "escapes": lambda value: "".join(f"\\u{ord(char):04x}" for char in value),
    "bytes": lambda value: "".join(f"\\x{ord(char):02x}" for char in value),
    "0x": lambda value: ", ".join(f"0x{ord(char):02x}" for char in value),
    "numbers": lambda value: str(list(value.encode())),
    "percent": lambda value: "".join(f"%{ord(char):02X}" for char in value),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64, reversed": lambda value: base64.b64encode(value.encode()).decode()[::-1],
    "base32": lambda value: base64.b32encode(value.encode()).decode(),
    "JSON": json.dumps,
    "over lines": lambda value: "\n".join(value[at : at + 7] for at in range(0, len(value), 7)),
    "pieces": "' + '".join,
}


def _middles(value: str) -> list[str]:
    """What is left when a fifth is cut off: at both ends, and at the start, by one character more each time."""
    kept = len(value) * 4 // 5
    first = (len(value) - kept) // 2
    return [value[start : start + kept] for start in range(first, first + min(6, first))]


@pytest.mark.parametrize("way", _WAYS.values(), ids=_WAYS)
@pytest.mark.parametrize("own", _OWN.values(), ids=_OWN)
def test_a_secret_cut_at_its_ends_is_found(own: str, way: Callable[[str], str]) -> None:
    redactor = Redactor([SecretStr(own)])
    for middle in _middles(own):
        text = f"notes\nx: {way(middle)}"
        assert redactor.find_own(text) is not None, middle
        assert MASK in redactor.redact(text), middle


def test_the_ends_alone_are_found_where_they_are_long_enough() -> None:
    redactor = Redactor([SecretStr(_OWN["webhook secret"])])
    assert redactor.find_own(_OWN["webhook secret"][:18]) == 1
    assert redactor.find_own(_OWN["webhook secret"][-18:]) == 1
    assert redactor.redact(f"a {_OWN['webhook secret'][3:30]} b") == f"a {MASK} b"


@pytest.mark.parametrize(
    "text",
    [
        "if text.startswith('-----BEGIN RSA PRIVATE KEY-----'):",
        f"every key of 2048 bits begins with {_PEM_START} and has {_EXPONENT} further on",
        base64.b64encode(f"begins {_PEM_START} and {_EXPONENT} follows".encode()).decode(),
        f"{_PKCS8_START[:48]}",
        _key(),
        _key(_PKCS8_START),
        base64.b64encode(_key().encode()).decode(),
        f"{_JWT_HEAD}.{_made(86)}",
        f"ghs_1234567_{_JWT_HEAD}.{_made(86)}",
        "ghs_1234567_eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9",
        "sk-proj-0123456789abcdef0123456789",
        "The app id is 1234567.",
        "the correct horse of the battery, the staple",
        "webhook-secret-of-the-github-app",
        " ".join(f"\\u{number:04x}" for number in range(32, 400)),
        str(list(range(256))),
        bytes(range(256)).hex(),
        base64.b64encode(bytes(range(256))).decode(),
        string.ascii_letters + string.digits,
    ],
)
def test_what_is_public_is_no_secret_of_ours(text: str) -> None:
    worded = SecretStr("github-webhook-secret-of-the-github-app-at-acme")
    counted = SecretStr("0123456789abcdef-and-more-0123456789abcdef")
    redactor = Redactor([*map(SecretStr, _OWN.values()), SecretStr(_key(_PKCS8_START)), worded, counted])
    assert redactor.find_own(text) is None


def test_a_key_in_one_line_is_found_as_one_of_many_is() -> None:
    key = _key()
    redactor = Redactor([SecretStr(key.replace("\n", "\\n"))])
    assert redactor.find_own("-----BEGIN RSA PRIVATE KEY-----") is None
    assert redactor.find_own(key.splitlines()[7]) == 1
    assert redactor.find_own(key[400:900]) is not None  # where its first 16 characters with a digit begin


def test_the_search_takes_linear_time_on_hostile_text() -> None:
    own = _OWN["webhook secret"]
    redactor = Redactor(map(SecretStr, _OWN.values()))
    escaped = "".join(f"\\u{ord(char):04x}" for char in own[:9])
    for part in (own[:15] + " x ", own[:8], escaped + "x", "a", "0x30"):
        text = (part * 500_000)[:500_000]
        began = time.thread_time()
        assert redactor.find_own(text) is None
        assert time.thread_time() - began < 1.0, part
