"""What a tap says about a run."""

from dataclasses import replace

import pytest

from app.core.policy import repo_config
from app.core.policy.repo_config import CachedConfig
from app.core.ports.store import Signal
from app.core.run.job import Command, Source, Verb
from app.core.run.run import Conclusion, Run, Status
from tests.web.sample import ID, at_work, ended, failed, queued
from tests.web.site import OPERATOR, Site, bearer

WAITS = replace(ended(), conclusion=Conclusion.ACTION_REQUIRED, needs="approval", pull_request=None)
STOPPED = replace(failed(), conclusion=Conclusion.CANCELLED)


async def told(site: Site, verb: str, headers: dict[str, str] = OPERATOR, **body: object) -> tuple[int, str]:
    """Tap, and hear the status with the id of the run that comes of it, or the reason why none does."""
    answer = await site.ask(f"/api/jobs/{ID}/{verb}", headers, method="POST", **body)
    return answer.status_code, answer.json().get("id") or answer.json()["detail"]


async def queued_beside(site: Site, about: str = ID) -> Run:
    """What is queued beside the run that the tap was about."""
    for _ in range(2):
        if (job_id := await site.queue.take()) != about:
            run = await site.store.load(job_id)
            assert run is not None
            return run
    raise AssertionError("Nothing is.")


@pytest.mark.parametrize(
    ("verb", "about", "body", "command"),
    [
        ("approve", WAITS, None, Command(Verb.APPROVE)),
        ("retry", failed(), None, Command(Verb.RETRY)),
        ("budget", failed(), {"usd": 2}, Command(Verb.BUDGET, add_usd=2.0)),
        ("budget", at_work(), {"usd": 0.5}, Command(Verb.BUDGET, add_usd=0.5)),
        ("pull-request", STOPPED, None, Command(Verb.RETRY, hands_over=True)),
    ],
)
async def test_a_tap_is_a_job_in_the_runs_thread(
    verb: str, about: Run, body: dict[str, float] | None, command: Command
) -> None:
    site = Site()
    await site.has(about)
    status, made = await told(site, verb, bearer("writer"), json=body)
    run = await queued_beside(site)
    job = run.job

    assert (status, made) == (202, run.id)
    assert (job.command, job.about, job.source) == (command, ID, Source.API)
    assert (job.number, job.installation_id, job.title) == (12, 7, about.job.title)
    assert (job.sender.login, job.sender.id) == ("writer", 3)
    assert job.comment_id is None, "nobody's comment is reacted to"


@pytest.mark.parametrize(("verb", "about"), [("approve", WAITS), ("retry", failed()), ("pull-request", STOPPED)])
async def test_two_taps_are_one_job(verb: str, about: Run) -> None:
    site = Site()
    await site.has(about)
    assert await told(site, verb) == await told(site, verb)
    assert await site.queue.depth() == 2


async def test_each_key_is_a_request_of_its_own() -> None:
    site = Site()
    await site.has(at_work())
    made = [await told(site, "budget", OPERATOR | {"Idempotency-Key": key}, json={"usd": 2}) for key in ("a", "a", "b")]
    assert made[0] == made[1] != made[2]
    assert (await told(site, "retry", OPERATOR | {"Idempotency-Key": "a"}))[0] == 422


@pytest.mark.parametrize(
    ("verb", "about", "why"),
    [
        ("approve", at_work(), "This run has no plan waiting for approval. A run is in progress"),
        ("approve", ended(), "This run has no plan waiting for approval. The last run finished: #13."),
        ("retry", at_work(), "There is nothing to resume. A run is in progress"),
        ("retry", ended(), "There is nothing to resume. The last run finished: #13."),
        ("budget", ended(), "This run is not waiting for budget. The last run finished: #13."),
        ("budget", WAITS, "This run is not waiting for budget. A plan is waiting for approval"),
        ("pull-request", at_work(), "The run is still in progress and will open its own pull request."),
        ("pull-request", ended(), "The run already has a pull request: #13."),
        ("pull-request", replace(STOPPED, commits=()), "The run has no commits to open a pull request from."),
    ],
)
async def test_what_makes_no_sense_now_is_a_conflict_that_says_why(verb: str, about: Run, why: str) -> None:
    site = Site()
    await site.has(about)
    status, said = await told(site, verb, json={"usd": 2} if verb == "budget" else None)
    assert status == 409
    assert said.startswith(why)
    assert await site.queue.depth() == 1


async def test_a_newer_run_of_the_thread_goes_first() -> None:
    site = Site()
    await site.has(failed(), queued("acme~greeter~12~comment~100"))
    assert await told(site, "retry") == (409, "Another run is open in this thread: acme~greeter~12~comment~100.")


@pytest.mark.parametrize("body", [None, {}, {"usd": 0}, {"usd": -1}, {"usd": 1001}, {"usd": "2"}, {"usd": 1, "x": 1}])
async def test_an_amount_that_is_none_adds_nothing(body: object) -> None:
    site = Site()
    await site.has(at_work())
    assert (await told(site, "budget", json=body))[0] == 422


@pytest.mark.parametrize("verb", ["approve", "retry", "budget", "pull-request", "stop"])
@pytest.mark.parametrize(("headers", "expected"), [({}, 401), (bearer("reader"), 403), (bearer("stranger"), 404)])
async def test_who_may_not_write_says_nothing_to_a_run(verb: str, headers: dict[str, str], expected: int) -> None:
    site = Site()
    await site.has(failed())
    assert (await told(site, verb, headers, json={"usd": 2}))[0] == expected
    assert await site.queue.depth() == 1


async def test_what_waits_is_stopped_by_a_worker() -> None:
    site = Site()
    await site.has(queued())
    answer = await site.read(f"/api/jobs/{ID}/stop", "POST")
    assert (answer.status_code, answer.json()["status"]) == (202, Status.QUEUED)
    assert await site.store.signals(ID) == (Signal("stop", by="operator"),)
    job = (await queued_beside(site)).job
    assert (job.command.verb, job.about) == (Verb.STOP, ID)


@pytest.mark.parametrize(
    ("login", "may", "may_stop"),
    [("writer", 403, 403), ("reader", 202, 202), ("ada", 403, 202), ("stranger", 404, 404)],
    ids=["role that the file does not name", "named", "started it", "named, without a role"],
)
async def test_a_tap_is_let_in_by_the_repositorys_file(login: str, may: int, may_stop: int) -> None:
    """As a comment is: the API had rules of its own."""
    rules = CachedConfig(roles=("maintain",), people=("Reader", "stranger"))
    for verb, about, expected in (
        ("approve", WAITS, may),
        ("retry", failed(), may),
        ("budget", failed(), may),
        ("pull-request", STOPPED, may),
        ("stop", at_work(), may_stop),
    ):
        site = Site()
        await site.store.note(repo_config.config_note_name("acme/greeter"), repo_config.encode_cached(rules))
        await site.has(about)
        tapped = await site.ask(f"/api/jobs/{ID}/{verb}", bearer(login), method="POST", json={"usd": 2})
        assert tapped.status_code == expected, verb
        assert len(await site.store.signals(ID)) == (verb == "stop" and expected == 202)
    asked = {"repo": "acme/greeter", "request": "Say hello"}
    assert (await site.ask("/api/jobs", bearer(login), method="POST", json=asked)).status_code == may
