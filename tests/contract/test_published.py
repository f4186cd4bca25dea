"""What is held against GitHub's published description is found out when it does not agree."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import published
from tests.payloads import NAMES, payload
from tests.published import Exchange, faults, graphql_faults, payload_faults

SAID = {"accept": "application/vnd.github+json", "user-agent": "x", "x-github-api-version": "2022-11-28"}
REACTION = {
    "id": 1,
    "node_id": "REA_1",
    "user": None,
    "content": "eyes",
    "created_at": "2026-01-01T00:00:00Z",
}
GOOD = Exchange(
    "POST",
    "/repos/acme/greeter/issues/1/reactions",
    {},
    b'{"content": "eyes"}',
    201,
    json.dumps(REACTION).encode(),
    SAID,
    {"content-type": "application/json"},
)


def test_an_exchange_as_published_has_no_faults() -> None:
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "/repos/acme/greeter/issues/1/emoji"}, "describes no"),
        ({"request_headers": {**SAID, "user-agent": ""}}, "user-agent"),
        ({"query": {"page": "1"}}, "page is not described"),
        ({"body": b'{"content": "wave"}'}, "content"),
        ({"body": b"{}"}, "content"),
        ({"body": b'{"content": "eyes", "marker": "m"}'}, "marker is not described"),
        ({"status": 204, "answer": b""}, "status is not one of"),
        ({"headers": {"content-type": "text/html"}}, "not JSON"),
        ({"answer": json.dumps({**REACTION, "created_at": "today"}).encode()}, "date-time"),
        ({"answer": json.dumps({**REACTION, "user": {}}).encode()}, "required"),
        ({"answer": json.dumps({"id": 1}).encode()}, "required"),
        ({"status": 422, "answer": b"[]"}, "answer"),
    ],
)
def test_what_is_not_as_published_is_a_fault(changes: dict[str, Any], words: str) -> None:
    assert words in " ".join(faults(replace(GOOD, **changes)))


def test_a_renamed_repository_answers_under_its_number() -> None:
    assert faults(replace(GOOD, path="/repositories/5/issues/1/reactions")) == []


QUERY = "mutation ($i: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $i) { commit { oid url } } }"
COMMIT = {"oid": "a" * 40, "url": "https://github.com/x"}


@pytest.mark.parametrize(
    ("query", "commit", "words"),
    [
        (QUERY, COMMIT, ""),
        (QUERY.replace("oid", "sha"), COMMIT, "Cannot query field 'sha'"),
        (QUERY.replace("BranchInput!", "BranchInput"), COMMIT, "expecting type"),
        (QUERY, {**COMMIT, "oid": None}, "non-nullable"),
        (QUERY, {**COMMIT, "message": "x"}, "not asked for"),
    ],
)
def test_graphql_is_held_against_the_published_schema(query: str, commit: dict[str, Any], words: str) -> None:
    given = {
        "branch": {"repositoryNameWithOwner": "o/n", "branchName": "b"},
        "expectedHeadOid": "b" * 40,
        "message": {"headline": "h"},
    }
    found = graphql_faults(
        {"query": query, "variables": {"i": given}}, {"data": {"createCommitOnBranch": {"commit": commit}}}
    )
    assert (words in " ".join(found)) if words else found == []


@pytest.mark.parametrize("name", NAMES)
def test_the_short_payloads_of_other_tests_hold_nothing_that_is_not_as_published(name: str) -> None:
    found = payload_faults(name.partition(".")[0], json.loads(payload(name)))
    assert [fault for fault in found if not fault.endswith("is a required property")] == []


def test_a_payload_that_is_not_as_published_is_a_fault() -> None:
    assert "required" in " ".join(payload_faults("issues", json.loads(payload("issues.labeled", {"issue": {}}))))
    assert "not described" in " ".join(payload_faults("issues", {"action": "painted"}))


def test_what_is_published_is_small_and_says_where_it_is_from() -> None:
    folder = Path(published.__file__).parent
    assert sum(path.stat().st_size for path in folder.glob("*.*")) < 1_000_000
    assert "MIT" in (folder / "LICENSE").read_text("utf-8")
