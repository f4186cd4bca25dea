from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import pytest
from inline_snapshot import snapshot
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Route

from app.core.ports.store import Signal
from app.core.run.run import Run
from app.core.safety.redact import Redactor
from app.web.api.openapi import OPENAPI, SCHEMAS
from app.web.app import WebOptions
from tests.web.sample import ID, at_work, ended, failed, queued
from tests.web.site import OPERATOR, Site

VIEWS = {"": "Job", "/progress": "Progress", "/result": "Result", "/commits": "Commits"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def faults(value: object, schema: Mapping[str, object], at: str = "$") -> list[str]:
    """Where a value is not what a schema of `OPENAPI` says; keys must be exactly the described ones."""
    if "$ref" in schema:
        return faults(value, cast("Mapping[str, object]", SCHEMAS[str(schema["$ref"]).rpartition("/")[2]]), at)
    if "anyOf" in schema:
        found = [faults(value, choice, at) for choice in cast("list[Mapping[str, object]]", schema["anyOf"])]
        return [] if [] in found else found[0]
    kinds: list[str] = schema["type"] if isinstance(schema["type"], list) else [str(schema["type"])]
    if not any(isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool) for kind in kinds):
        return [f"{at}: {value!r} is no {kinds}"]
    if "enum" in schema and value not in cast("list[object]", schema["enum"]):
        return [f"{at}: {value!r} is not listed"]
    if isinstance(value, list):
        item = cast("Mapping[str, object]", schema["items"])
        return [fault for index, one in enumerate(value) for fault in faults(one, item, f"{at}[{index}]")]
    if isinstance(value, dict):
        described = cast("dict[str, Mapping[str, object]]", schema["properties"])
        if set(value) != set(described):
            return [f"{at}: {set(value) ^ set(described)}"]
        return [fault for name, one in value.items() for fault in faults(one, described[name], f"{at}.{name}")]
    return []


@pytest.mark.parametrize("make", [queued, at_work, ended, failed])
@pytest.mark.parametrize(("view", "schema"), VIEWS.items())
async def test_every_view_is_what_its_description_says(make: Callable[[], Run], view: str, schema: str) -> None:
    site = Site()
    await site.has(make())
    answer = await site.read(f"/api/jobs/{ID}{view}")
    assert answer.status_code == 200
    assert faults(answer.json(), SCHEMAS[schema]) == []


async def test_the_list_is_what_its_description_says() -> None:
    site = Site()
    await site.has(ended(), queued("acme~greeter~13~comment~100"))
    assert faults((await site.read("/api/jobs")).json(), SCHEMAS["JobList"]) == []


def test_the_description_names_every_route_of_the_api_and_no_other() -> None:
    app = cast("Starlette", Site().app)
    real = {
        (route.path.replace("{job_id:path}", "{id}").replace(":path", ""), method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    paths = cast("dict[str, dict[str, object]]", OPENAPI["paths"])
    described = {(path, method) for path, methods in paths.items() for method in methods if method != "parameters"}
    assert described == real


async def test_progress_is_small() -> None:
    site = Site()
    await site.has(at_work())
    answer = await site.read(f"/api/jobs/{ID}/progress")
    assert answer.json() == snapshot(
        {
            "status": "in_progress",
            "conclusion": None,
            "stage": "steps",
            "progress_percentage": 53,
            "message": "Step 2 of 3: Test that the greeting is spelled right",
            "needs": None,
            "attempt": 0,
            "updated_at": "2026-11-22T15:03:34.000Z",
            "queue": None,
            "superseded_by": None,
        }
    )
    assert len(answer.content) < 400


async def test_a_run_at_work_has_no_conclusion_in_its_result() -> None:
    site = Site()
    await site.has(at_work())
    result = (await site.read(f"/api/jobs/{ID}/result")).json()
    assert (result["conclusion"], result["pull_request"], len(result["commits"])) == (None, None, 1)


async def test_the_status_document_tells_steps_with_their_commits() -> None:
    site = Site()
    await site.has(at_work())
    steps = (await site.read(f"/api/jobs/{ID}")).json()["plan"]["steps"]
    assert [(step["status"], (step["commit"] or "")[:8]) for step in steps] == [
        ("completed", "5f0c1d2e"),
        ("in_progress", ""),
        ("queued", ""),
    ]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (queued(), ["queued"] * 9),
        (at_work(), ["success"] * 4 + ["in_progress"] + ["queued"] * 4),
        (ended(), ["success"] * 9),
        (failed(), ["success"] * 4 + ["failure"] + ["skipped"] * 4),
    ],
    ids=["queued", "at_work", "ended", "failed"],
)
async def test_stages_say_how_each_ended(run: Run, expected: list[str]) -> None:
    site = Site()
    await site.has(run)
    stages = (await site.read(f"/api/jobs/{ID}")).json()["stages"]
    assert [stage["conclusion"] or stage["status"] for stage in stages] == expected


@pytest.mark.parametrize(
    "written",
    [
        "acme~greeter~12~comment~99",
        "acme/greeter%2312:comment:99",
        "acme%2Fgreeter%2312%3Acomment%3A99",
        "acme%2fgreeter%2312:comment:99",
    ],
)
@pytest.mark.parametrize("view", VIEWS)
async def test_an_id_may_be_written_as_people_write_it(written: str, view: str) -> None:
    site = Site()
    await site.has(ended())
    assert (await site.read(f"/api/jobs/{written}{view}")).status_code == 200


@pytest.mark.parametrize("view", VIEWS)
async def test_what_has_not_changed_is_not_sent_again(view: str) -> None:
    site = Site()
    held = await site.begins(at_work())
    first = await site.read(f"/api/jobs/{ID}{view}")
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await site.ask(f"/api/jobs/{ID}{view}", OPERATOR | {"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await site.store.save(replace(held, message="Step 3 of 3", commits=(), summary="Nearly.", conclusion=None))
    changed = await site.ask(f"/api/jobs/{ID}{view}", OPERATOR | {"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_the_list_goes_on_where_its_page_ended() -> None:
    site = Site()
    await site.has(*(queued(f"acme~greeter~{number}~comment~1") for number in range(5)))
    first = (await site.read("/api/jobs?limit=3")).json()
    second = (await site.read(f"/api/jobs?limit=3&cursor={first['cursor']}")).json()
    assert [job["id"].split("~")[2] for job in first["jobs"] + second["jobs"]] == ["4", "3", "2", "1", "0"]
    assert second["cursor"] is None


async def test_the_list_can_be_narrowed() -> None:
    site = Site()
    await site.has(ended(), queued("acme~site~3~comment~5", repo="acme/site"))
    assert [job["repo"] for job in (await site.read("/api/jobs?repo=acme/site")).json()["jobs"]] == ["acme/site"]
    assert [job["id"] for job in (await site.read("/api/jobs?status=completed")).json()["jobs"]] == [ID]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=", "limit=²", "status=done", "cursor=x"])
async def test_a_list_that_cannot_be_had_is_a_bad_request(query: str) -> None:
    answer = await Site().read(f"/api/jobs?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_secrets_do_not_leave() -> None:
    secret = "hunter2-hunter2"
    site = Site(WebOptions(redact=Redactor([SecretStr(secret)]).redact))
    await site.has(replace(failed(), message=f"curl -H {secret}", notices=(secret,), summary=secret, model=secret))
    for path in ("/api/jobs", *(f"/api/jobs/{ID}{view}" for view in VIEWS), f"/jobs/{ID}", "/"):
        answer = await site.read(path)
        assert answer.status_code == 200
        assert secret not in answer.text


async def test_stop_leaves_word_for_the_worker() -> None:
    site = Site()
    await site.begins(at_work())
    answer = await site.read(f"/api/jobs/{ID}/stop", "POST")
    assert answer.status_code == 202
    assert await site.store.signals(ID) == (Signal("stop", by="operator"),)


async def test_what_has_ended_cannot_be_stopped() -> None:
    site = Site()
    await site.has(ended())
    assert (await site.read(f"/api/jobs/{ID}/stop", "POST")).status_code == 409
    assert await site.store.signals(ID) == ()


async def test_a_store_that_is_away_is_said_so() -> None:
    site = Site()
    site.store.is_away = True
    for path in ("/api/jobs", f"/api/jobs/{ID}", f"/api/jobs/{ID}/events"):
        answer = await site.read(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["detail"] == "Redis does not answer."


async def test_who_asks_too_much_waits_and_nobody_else_does() -> None:
    site = Site(WebOptions(rate=2, burst=3))
    codes = [(await site.read(f"/api/jobs/{ID}")).status_code for _ in range(4)]
    assert codes == [404, 404, 404, 429]
    answer = await site.read(f"/api/jobs/{ID}")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    await site.clock.sleep(0.5)
    assert [(await site.read(f"/api/jobs/{ID}")).status_code for _ in range(2)] == [404, 429]


async def test_a_method_that_is_not_there_is_a_problem_document() -> None:
    answer = await Site().read("/api/jobs", "DELETE")
    assert (answer.status_code, answer.json()["title"]) == (405, "Method Not Allowed")
    assert (await Site().read("/api/nothing")).status_code == 404
