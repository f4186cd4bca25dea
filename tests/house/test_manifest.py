"""The manifest asks for what the code handles, and for nothing else."""

from pathlib import Path
from typing import Final

import yaml

from app.adapters.github.client.tokens import WORK
from app.core.inbound.events import HANDLED

MANIFEST: Final = yaml.safe_load((Path(__file__).parents[2] / "app.yml").read_text())
UNASKED: Final = {"ping", "installation", "installation_repositories"}
"""Every App is told these and cannot subscribe to them:
https://docs.github.com/en/webhooks/webhook-events-and-payloads"""


def test_the_manifest_subscribes_to_the_events_that_are_parsed() -> None:
    assert sorted(MANIFEST["default_events"]) == sorted(HANDLED - UNASKED)


def test_what_comes_unasked_is_handled() -> None:
    assert UNASKED <= HANDLED


def test_the_manifest_asks_for_the_permissions_that_tokens_are_minted_with() -> None:
    assert MANIFEST["default_permissions"] == WORK


def test_the_app_is_private_until_its_owner_says_otherwise() -> None:
    assert MANIFEST["public"] is False
