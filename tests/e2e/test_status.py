"""The status API while and after a run, as the mobile app uses it."""

import asyncio

from app.core.run.job import read_job_key
from app.core.run.run import PERCENT, Conclusion
from tests.bot import OPERATOR, REPO, Bot
from tests.e2e.turns import MEND, TEST_IT, edit, finish, plan, write


async def test_a_phone_sees_how_a_run_ended(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    (listed,) = (await bot.api.get("/api/jobs", params={"repo": REPO})).json()["jobs"]
    assert listed["id"] == run.id
    progress = (await bot.api.get(f"/api/jobs/{run.id}/progress")).json()
    assert (progress["status"], progress["progress_percentage"]) == ("completed", 100)
    result = (await bot.api.get(f"/api/jobs/{run.id}/result")).json()
    (pull,) = bot.pull_requests()
    assert result["pull_request"]["number"] == pull.number
    assert result["verification"]["verdict"] == "proven"
    assert result["branch"] == pull.head
    whole = (await bot.api.get(f"/api/jobs/{run.id}")).json()
    assert [stage["name"] for stage in whole["stages"]] == [stage.value for stage in PERCENT]


async def test_the_summary_is_of_all_steps_and_not_of_the_last(bot: Bot) -> None:
    bot.model.says(
        plan("Fix the greeting", "Test the greeting", summary="The greeting lacked an l."),
        edit("helo", "hello"),
        finish("It says hello."),
        write("tests/test_spelling.py", TEST_IT),
        finish("A test checks the spelling."),
    )
    await bot.label(await bot.issue())
    (run,) = await bot.work()

    expected = (
        "The greeting lacked an l.\n\n"
        "- Fix the greeting: It says hello.\n"
        "- Test the greeting: A test checks the spelling."
    )
    for path in (f"/api/jobs/{run.id}/result", f"/api/jobs/{run.id}"):
        assert (await bot.api.get(path)).json()["summary"] == expected
    page = (await bot.api.get(f"/jobs/{run.id}")).text
    assert expected in page
    assert page.count("The greeting lacked an l.") == 1


async def test_an_id_may_be_written_as_people_write_it(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode help")
    number = run.job.comment_id
    answer = await bot.api.get(f"/api/jobs/acme%2Fgreeter%23{issue.number}:comment:{number}/progress")
    assert answer.status_code == 200


async def test_a_run_is_nobodys_business_without_its_link(bot: Bot) -> None:
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode help")
    assert (await bot.api.get(f"/api/jobs/{run.id}", headers={"Authorization": ""})).status_code == 401
    member = {"Authorization": f"Bearer {bot.github.user_token('maintainer')}"}
    assert (await bot.api.get(f"/api/jobs/{run.id}", headers=member)).status_code == 200


async def test_a_request_through_the_api_becomes_a_pull_request(bot: Bot) -> None:
    bot.model.says(*MEND)
    asked = {"repo": REPO, "request": "Mend the greeting"}
    key = {"Idempotency-Key": "one-and-only"}
    answers = [await bot.api.post("/api/jobs", json=asked, headers=key) for _ in range(3)]
    (run,) = await bot.work()

    assert {answer.json()["id"] for answer in answers} == {run.id}
    (pull,) = bot.pull_requests()
    assert "Closes" not in pull.body
    assert OPERATOR not in pull.body
    installation = bot.github.world.repos[REPO].installation_id
    assert run.job.installation_id == installation
    assert any(scope.startswith(f"installation {installation}:") for scope in run.reserved)


async def test_two_requests_with_the_same_first_line_are_two_branches(bot: Bot) -> None:
    bot.model.says(*MEND, *MEND)
    for more in ("in the program", "in the README"):
        asked = {"repo": REPO, "request": f"Mend the greeting\n{more}"}
        assert (await bot.api.post("/api/jobs", json=asked)).status_code == 202
        await bot.work()
    first, second = await bot.work()

    assert first.conclusion is second.conclusion is Conclusion.SUCCESS
    assert first.branch != second.branch
    assert [pull.head for pull in bot.pull_requests()] == [first.branch, second.branch]
    for run in (first, second):
        assert run.branch == f"vibecode/mend-the-greeting-{run.job.key}"
        (commit,) = await bot.github.log(REPO, f"main..{run.branch}")
        assert (commit.sha, read_job_key(commit.message)) == (run.commits[-1].sha, run.job.key)


async def test_three_taps_are_one_pull_request(bot: Bot) -> None:
    bot.model.says(*MEND)
    asked = {"repo": REPO, "request": "Mend the greeting"}
    async with asyncio.TaskGroup() as group:
        taps = [group.create_task(bot.api.post("/api/jobs", json=asked)) for _ in range(3)]
    (run,) = await bot.work()

    assert {tap.result().json()["id"] for tap in taps} == {run.id}
    assert len(bot.pull_requests()) == 1


async def test_health_and_readiness_are_told_apart(bot: Bot) -> None:
    assert (await bot.api.get("/healthz")).json()["status"] == "ok"
    assert (await bot.api.get("/readyz")).status_code == 200
