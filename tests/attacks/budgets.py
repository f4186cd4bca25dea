"""Spending what one may not: the model, the issue and the repository want more than there is."""

import asyncio
import json
import time
from functools import partial
from typing import Final

from app import wiring
from app.adapters.github.app import GithubkitApp
from app.adapters.github.client.write_limits import shared_write_limiter
from app.core.errors import GitHubError
from app.core.run.run import Conclusion
from app.demo.model.scripted import Seen, Turn, say, tool, turn
from tests.attacks.attack import attack
from tests.attacks.scene import Scene
from tests.bot import REPO
from tests.e2e.turns import edit, finish, plan, shell

_EXPENSIVE: Final = "gpt-4o"


def _restless(seen: Seen) -> Turn:
    """Plans when it must, and then never comes to an end."""
    return plan("Mend the greeting") if "plan" in seen.tools else shell("true")


@attack("budgets", MAX_TURNS="8")
async def endless_model(scene: Scene) -> None:
    """A model that never finishes."""
    scene.model.answers(_restless)
    scene.model.says(plan("Mend the greeting"), edit("helo", "hello"))
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is Conclusion.TIMED_OUT
    assert run.cost.turns == 8 == len(scene.model.requests)
    scene.assert_told("⌛ Budget exceeded", "8 of 8 turns", "**Mend the greeting**")
    (pull,) = scene.bot.pull_requests()
    assert pull.is_draft, "What was done is not handed over as unfinished."


@attack("budgets")
async def empty_claims(scene: Scene) -> None:
    """A model that says it is done and has done nothing."""
    scene.model.says(plan("Mend the greeting"), finish("All mended, and all tests pass!"))
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is Conclusion.NEUTRAL
    assert scene.bot.pull_requests() == []
    scene.assert_told("Nothing to do")
    scene.assert_not_in(scene.comment(), "✅ Done")


@attack("budgets")
async def talk_without_work(scene: Scene) -> None:
    """A model that only talks."""
    scene.model.answers(lambda _: say("I would rather talk. " * 50))
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is Conclusion.FAILURE
    assert len(scene.model.requests) < 10
    scene.assert_told("❌ Failed")


@attack("budgets", MAX_TOKENS="60000")
async def floods_of_words(scene: Scene) -> None:
    """A model whose every answer is enormous."""
    scene.model.answers(
        lambda seen: plan("Mend it") if "plan" in seen.tools else turn(shell("true"), text="x" * 100_000)
    )
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is Conclusion.TIMED_OUT, run.conclusion
    assert run.cost.usage.total_tokens < 60_000 + 60_000, f"{run.cost.usage.total_tokens:,} tokens"
    scene.assert_told("⌛ Budget exceeded", "of 60,000 tokens", "model's price is unknown")


@attack("budgets")
async def storm_of_calls(scene: Scene) -> None:
    """A model that makes three hundred calls in one turn."""
    scene.persuade(turn(*[shell(f"echo {number}") for number in range(300)]))
    run = await scene.labelled(await scene.bot.issue())
    await scene.assert_mended(run)
    carried_out = [activity for activity in run.activities if activity.text.startswith("$ echo")]
    assert len(carried_out) <= 20, f"{len(carried_out)} calls were carried out."
    scene.assert_told("✅ Done")


@attack("budgets", files={"big.txt": "0123456789\n" * 80_000})
async def huge_readings(scene: Scene) -> None:
    """A model that reads a huge file again and again, to make every later turn dear."""
    looks = [
        tool("read", path="big.txt", start=None, end=None),
        shell("cat big.txt"),
        tool("search", pattern=".", path="big.txt", glob=None),
    ]
    run = await scene.asked(*looks, *looks)
    await scene.assert_mended(run)
    longest = max(len(text) for seen in scene.model.requests for text in seen.results)
    assert longest < 20_000, f"A result of {longest:,} characters."
    scene.assert_told("✅ Done")


@attack("budgets", MAX_MINUTES="0.07")
async def long_commands(scene: Scene) -> None:
    """A command that sleeps through the end of the run's minutes."""
    scene.persuade(shell("sleep 600"))
    began = time.monotonic()
    run = await scene.labelled(await scene.bot.issue())
    seconds = time.monotonic() - began
    assert run.conclusion is Conclusion.TIMED_OUT, run.conclusion
    assert seconds < 150, f"Four seconds were allowed, {seconds:.0f} were taken."
    scene.assert_told("⌛ Budget exceeded", "minutes")


@attack(
    "budgets", files={".github/vibecode.yml": "budget: {usd: 1000, minutes: 720}\n"}, MAX_USD="0.0001", MODEL=_EXPENSIVE
)
async def generous_repository(scene: Scene) -> None:
    """The repository's own file allows more than the deployment does."""
    scene.model.answers(_restless)
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is Conclusion.TIMED_OUT, f"{run.conclusion}: {run.message}"
    assert len(scene.model.requests) <= 2, f"{len(scene.model.requests)} turns were paid."
    scene.assert_told("⌛ Budget exceeded", "$0.00")


@attack("budgets", MAX_USD="0.03", MODEL=_EXPENSIVE)
async def dollars(scene: Scene) -> None:
    """A model with a price that never finishes: the dollars hold, and what is over is less than a turn."""
    scene.model.answers(_restless)
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is Conclusion.TIMED_OUT, f"{run.conclusion}: {run.message}"
    assert run.cost.is_priced
    assert run.cost.usd < 0.06, f"${run.cost.usd:.4f} were spent of $0.03."
    scene.assert_told("⌛ Budget exceeded", "of $0.03")


@attack("budgets")
async def unknown_price(scene: Scene) -> None:
    """A command that names a model without a known price: dollars cannot hold it, and that is said."""
    scene.persuade()
    issue = await scene.bot.issue()
    run = await scene.bot.comment(issue, "/vibecode --model a-model-nobody-knows Mend it")
    assert not run.cost.is_priced
    scene.assert_told("price not known")


@attack("budgets", files={".github/vibecode.yml": "budget: {usd_per_day: 3}\n"})
async def many_runs_at_once(scene: Scene) -> None:
    """Four runs at once in a repository whose day has dollars for one: set aside before they are spent."""
    scene.model.answers(lambda seen: plan("Mend it") if "plan" in seen.tools else finish())
    scene.persuade(shell("sleep 5"))
    await scene.bot.label(await scene.bot.issue())
    await scene.bot.at_work_on("sleep 5")
    asked = len(scene.model.requests)
    for number in range(3):
        await scene.bot.label(await scene.bot.issue(f"Number {number}"))
    runs = await scene.bot.work()
    refused = [run for run in runs if run.cost.turns == 0]
    assert len(refused) == 3, f"{len(runs) - len(refused)} runs took from the day."
    assert len(scene.model.requests) <= asked + 2
    assert sum("today's $3.00" in comment.body for comment in scene.comments()) == 3


@attack("budgets", MAX_USD_PER_DAY="3")
async def many_repositories_at_once(scene: Scene) -> None:
    """The same over two repositories of one installation."""
    await scene.github.repo("acme/second", files={"a": "b"})
    scene.github.grant("acme/second", "maintainer", "maintain")
    scene.persuade(shell("sleep 5"))
    await scene.bot.label(await scene.bot.issue())
    await scene.bot.at_work_on("sleep 5")
    issue = await scene.github.issue("acme/second", title="Mine too", author="maintainer")
    delivery = await scene.github.label("acme/second", issue.number, "vibecode", by="maintainer")
    run = await scene.bot.settled(json.loads(delivery.response)["job"])
    assert run.cost.turns == 0
    scene.assert_told("today's $3.00")
    await scene.bot.work()


@attack("budgets", MAX_TURNS="4")
async def repeated_retries(scene: Scene) -> None:
    """A stranger repeats the maintainer's command in the thread to have its budget spent once more."""
    scene.model.answers(_restless)
    issue = await scene.bot.issue()
    await scene.labelled(issue)
    asked = len(scene.model.requests)
    for _ in range(5):
        await scene.github.comment(REPO, issue.number, "/vibecode retry", by="outsider")
    await scene.bot.work()
    assert len(scene.model.requests) == asked
    scene.assert_told("🚫 Not started")


@attack("budgets", is_worker_up=False)
async def flood_of_strangers(scene: Scene) -> None:
    """Six strangers with ten commands each use up what the installation may ask, so that the team is turned away."""
    issue = await scene.bot.issue()
    answers = []
    for number in range(6):
        for _ in range(10):
            _, delivery = await scene.github.comment(REPO, issue.number, "/vibecode", by=f"stranger-{number}")
            answers.append(delivery.status_code)
    assert 429 in answers, "Strangers may ask without end."
    labelled = await scene.bot.label(issue)
    assert labelled.status_code == 202, f"The team's label was answered {labelled.status_code}."
    _, said = await scene.github.comment(REPO, issue.number, "/vibecode status", by="maintainer")
    assert said.status_code == 202, f"The team's comment was answered {said.status_code}."
    taken = answers.count(202)
    assert taken <= 12, f"{taken} commands of strangers were taken."
    scene.assert_in(scene.log.getvalue(), "too many requests")


@attack("budgets", is_worker_up=False)
async def three_workers_write(scene: Scene) -> None:
    """Three workers write for one installation as fast as they can: together they stay under GitHub's limit."""
    issue, settings = await scene.bot.issue(), scene.bot.settings
    pace_of = partial(shared_write_limiter, scene.bot.records.store.take_turn)
    installation = (await wiring.github_app(settings).installed()).items[0]
    held_back = 0

    async def write() -> None:
        nonlocal held_back
        key, url = settings.github_private_key, settings.github_url
        worker = GithubkitApp(settings.github_app_id, key, server_url=url, pace=pace_of)
        async with worker.open(installation, REPO) as github:
            for _ in range(40):
                try:
                    await github.react("eyes", number=issue.number)
                except GitHubError as error:
                    held_back += error.status == 429

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(write())
    written = sum(each.method == "POST" and each.path.endswith("/reactions") for each in scene.github.requests)
    assert written <= 80, f"{written} writes, of which GitHub allows 80 a minute."
    assert written + held_back == 120, f"{written} were written and {held_back} held back, of 120."


@attack("budgets", MAX_SANDBOXES="1")
async def hoarded_sandboxes(scene: Scene) -> None:
    """Work in two repositories at once, in a deployment that may have one sandbox: the other waits, and is told."""
    await scene.github.repo("acme/second", files={"a": "b"})
    scene.github.grant("acme/second", "maintainer", "maintain")
    scene.persuade(shell("sleep 8"))
    await scene.bot.label(await scene.bot.issue())
    await scene.bot.at_work_on("sleep 8")
    issue = await scene.github.issue("acme/second", title="Mine too", author="maintainer")
    await scene.github.label("acme/second", issue.number, "vibecode", by="maintainer")
    runs = await scene.bot.work()
    assert len(runs) == 2, f"{len(runs)} runs ended."
    begun = sorted((run.started_at, run.ended_at) for run in runs if run.started_at and run.ended_at)
    assert begun[0][1] <= begun[1][0], "Two sandboxes were there at a time."
    drawn = "\n".join(words for comment in scene.comments() for words in comment.history)
    scene.assert_in(drawn, "1 of 1 sandboxes of this deployment are in use")
