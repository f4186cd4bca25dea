"""Deliveries without what GitHub's published schemas make optional: taken, or ignored with a reason, never refused."""

import json
from typing import Final

import pytest
from starlette.testclient import TestClient

from tests.payloads import NAMES, headers
from tests.payloads.optional import OPTIONAL, reduced
from tests.web.test_webhook import MemoryQueue, app

OURS: Final = [name for name in NAMES if name.partition(".")[0] in OPTIONAL]
ANSWERS: Final = {"job", "ignored", "told", "pong"}


@pytest.mark.parametrize("name", OURS)
def test_a_delivery_without_optional_fields_is_never_refused(name: str) -> None:
    refused = []
    with TestClient(app(MemoryQueue(), jobs_per_minute=100_000)) as github:
        for what, document in reduced(name):
            body = json.dumps(document).encode()
            response = github.post("/webhook", content=body, headers=headers(name.partition(".")[0], body))
            if response.status_code not in {200, 202} or not ANSWERS & response.json().keys():
                refused.append(f"{what}: {response.status_code} {response.text}")
    assert refused == []


def test_every_event_that_is_handled_has_its_optional_fields_listed() -> None:
    listed = {name.partition(".")[0] for name in OURS}
    assert listed == {name.partition(".")[0] for name in NAMES} - {"push"}
