import json

import pytest

from app.core.run.job import Mode, Source, Verb
from tests.web.site import OPERATOR, Site


async def test_a_request_becomes_a_job() -> None:
    site = Site()
    answer = await site.read(
        "/api/jobs", "POST", json={"repo": "acme/greeter", "request": "Say hello\nto everybody", "base": "dev"}
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/jobs/{answer.json()['id']}"
    assert answer.json()["status"] == "queued"
    run = await site.store.load(await site.queue.take())
    assert run is not None
    job = run.job
    assert (job.source, job.mode, job.installation_id, job.number) == (Source.API, Mode.AUTO, 0, None)
    assert (job.command.verb, job.command.instruction, job.command.base) == (
        Verb.START,
        "Say hello\nto everybody",
        "dev",
    )
    assert (job.title, job.sender.login) == ("Say hello", "operator")
    assert job.id.startswith("acme~greeter~api~")


async def test_a_plan_only_plans() -> None:
    site = Site()
    answer = await site.read("/api/plans", "POST", json={"repo": "acme/greeter", "request": "Say hello"})
    assert (answer.status_code, answer.json()["mode"]) == (202, "plan")
    run = await site.store.load(await site.queue.take())
    assert run is not None
    assert run.job.command.verb is Verb.PLAN


async def _post(site: Site, key: str, path: str = "/api/jobs", **asked: str) -> tuple[int, str]:
    headers = OPERATOR | {"Idempotency-Key": key}
    answer = await site.ask(path, headers, method="POST", json={"repo": "acme/greeter", "request": "Hello"} | asked)
    return answer.status_code, answer.json().get("id", "")


async def test_the_same_key_is_the_same_job() -> None:
    site = Site()
    first, second, other = [await _post(site, key) for key in ("k", "k", "l")]
    assert first == second
    assert first != other
    assert await site.queue.depth() == 2


async def test_three_taps_are_one_job() -> None:
    site = Site()
    asked = {"repo": "acme/greeter", "request": "Say hello"}
    answers = [await site.ask("/api/jobs", OPERATOR, method="POST", json=asked) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await site.queue.depth() == 1


async def test_other_words_another_base_or_a_plan_first_are_other_jobs() -> None:
    site = Site()
    asked = {"repo": "acme/greeter", "request": "Say hello"}
    for path, body in (
        ("/api/jobs", asked),
        ("/api/jobs", asked | {"request": "Say hello\nto everybody"}),
        ("/api/jobs", asked | {"base": "dev"}),
        ("/api/plans", asked),
    ):
        assert (await site.ask(path, OPERATOR, method="POST", json=body)).status_code == 202
    assert await site.queue.depth() == 4


async def test_a_key_used_for_another_request_is_refused() -> None:
    site = Site()
    await _post(site, "k")
    assert (await _post(site, "k", request="Goodbye"))[0] == 422
    assert (await _post(site, "k", path="/api/plans"))[0] == 422
    assert (await _post(site, "k", base="dev"))[0] == 422
    assert await site.queue.depth() == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"repo": "acme/greeter"}',
        b'{"repo": "acme/greeter", "request": "  "}',
        b'{"repo": "acme", "request": "x"}',
        b'{"repo": "../..", "request": "x"}',
        b'{"repo": "acme/..", "request": "x"}',
        b'{"repo": "acme/greeter#1", "request": "x"}',
        b'{"repo": "acme/greeter", "request": 1}',
        b'{"repo": "acme/greeter", "request": "x", "base": "-q"}',
        b'{"repo": "acme/greeter", "request": "x", "base": "a..b"}',
        b'{"repo": "acme/greeter", "request": "x", "base": "a b"}',
        b'{"repo": "acme/greeter", "request": "x", "base": "a.lock"}',
        b'{"repo": "acme/greeter", "request": "x", "base": "a/"}',
        b'{"repo": "acme/greeter", "request": "x", "model": "y"}',
        json.dumps({"repo": "acme/greeter", "request": "x" * 20_001}).encode(),
    ],
)
async def test_a_request_that_cannot_be_read_is_refused_with_the_reason(body: bytes) -> None:
    site = Site()
    answer = await site.read("/api/jobs", "POST", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert len(answer.json()["detail"]) > 10
    assert await site.queue.depth() == 0


@pytest.mark.parametrize("base", ["main", "feature/x-1", "release_2.0", "v1.0+build", "a@b"])
async def test_branches_as_people_name_them_are_taken(base: str) -> None:
    assert (await _post(Site(), "k", base=base))[0] == 202


async def test_a_large_body_is_refused() -> None:
    answer = await Site().read("/api/jobs", "POST", content=b"x" * 70_000)
    assert answer.status_code == 413
