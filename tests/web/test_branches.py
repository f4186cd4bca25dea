"""Does a branch exist, at which sha?"""

from dataclasses import replace

import pytest

from app.web.api.openapi import SCHEMAS
from tests.web.sample import ended
from tests.web.site import OPERATOR, Site, bearer
from tests.web.test_runs import faults

AT = "/api/repos/acme/greeter/branches/"
RUNS = "vibecode/12-the-greeting-has-a-typo"


@pytest.mark.parametrize(("branch", "sha"), [("feature/x", "5f" * 20), ("feature%2Fx", "5f" * 20), ("nope", None)])
async def test_github_is_asked_in_the_users_own_name(branch: str, sha: str | None) -> None:
    answer = await Site().ask(AT + branch, bearer("writer"))
    assert answer.status_code == 200
    assert (answer.json()["exists"], answer.json()["sha"]) == (sha is not None, sha)
    assert answer.json()["source"] == "github"
    assert faults(answer.json(), SCHEMAS["Branch"]) == []


async def test_the_operator_is_told_what_runs_know() -> None:
    site = Site()
    await site.has(replace(ended(), head_sha="5f" * 20))
    answer = await site.read(f"{AT}{RUNS}")
    assert (answer.json()["exists"], answer.json()["sha"], answer.json()["source"]) == (True, "5f" * 20, "runs")
    unknown = await site.read(f"{AT}main")
    assert unknown.status_code == 501
    assert "Use a GitHub user's token to query GitHub." in unknown.json()["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("feature/x", {}, 401),
        ("feature/x", bearer("forged"), 401),
        ("feature/x", bearer("reader"), 403),
        ("feature/x", bearer("stranger"), 404),
        ("a..b", bearer("writer"), 400),
        ("a..b", OPERATOR, 400),
    ],
)
async def test_who_may_not_look_is_told_so(path: str, headers: dict[str, str], expected: int) -> None:
    answer = await Site().ask(AT + path, headers)
    assert (answer.status_code, answer.headers["content-type"]) == (expected, "application/problem+json")
