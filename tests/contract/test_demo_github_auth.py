"""Who may what at the embedded GitHub."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO, app_jwt, client, mint

github = demo_github.github
api = demo_github.api


async def _app(github: DemoGitHub, **claims: object) -> httpx.Response:
    async with client(github, app_jwt(github, **claims), path="") as api:
        return await api.get("/app")


async def test_the_app_is_known_by_its_signed_token(github: DemoGitHub) -> None:
    assert (await _app(github)).json()["slug"] == "vibecoder"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"iss": "999"}, "Integration not found"),
        ({"exp": timedelta(minutes=15)}, "too far in the future"),
        ({"exp": -timedelta(minutes=1)}, "'Expiration time' claim ('exp') must be"),
        ({"iat": timedelta(minutes=5)}, "'Issued at' claim ('iat') must be"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    github: DemoGitHub, claims: Mapping[str, object], message: str
) -> None:
    now = datetime.now(UTC)
    made = {name: now + value if isinstance(value, timedelta) else value for name, value in claims.items()}
    answer = await _app(github, **made)

    assert answer.status_code == 401
    assert message in answer.json()["message"]


async def test_a_token_signed_by_another_key_is_refused(github: DemoGitHub) -> None:
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    github.private_key_pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

    assert (await _app(github)).status_code == 401


async def test_nobody_is_told_to_authenticate(github: DemoGitHub) -> None:
    async with httpx.AsyncClient(base_url=f"{github.url}/api/v3") as api:
        answer = await api.get(f"/repos/{REPO}")

    assert (answer.status_code, answer.json()["message"]) == (401, "Requires authentication")


async def test_a_token_ends(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    assert (await api.get("/git/ref/heads/main")).status_code == 200

    github.expire_tokens()

    answer = await api.get("/git/ref/heads/main")
    assert (answer.status_code, answer.json()["message"]) == (401, "Bad credentials")


async def test_a_narrow_token_may_only_what_it_was_given(github: DemoGitHub) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")
    token = await mint(github, permissions={"contents": "read"})

    async with client(github, token) as api:
        reads = await api.get("/git/ref/heads/main")
        writes = await api.post("/git/refs", json={"ref": "refs/heads/x", "sha": reads.json()["object"]["sha"]})
        issues = await api.post(f"/issues/{issue.number}/comments", json={"body": "Hello"})

    assert reads.status_code == 200
    for refused in (writes, issues):
        assert (refused.status_code, refused.json()["message"]) == (403, "Resource not accessible by integration")
    assert writes.headers["x-accepted-github-permissions"] == "contents=write"
    assert github.comments(REPO, issue.number) == []


async def test_a_token_for_pull_requests_does_not_reach_issues(github: DemoGitHub) -> None:
    issue = await github.issue(REPO, title="A typo", author="mona")

    async with client(github, await mint(github, permissions={"pull_requests": "write"})) as api:
        assert (await api.get(f"/issues/{issue.number}")).status_code == 403


async def test_a_token_for_one_repository_sees_no_other(github: DemoGitHub) -> None:
    await github.repo("acme/other")
    token = await mint(github, repositories=["greeter"])

    async with client(github, token, path="") as api:
        other = await api.get("/repos/acme/other")
        listed = (await api.get("/installation/repositories")).json()

    assert (other.status_code, other.json()["message"]) == (404, "Not Found")
    assert [repo["full_name"] for repo in listed["repositories"]] == [REPO]


async def test_an_installation_is_one_per_owner(github: DemoGitHub) -> None:
    foreign = await github.repo("umbrella/secret")
    token = await mint(github)

    assert foreign.installation_id != github.world.repos[REPO].installation_id
    async with client(github, token, path="") as api:
        assert (await api.get("/repos/umbrella/secret")).status_code == 404


@pytest.mark.parametrize(
    "narrowed",
    [{"permissions": {"administration": "write"}}, {"permissions": {"checks": "write"}}, {"repositories": ["nope"]}],
)
async def test_a_token_cannot_hold_more_than_the_installation(
    github: DemoGitHub, narrowed: Mapping[str, object]
) -> None:
    installation = github.world.repos[REPO].installation_id

    async with client(github, app_jwt(github), path="") as api:
        answer = await api.post(f"/app/installations/{installation}/access_tokens", json=narrowed)

    assert answer.status_code == 422


async def test_a_token_says_how_long_it_lives(github: DemoGitHub) -> None:
    installation = github.world.repos[REPO].installation_id

    async with client(github, app_jwt(github), path="") as api:
        answer = (await api.post(f"/app/installations/{installation}/access_tokens")).json()

    left = datetime.fromisoformat(answer["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


async def test_a_person_sees_what_their_role_shows(github: DemoGitHub) -> None:
    await github.repo("acme/secret", private=True)
    github.grant("acme/secret", "mona", "write")

    async with client(github, github.user_token("mona"), path="") as mona:
        assert (await mona.get("/user")).json()["login"] == "mona"
        permissions = (await mona.get("/repos/acme/secret")).json()["permissions"]
    async with client(github, github.user_token("eve"), path="") as eve:
        assert (await eve.get("/repos/acme/secret")).status_code == 404
        assert (await eve.get(f"/repos/{REPO}")).json()["permissions"]["push"] is False

    assert permissions == {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True}


@pytest.mark.parametrize(
    ("role", "legacy"),
    [("admin", "admin"), ("maintain", "write"), ("write", "write"), ("triage", "read"), ("read", "read")],
)
async def test_a_role_is_told_with_its_legacy_name(
    github: DemoGitHub, api: httpx.AsyncClient, role: str, legacy: str
) -> None:
    github.grant(REPO, "mona", role)

    found = (await api.get("/collaborators/mona/permission")).json()

    assert (found["role_name"], found["permission"]) == (role, legacy)
    assert found["user"]["id"] == github.user("mona").id


async def test_a_stranger_reads_what_is_public_and_has_no_role_on_what_is_private(github: DemoGitHub) -> None:
    await github.repo("acme/secret", private=True)
    github.user("eve")

    async with client(github, await mint(github), path="/repos/acme") as api:
        public = (await api.get("/greeter/collaborators/eve/permission")).json()
        private = (await api.get("/secret/collaborators/eve/permission")).json()
        unknown = await api.get("/greeter/collaborators/nobody/permission")

    assert (public["role_name"], private["role_name"]) == ("read", "none")
    assert (unknown.status_code, unknown.json()["message"]) == (404, "nobody is not a user")
