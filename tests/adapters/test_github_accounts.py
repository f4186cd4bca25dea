"""Who a user token belongs to."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import respx
from pydantic import SecretStr

from app.adapters.github.users import Accounts
from app.core.errors import GitHubError
from app.core.policy.authorization import Role
from app.core.run.job import Person
from tests.adapters.github_world import API, PATH, REPO, refused

TOKEN = SecretStr("ghu_1")
ADA = {"login": "ada", "id": 5, "type": "User"}


@asynccontextmanager
async def accounts() -> AsyncIterator[tuple[Accounts, respx.MockRouter]]:
    asked = Accounts(timeout_s=2.0)
    with respx.mock(base_url=API, assert_all_called=False) as router:
        router.get("/user").respond(json=ADA)
        try:
            yield asked, router
        finally:
            await asked.aclose()


@pytest.mark.parametrize(
    ("answer", "role"),
    [
        ({"permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True}}, Role.ADMIN),
        ({"permissions": {"admin": False, "push": True, "triage": True, "pull": True}}, Role.WRITE),
        ({"permissions": {"admin": False, "push": False, "triage": True, "pull": True}}, Role.TRIAGE),
        ({"permissions": {"pull": True}, "role_name": "read"}, Role.READ),
        ({"permissions": {"push": True}, "role_name": "maintain"}, Role.MAINTAIN),
        ({"permissions": {"push": True, "pull": True}, "role_name": "security-champion"}, Role.WRITE),
        ({}, Role.NONE),
    ],
)
async def test_the_role_is_the_persons_own(answer: dict[str, Any], role: Role) -> None:
    async with accounts() as (asked, router):
        router.get(PATH).respond(json=answer)
        assert await asked.role(TOKEN, REPO) == (Person("ada", 5), role)
        sent = [call.request.headers["authorization"] for call in router.calls]
        assert sent == ["Bearer ghu_1", "Bearer ghu_1"]


async def test_a_repository_that_the_person_cannot_see_gives_no_role() -> None:
    async with accounts() as (asked, router):
        router.get(PATH).respond(404, json={"message": "Not Found"})
        assert await asked.role(TOKEN, REPO) == (Person("ada", 5), Role.NONE)


@pytest.mark.parametrize("repo", ["acme", "acme/../user", "acme/..", "a/b?x=1", "../.."])
async def test_a_name_that_leads_elsewhere_gives_no_role(repo: str) -> None:
    async with accounts() as (asked, router):
        assert await asked.role(TOKEN, repo) == (Person("ada", 5), Role.NONE)
        assert len(router.calls) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_no_persons_is_nobody(status: int) -> None:
    async with accounts() as (asked, router):
        router.get("/user").mock(return_value=refused(status, "Bad credentials"))
        assert await asked.role(TOKEN, REPO) is None


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "\xfcmlaut", "x" * 1001])
async def test_what_cannot_be_a_token_is_not_asked_about(token: str) -> None:
    async with accounts() as (asked, router):
        assert await asked.role(SecretStr(token), REPO) is None
        assert len(router.calls) == 0


async def test_two_tokens_are_two_people() -> None:
    def who(request: httpx.Request) -> httpx.Response:
        name = request.headers["authorization"].removeprefix("Bearer ")
        return httpx.Response(200, json={"login": name, "id": 1})

    async with accounts() as (asked, router):
        router.get("/user").mock(side_effect=who)
        router.get(PATH).respond(json={"permissions": {"pull": True}})
        for name in ("ghu_1", "ghu_2", "ghu_1"):
            assert await asked.role(SecretStr(name), REPO) == (Person(name, 1), Role.READ)


async def test_every_answer_is_githubs_of_now() -> None:
    async with accounts() as (asked, router):
        route = router.get(PATH).respond(json={"permissions": {"admin": True}})
        await asked.role(TOKEN, REPO)
        route.respond(404)
        assert await asked.role(TOKEN, REPO) == (Person("ada", 5), Role.NONE)


@pytest.mark.parametrize("fault", [httpx.Response(500), httpx.ReadTimeout("slow"), httpx.Response(200, text="<html>")])
async def test_a_fault_of_githubs_is_nobodys_fault(fault: httpx.Response | Exception) -> None:
    async with accounts() as (asked, router):
        router.get("/user").mock(side_effect=[fault, httpx.Response(200, json=ADA)])
        router.get(PATH).respond(json={"permissions": {"pull": True}})
        with pytest.raises(GitHubError):
            await asked.role(TOKEN, REPO)
        assert await asked.role(TOKEN, REPO) == (Person("ada", 5), Role.READ)


async def test_a_rate_limit_is_told_with_its_wait() -> None:
    async with accounts() as (asked, router):
        router.get("/user").mock(
            return_value=refused(403, "You have exceeded a secondary rate limit", retry_after="30")
        )
        with pytest.raises(GitHubError) as caught:
            await asked.role(TOKEN, REPO)
        assert (caught.value.status, caught.value.retry_after_s) == (403, 30.0)


def test_the_web_process_pays_for_neither_githubkit_nor_httpx_at_start() -> None:
    code = "import sys, app.adapters.github.users; print({'githubkit', 'httpx', 'jwt'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "set()"
