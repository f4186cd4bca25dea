"""Only what is signed with our secret gets in."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.errors import UserError
from app.core.inbound.delivery import BadSignature, Delivery, SignatureVerifier, signing_keys

SECRET = SecretStr("It's a Secret to Everybody")
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""GitHub's own example: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""


def verify(body: bytes, signature: str | None, secrets: list[SecretStr]) -> None:
    seal = SignatureVerifier(secrets)
    seal.add(body)
    seal.check(signature)


def test_githubs_own_example_is_accepted() -> None:
    verify(BODY, SIGNATURE, [SECRET])


def test_both_secrets_are_good_while_the_secret_is_being_changed() -> None:
    verify(BODY, SIGNATURE, [SecretStr("new"), SECRET])
    verify(BODY, SIGNATURE, [SECRET, SecretStr("new")])


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        SIGNATURE[:-1],
        SIGNATURE + "0",
        SIGNATURE + "\n",
        " " + SIGNATURE,
        SIGNATURE.removeprefix("sha256="),
        SIGNATURE.replace("sha256", "sha1"),
        SIGNATURE.replace("sha256", "SHA256"),
        SIGNATURE.replace("7", "8", 1),
        "sha256=" + "0" * 64,
        "sha256=" + "é" * 64,
        "sha256=" + "\u0660" * 64,
        "sha256=" + "z" * 64,
        "sha256=" + "\udcff" * 64,
    ],
)
def test_a_missing_malformed_or_wrong_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(BadSignature):
        verify(BODY, signature, [SECRET])


@settings(deadline=None)
@given(st.text())
def test_no_text_is_a_signature_by_accident(signature: str) -> None:
    with pytest.raises(BadSignature):
        verify(BODY, signature, [SECRET])


def test_another_body_is_refused() -> None:
    with pytest.raises(BadSignature):
        verify(BODY + b" ", SIGNATURE, [SECRET])


@given(st.integers(0, len(BODY)), st.integers(0, len(BODY)))
def test_a_seal_is_the_same_however_the_body_comes_in_parts(first: int, second: int) -> None:
    seal = SignatureVerifier([SecretStr("other"), SECRET])
    start, end = sorted((first, second))
    for part in (BODY[:start], BODY[start:end], b"", BODY[end:]):
        seal.add(part)
    seal.check(SIGNATURE)


def test_sha1_is_not_enough() -> None:
    signature = hmac.new(SECRET.get_secret_value().encode(), BODY, hashlib.sha1).hexdigest()
    for claim in (f"sha1={signature}", f"sha256={signature}", signature):
        with pytest.raises(BadSignature):
            verify(BODY, claim, [SECRET])


def test_bytes_that_are_no_text_can_be_signed() -> None:
    body = b"\xff\xfe\x00"
    verify(body, "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest(), [SecretStr("s")])


@pytest.mark.parametrize("secrets", [[], [""], ["  "], ["good", ""], ["\n", "good"]])
def test_an_empty_secret_is_refused(secrets: list[str]) -> None:
    """An HMAC with an empty key is one that anybody can make."""
    forged = "sha256=" + hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    with pytest.raises(UserError):
        signing_keys([SecretStr(secret) for secret in secrets])
    with pytest.raises(UserError):
        verify(BODY, forged, [SecretStr(secret) for secret in secrets])


def test_a_refusal_does_not_say_the_secret_or_the_signature() -> None:
    with pytest.raises(BadSignature) as caught:
        verify(BODY, SIGNATURE, [SecretStr("hunter2")])
    assert "hunter2" not in str(caught.value)
    assert SIGNATURE not in str(caught.value)


def test_a_delivery_shows_no_body() -> None:
    assert "private words" not in repr(Delivery("1", "issues", b"private words"))
