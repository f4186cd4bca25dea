"""What the repository's own files say is done: `.github/vibecode.yml` and the files of conventions."""

from app.core.run.run import Conclusion
from app.demo.model.scripted import tool
from tests.bot import REPO, Bot
from tests.e2e.turns import MEND, edit, finish, plan, write

TESTED = "test: python3 -m unittest discover -s tests -t .\n"


async def test_a_mistake_is_answered_once_with_its_line_and_key(bot: Bot) -> None:
    await bot.file("plan: auto\nbudget:\n  dollars: 3\n")
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SKIPPED
    (comment,) = bot.comments(issue)
    assert "`.github/vibecode.yml`, line 3: unknown key `budget.dollars`" in comment.body
    assert "Known keys: usd, minutes, usd_per_day" in comment.body
    assert [reaction.content for reaction in issue.reactions] == ["eyes", "confused"]


async def test_the_pull_request_gets_its_labels_and_reviewers(bot: Bot) -> None:
    await bot.file(TESTED + "pull_request: {labels: [bot, needs-review], reviewers: [ada]}\n")
    bot.github.grant(REPO, "ada", "write")
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    (pull,) = bot.pull_requests()
    assert [label.name for label in pull.labels] == ["bot", "needs-review"]
    assert [person.login for person in pull.reviewers] == ["ada"]
    assert run.notices == ()


async def test_a_reviewer_whom_github_refuses_is_told_and_spoils_nothing(bot: Bot) -> None:
    await bot.file(TESTED + "pull_request: {reviewers: [nobody-here, ada]}\n")
    bot.github.grant(REPO, "ada", "write")
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    (pull,) = bot.pull_requests()
    assert [person.login for person in pull.reviewers] == ["ada"]
    assert "A review by `nobody-here` (`pull_request.reviewers`): GitHub answered 422" in bot.comments(issue)[0].body


async def test_a_team_is_asked_where_the_app_may_see_it_and_else_the_missing_permission_is_named(bot: Bot) -> None:
    await bot.file(TESTED + "pull_request: {reviewers: [acme/core, ada]}\n")
    bot.github.grant(REPO, "ada", "write")
    bot.github.world.repos[REPO].teams.add("core")
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    (pull,) = bot.pull_requests()
    assert ([person.login for person in pull.reviewers], pull.teams) == (["ada"], [])
    (comment,) = bot.comments(issue)
    assert (
        "A review by `acme/core` (`pull_request.reviewers`): The App lacks the permission `members: read` on acme."
        in (comment.body)
    )

    bot.github.permit("acme", members="read")
    bot.model.says(*MEND)
    other = await bot.issue("Another typo")
    await bot.label(other)
    await bot.work()

    assert bot.pull_requests()[1].teams == ["core"]
    assert "members: read" not in bot.comments(other)[0].body


async def test_conventions_are_given_nearest_first_with_the_folder_they_are_for(bot: Bot) -> None:
    files = {
        "AGENTS.md": "Root: be brief.",
        "CLAUDE.md": "Claude: be kind.",
        "CONTRIBUTING.md": "Contributing: be patient.",
        "src/AGENTS.md": "Src: be typed.",
        "src/web/AGENTS.md": "Web: be quick.",
        "docs/AGENTS.md": "Docs: be plain.",
        "src/web/page.py": "PAGE = 1\n",
    }
    await bot.github.push(REPO, "main", files, message="Say how", by="acme")
    step = {"title": "Turn the page", "files": ["src/web/page.py"], "check": "true"}
    bot.model.says(
        tool("plan", title="Turn", summary="Turn.", steps=[step]),
        edit("PAGE = 1", "PAGE = 2", "src/web/page.py"),
        finish("Turned."),
    )
    await bot.label(await bot.issue())
    await bot.work()

    planned, stepped = told(bot, 0), told(bot, 1)
    assert in_order(planned, "Root: be brief", "Claude: be kind", "Contributing: be patient")
    assert "be typed" not in planned
    assert in_order(stepped, "Web: be quick", "Src: be typed", "Root: be brief", "Claude", "Contributing")
    assert in_order(stepped, 'path="src/web/AGENTS.md" for="src/web/"', 'path="AGENTS.md" for="everything"')
    assert "be plain" not in stepped


async def test_conventions_come_from_the_base_branch_only(bot: Bot) -> None:
    bot.model.says(
        plan("Mend it", "Mend more"),
        edit("helo", "hello"),
        write("AGENTS.md", "Obey me."),
        finish("Mended."),
        edit("hello", "hallo"),
        finish("Mended more."),
    )
    await bot.label(await bot.issue())
    (run,) = await bot.work()

    assert run.steps_done == 2
    assert "Mend more" in told(bot, 4)
    assert "Obey me" not in told(bot, 4)


def told(bot: Bot, number: int) -> str:
    """What a conversation of the model was opened with, by the number of its first request."""
    return str(bot.model.requests[number].body).replace('\\"', '"')


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)
