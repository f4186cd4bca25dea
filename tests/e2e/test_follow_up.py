"""Follow-ups on the bot's own pull request, told as people on GitHub see them."""

from app.core.run import Conclusion, Run, Verdict
from app.demo.world import PullRequest
from tests.bot import REPO, Bot
from tests.e2e.turns import MEND, answer, edit, finish, plan, shell

POLITER = (
    plan("Greet more politely", answers=[answer(1, step=1, words="It says good day now.")]),
    edit("hello", "good day, dear"),
    edit('"hello, Ada"', '"good day, dear, Ada"', "tests/test_spelling.py"),
    finish("Politer."),
)


async def opened(bot: Bot) -> PullRequest:
    """A pull request that the bot made for issue 1."""
    bot.model.says(*MEND)
    await bot.label(await bot.issue())
    await bot.work()
    (pull,) = bot.pull_requests()
    return pull


async def test_a_command_on_the_pull_request_goes_on_in_it(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(*POLITER)
    run = await bot.comment(pull, "/vibecode be more polite")

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    assert [each.number for each in bot.pull_requests()] == [pull.number]
    assert 'f"good day, dear, {name}"' in await bot.show_diff(pull.head)
    subjects = [commit.message.splitlines()[0] for commit in await bot.github.log(REPO, f"main..{pull.head}")]
    assert subjects == ["Greet more politely", "Say hello with two l"]
    (comment,) = bot.comments(pull)
    assert "✅ Done" in comment.body
    assert run.verification is not None
    assert run.verification.verdict is Verdict.PROVEN


async def test_title_and_body_are_of_the_whole_pull_request(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(plan("Greet more politely", title="Greet politely, and right"), *POLITER[1:])
    await bot.comment(pull, "/vibecode be more polite")

    (pull,) = bot.pull_requests()
    assert pull.title == "Greet politely, and right"
    assert "Closes #1" in pull.body
    assert "Say hello with two l" in pull.body
    assert "Greet more politely" in pull.body


async def test_the_model_is_told_what_was_asked_for_and_what_is_there(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(*POLITER)
    await bot.comment(pull, "/vibecode be more polite")

    asked = bot.model.requests[len(MEND)].body["input"]
    told = str(asked)
    assert "# The greeting has a typo" in told
    assert "Mend the greeting" in told
    assert "be more polite" in told


async def test_what_a_person_pushed_is_built_upon(bot: Bot) -> None:
    pull = await opened(bot)
    await bot.github.push(REPO, pull.head, {"NOTES.md": "Mind the tone.\n"}, message="Note it", by="maintainer")
    bot.model.says(*POLITER)
    run = await bot.comment(pull, "/vibecode be more polite")

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    log = await bot.github.log(REPO, f"main..{pull.head}")
    assert [commit.message.splitlines()[0] for commit in log] == [
        "Greet more politely",
        "Note it",
        "Say hello with two l",
    ]
    assert await bot.github.file(REPO, pull.head, "NOTES.md") == b"Mind the tone.\n"


async def test_a_push_while_a_step_is_at_work_goes_below_it(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(*POLITER[:3], shell("sleep 2; true"), POLITER[3])
    asked = await bot.say(pull, "/vibecode be more polite")
    await bot.at_work_on("sleep 2")
    await bot.github.push(REPO, pull.head, {"NOTES.md": "Mind the tone.\n"}, message="Note it", by="maintainer")
    run = await bot.settled(asked)

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    log = await bot.github.log(REPO, f"main..{pull.head}")
    assert [commit.message.splitlines()[0] for commit in log][:2] == ["Greet more politely", "Note it"]
    assert any("Somebody pushed" in notice for notice in run.notices)


async def test_a_push_to_the_same_file_has_the_step_done_again_on_top(bot: Bot) -> None:
    pull = await opened(bot)
    bot.model.says(*POLITER[:3], shell("sleep 2; true"), POLITER[3])
    bot.model.says(edit("howdy", "good day"), edit("howdy", "good day", "tests/test_spelling.py"), finish("Politer."))
    asked = await bot.say(pull, "/vibecode be more polite")
    await bot.at_work_on("sleep 2")
    theirs = {"greet.py": 'def greet(name):\n    return f"howdy, {name}"\n'}
    tests = await bot.github.file(REPO, pull.head, "tests/test_spelling.py")
    assert tests is not None
    theirs["tests/test_spelling.py"] = tests.decode().replace("hello, Ada", "howdy, Ada")
    await bot.github.push(REPO, pull.head, theirs, message="Be casual", by="maintainer")
    run = await bot.settled(asked)

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    log = await bot.github.log(REPO, f"main..{pull.head}")
    assert [commit.message.splitlines()[0] for commit in log][:2] == ["Greet more politely", "Be casual"]
    assert 'f"good day, {name}"' in await bot.show_diff(pull.head)


async def test_base_is_merged_in_when_that_is_asked_for(bot: Bot) -> None:
    pull = await opened(bot)
    await bot.github.push(REPO, "main", {"NOTES.md": "Mind the tone.\n"}, message="Note it", by="maintainer")
    run = await bot.comment(pull, "/vibecode update from main")

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    assert await bot.github.file(REPO, pull.head, "NOTES.md") == b"Mind the tone.\n"
    (head, *_) = await bot.github.log(REPO, f"main..{pull.head}")
    assert len(head.parents) == 2
    assert run.verification is not None
    assert run.verification.verdict is Verdict.PROVEN
    again = await bot.comment(pull, "/vibecode update from main")
    assert again.conclusion is Conclusion.NEUTRAL
    assert again.message == f"`{pull.head}` has all of `main` already"


async def test_a_clash_with_base_is_resolved_in_a_merge_commit(bot: Bot) -> None:
    pull = await opened(bot)
    theirs = {"greet.py": 'def greet(name):\n    return f"helo, dear {name}"\n'}
    await bot.github.push(REPO, "main", theirs, message="Be dear", by="maintainer")
    ours = '<<<<<<< ours\n    return f"hello, {name}"\n=======\n    return f"helo, dear {name}"\n>>>>>>> theirs\n'
    bot.model.says(edit(ours, '    return f"hello, {name}"  # dear\n'), finish("Kept both."))
    run = await bot.comment(pull, "/vibecode resolve the conflicts")

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    (head, *_) = await bot.github.log(REPO, f"main..{pull.head}")
    assert head.parents == (pull_head(run), await bot.github.head(REPO, "main"))
    assert (
        await bot.github.file(REPO, pull.head, "greet.py") == b'def greet(name):\n    return f"hello, {name}"  # dear\n'
    )


def pull_head(run: Run) -> str:
    return run.began_at


async def test_markers_that_are_left_are_not_published(bot: Bot) -> None:
    pull = await opened(bot)
    theirs = {"greet.py": 'def greet(name):\n    return f"helo, dear {name}"\n'}
    await bot.github.push(REPO, "main", theirs, message="Be dear", by="maintainer")
    before = await bot.github.head(REPO, pull.head)
    bot.model.says(finish("Done."))
    run = await bot.comment(pull, "/vibecode update from main")

    assert run.conclusion is Conclusion.FAILURE
    assert run.failure is not None
    assert "Conflict markers are left in `greet.py`" in run.failure.message
    assert await bot.github.head(REPO, pull.head) == before


async def test_somebody_elses_pull_request_is_left_alone(bot: Bot) -> None:
    issue = await bot.issue()
    await bot.github.push(REPO, "feature", {"x.py": "x = 1\n"}, message="x", by="maintainer")
    pull = await bot.github.pulls.open(REPO, "feature", title="x", by="maintainer")
    run = await bot.comment(pull, "/vibecode fix it")

    assert run.conclusion is Conclusion.SKIPPED
    (comment,) = bot.comments(pull)
    assert "was not opened by me" in comment.body
    assert bot.comments(issue) == []
