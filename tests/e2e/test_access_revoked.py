"""A repository that is archived, deleted or transferred ends its runs, whether GitHub's word comes or not; one that
is renamed is followed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.core.errors import SandboxError
from app.core.run.run import Conclusion, Run
from app.demo.github.state.records import Comment, Delivery
from tests.bot import GREETER, REPO, Bot, deployed
from tests.e2e.turns import MEND, plan, shell

RENAMED = "acme/welcomer"
UNTIL_TOLD = "until rm go 2> /dev/null; do sleep 0.05; done"
Deed = Callable[[Bot], Awaitable[Delivery]]


async def transfer(bot: Bot) -> Delivery:
    """To an account that has the App, too: only there GitHub tells of it."""
    await bot.github.repo("globex/website", files=GREETER)
    return await bot.github.custody.transfer(REPO, "globex")


DEEDS: dict[str, tuple[Deed, str]] = {
    "archived": (
        lambda bot: bot.github.custody.archive(REPO),
        "acme/greeter was archived, so nothing can be written there.",
    ),
    "deleted": (
        lambda bot: bot.github.custody.delete(REPO),
        "acme/greeter is gone, or the App may not see it any more.",
    ),
    "transferred": (transfer, "acme/greeter is gone, or the App may not see it any more."),
}


def thread(bot: Bot, number: int) -> list[Comment]:
    """What the bot said in a thread, wherever its repository is now."""
    repos = {**bot.github.world.moved, **bot.github.world.repos}
    said = repos[REPO].thread(number) if REPO in repos else []
    return [each for each in said if each.author == "vibecoder[bot]"]


async def let_go(bot: Bot, run: Run) -> None:
    """Let the command end that waits until it is told, unless its machine is gone: the run may have ended already."""
    with suppress(SandboxError, OSError):
        sandbox = await bot.ports.sandboxes.reconnect(run.sandbox_id)
        await sandbox.write("go", b"")


async def ended(bot: Bot, run: Run) -> None:
    """Nothing is left of it: no sandbox, and nobody in line."""
    assert run.conclusion is Conclusion.CANCELLED
    assert run.waits == 0
    assert await bot.ports.sandboxes.list() == ()
    await left_the_line(bot)


async def left_the_line(bot: Bot) -> None:
    """Nobody waits any more, once the worker has laid the ended run's job down."""
    async with asyncio.timeout(10):
        while await bot.ports.queue.waiting():  # noqa: ASYNC110 -- nobody tells of it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("happens", DEEDS)
async def test_a_run_at_work_ends_when_its_repository_is_taken_away(bot: Bot, happens: str) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 60"))
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 60")
    delivery = await DEEDS[happens][0](bot)
    (run,) = await bot.work()

    assert delivery.response == '{"told":1}'
    assert run.message == f"The repository was {happens}."
    await ended(bot, run)


@pytest.mark.parametrize("happens", DEEDS)
async def test_a_run_at_work_finds_out_what_became_of_its_repository(bot: Bot, happens: str) -> None:
    deed, words = DEEDS[happens]
    bot.model.says(plan("Mend the greeting"), shell(UNTIL_TOLD), *MEND[1:])
    issue = await bot.issue()
    await bot.label(issue)
    begun = await bot.at_work_on(UNTIL_TOLD)
    bot.github.loses(2)
    assert (await deed(bot)).status_code == 502
    await let_go(bot, begun)
    (run,) = await bot.work()

    assert run.message == words
    await ended(bot, run)


async def test_what_such_a_run_did_not_spend_is_there_for_others(tmp_path: Path) -> None:
    async with deployed(tmp_path, MODEL="gpt-6-sol", MAX_USD="2", MAX_USD_PER_DAY="3") as bot:
        bot.model.says(plan("Mend the greeting"), shell(UNTIL_TOLD), *MEND[1:])
        await bot.label(await bot.issue())
        begun = await bot.at_work_on(UNTIL_TOLD)
        bot.github.loses()
        await bot.github.custody.delete(REPO)
        await let_go(bot, begun)
        (run,) = await bot.work()

        _, installation = run.reserved
        left = 3 - run.cost.usd
        assert not await bot.ports.store.reserve(installation, "another", left + 0.01, limit=3)
        assert await bot.ports.store.reserve(installation, "another", left - 0.01, limit=3)


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_run_goes_on_in_a_renamed_repository(bot: Bot, is_told: bool) -> None:
    bot.model.says(plan("Mend the greeting"), shell(UNTIL_TOLD), *MEND[1:])
    issue = await bot.issue()
    await bot.label(issue)
    begun = await bot.at_work_on(UNTIL_TOLD)
    bot.github.loses(0 if is_told else 1)
    await bot.github.custody.rename(REPO, "welcomer")
    await let_go(bot, begun)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS, run.message
    (pull,) = bot.github.pull_requests(RENAMED)
    assert run.pull_request is not None
    assert run.pull_request.number == pull.number
    (comment,) = thread(bot, issue.number)
    assert "✅ Done" in comment.body
    assert [reaction.content for reaction in issue.reactions] == ["eyes", "rocket"]


async def test_a_run_that_waited_goes_on_in_a_renamed_repository(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.stop_worker()
    await bot.label(issue)
    await bot.github.custody.rename(REPO, "welcomer")
    await bot.start_worker()
    await bot.swept()
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS, run.message
    assert len(bot.github.pull_requests(RENAMED)) == 1


async def test_a_run_is_stopped_under_the_repositorys_new_name(bot: Bot) -> None:
    bot.model.says(plan("Mend the greeting"), shell("sleep 60"))
    issue = await bot.issue()
    await bot.label(issue)
    begun = await bot.at_work_on("sleep 60")
    await bot.github.custody.rename(REPO, "welcomer")
    await bot.github.comment(RENAMED, issue.number, "/vibecode stop", by="maintainer")

    run = await bot.settled(begun.id)
    assert run.conclusion is Conclusion.CANCELLED
    assert "maintainer" in run.message


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("happens", DEEDS)
async def test_a_run_that_waits_ends_without_a_word(bot: Bot, happens: str, is_told: bool) -> None:
    issue = await bot.issue()
    await bot.stop_worker()
    await bot.label(issue)
    bot.github.loses(0 if is_told else 2)
    delivery = await DEEDS[happens][0](bot)
    assert delivery.status_code == (200 if is_told else 502)
    await bot.start_worker()
    (run,) = await bot.work()

    assert run.conclusion in {Conclusion.CANCELLED, Conclusion.FAILURE}
    assert run.waits == 0
    await left_the_line(bot)
    assert bot.model.requests == []
    assert thread(bot, issue.number) == []
