"""A delivery is real when it is signed with one of our secrets: a seal over its bytes, made while they arrive.

GitHub signs the raw body (https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries). Nothing is
decoded, parsed or logged before the signature holds. SHA-256 only: GitHub's `X-Hub-Signature` (SHA-1) is not looked at.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import SecretStr

from app.core.errors import UserError, VibecoderError

_SIGNATURE: Final = re.compile(r"sha256=([0-9a-fA-F]{64})")


class BadSignature(VibecoderError):
    """The delivery is not signed, or not with a secret of ours. The text never says which part was wrong."""


class BadDelivery(VibecoderError):
    """A signed delivery that cannot be read. The text names the place, never the value."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook POST, its signature verified.

    `id` is `X-GitHub-Delivery`, which GitHub keeps when it delivers again; `event` is `X-GitHub-Event`.
    """

    id: str
    event: str
    body: bytes = field(repr=False)


def signing_keys(secrets: Sequence[SecretStr]) -> tuple[bytes, ...]:
    """The secrets as HMAC keys. Two are for a rotation: GitHub signs with one while the other is being changed.

    Raises:
        UserError: there is none, or one is blank: whoever knows that would pass for GitHub.
    """
    found = tuple(secret.get_secret_value().encode() for secret in secrets)
    if not found or any(not key.strip() for key in found):
        raise UserError(
            "The webhook secret is empty. Set the same random secret in the App's settings and in this program."
        )
    return found


class SignatureVerifier:
    """The HMAC of a body that comes in parts, under each of the secrets: nothing of the body needs to be held.

    Raises:
        UserError: a secret is empty.
    """

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._macs = tuple(hmac.new(key, digestmod=hashlib.sha256) for key in signing_keys(secrets))

    def add(self, part: bytes) -> None:
        """Add what comes next, as raw bytes."""
        for mac in self._macs:
            mac.update(part)

    def check(self, signature: str | None) -> None:
        """Check `X-Hub-Signature-256` (`sha256=` and 64 hex digits) against all that was added, in constant time.

        Raises:
            BadSignature: absent, malformed or wrong.
        """
        match = _SIGNATURE.fullmatch(signature or "")
        claimed = bytes.fromhex(match[1]) if match else b""
        matches = [hmac.compare_digest(mac.digest(), claimed) for mac in self._macs]
        if not any(matches):
            raise BadSignature("The delivery is not signed with this App's webhook secret.")


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt of GitHub's to deliver, from its own log. Attempts at the same delivery share `guid`.

    https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook. `status_code` is what we answered,
    0 when we did not.
    """

    id: int
    guid: str
    event: str
    action: str
    delivered_at: datetime
    status_code: int
    is_redelivery: bool = False

    @property
    def arrived(self) -> bool:
        return 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of GitHub's log of attempts, newest first. `cursor` asks for the next page; empty on the last."""

    attempts: tuple[DeliveryAttempt, ...]
    cursor: str = ""
