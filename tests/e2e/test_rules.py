"""What forbids the branch or a commit on it is found before the model is asked, and told with the rule's name."""

from collections.abc import Mapping

import pytest

from app.core.run.run import Conclusion, Run
from app.demo.github.state.records import Ruleset
from tests.bot import REPO, Bot
from tests.e2e.turns import MEND, edit, finish, plan, shell

CI = ".github/workflows/ci.yml"
WORKFLOW = "on: push\njobs: {}\n"


def rule(bot: Bot, kind: str, *, is_bypassed: bool = False, parameters: Mapping[str, object] | None = None) -> None:
    """Have a ruleset with this one rule for the bot's branches."""
    rulesets = bot.github.world.repos[REPO].rulesets
    rules: list[tuple[str, Mapping[str, object]]] = [(kind, parameters or {})]
    rulesets.append(Ruleset(77 + len(rulesets), "Release hygiene", rules, "vibecode/*", is_bypassed))


async def branches(bot: Bot) -> list[str]:
    """Those that are not `main`."""
    refs = await bot.github.world.repos[REPO].git.refs("refs/heads/")
    return [name.removeprefix("refs/heads/") for name in refs if name != "refs/heads/main"]


async def refused(bot: Bot) -> str:
    """Label an issue; what is said of the refusal, which cost nothing and left nothing."""
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()
    assert run.conclusion is Conclusion.FAILURE
    assert run.cost.turns == 0, "the model was asked for something that cannot be published"
    assert "Nothing was spent." in bot.comments(issue)[0].body
    return bot.comments(issue)[0].body


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("creation", {}, "it restricts who creates branches (`creation`)"),
        ("update", {}, "it restricts who updates branches (`update`)"),
        ("pull_request", {}, "it requires a pull request for every change"),
        ("required_status_checks", {}, "it requires status checks to pass before a push"),
        (
            "branch_name_pattern",
            {"operator": "starts_with", "pattern": "feature/"},
            "it requires branches named like `feature/` (starts with)",
        ),
        (
            "commit_message_pattern",
            {"operator": "regex", "pattern": r"^(feat|fix)(\(.+\))?: "},
            r"it requires commit messages like `^(feat|fix)(\(.+\))?: ` (regex)",
        ),
        (
            "commit_author_email_pattern",
            {"operator": "ends_with", "pattern": "@acme.example"},
            "it requires commit authors with addresses like `@acme.example`",
        ),
        (
            "commit_message_pattern",
            {"operator": "contains", "pattern": "Co-authored-by", "negate": True},
            "it requires no commit messages like `Co-authored-by`",
        ),
    ],
)
async def test_a_ruleset_in_the_way_is_named(bot: Bot, kind: str, parameters: dict[str, object], words: str) -> None:
    rule(bot, kind, parameters=parameters)
    body = await refused(bot)
    assert "the ruleset `Release hygiene` does not allow it: " in body
    assert words in body
    assert "add the App to the ruleset's bypass list" in body
    assert await branches(bot) == []


async def test_rules_that_the_bot_satisfies_or_bypasses_are_in_nobodys_way(bot: Bot) -> None:
    rule(bot, "required_signatures")
    rule(bot, "branch_name_pattern", parameters={"operator": "starts_with", "pattern": "vibecode/"})
    rule(bot, "commit_message_pattern", parameters={"operator": "regex", "pattern": r"^[A-Z]"})
    rule(bot, "non_fast_forward")
    rule(bot, "creation", is_bypassed=True)
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()
    assert run.conclusion is Conclusion.SUCCESS


async def test_signatures_that_this_server_does_not_make_are_found_early(bot: Bot) -> None:
    bot.github.world.is_signing = False
    rule(bot, "required_signatures")
    assert "it requires signed commits, and this server doesn't sign the App's commits" in await refused(bot)


async def test_a_branch_named_as_the_folder_of_ours_is_named(bot: Bot) -> None:
    await bot.github.push(REPO, "vibecode", {"x.txt": "x"}, message="Mine", by="acme")
    body = await refused(bot)
    assert "The branch `vibecode` prevents git from creating `vibecode/" in body
    assert "Rename or delete `vibecode`, then comment `/vibecode retry`." in body


async def test_a_refusal_without_a_rule_is_told_in_githubs_words(bot: Bot) -> None:
    words = {"message": "Repository rule violations found\n\nCannot create ref due to creations being restricted.\n\n"}
    bot.github.fails("POST", "/git/refs$", status=422, json=words)
    assert "Repository rule violations found Cannot create ref due to creations being restricted." in await refused(bot)


async def test_after_a_way_was_made_a_retry_goes_on(bot: Bot) -> None:
    rule(bot, "creation")
    issue = await bot.issue()
    await bot.label(issue)
    await bot.work()
    bot.github.world.repos[REPO].rulesets.clear()
    bot.model.says(*MEND)
    run = await bot.comment(issue, "/vibecode retry")
    assert run.conclusion is Conclusion.SUCCESS


# ------------------------------------------------------------------------------------------------------------- cleaning


async def ended(bot: Bot, words: str = "/vibecode") -> Run:
    return await bot.comment(await bot.issue(), words)


async def test_a_branch_that_nothing_was_put_on_is_deleted(bot: Bot) -> None:
    bot.model.says(plan(summary="It is right as it is."))
    run = await ended(bot)
    assert run.conclusion is Conclusion.NEUTRAL
    assert await branches(bot) == []
    created = [each for each in bot.github.requests if (each.method, each.path[-9:]) == ("POST", "/git/refs")]
    assert len(created) == 1
    assert run.branch == "", "a branch that is not there is not told of"


async def test_so_is_one_that_reads_do_not_show_yet(bot: Bot) -> None:
    await bot.file("setup: exit 3\n")
    bot.github.lags(1.0)
    run = await ended(bot)
    assert run.conclusion is Conclusion.FAILURE
    assert await branches(bot) == []


async def test_one_that_somebody_pushed_to_meanwhile_stays(bot: Bot) -> None:
    bot.model.says(plan("Look"), shell("sleep 2"), finish("It is right as it is."))
    run_id = await bot.say(await bot.issue(), "/vibecode")
    await bot.at_work_on("sleep 2")
    (name,) = await branches(bot)
    await bot.github.push(REPO, name, {"mine.txt": "mine"}, message="Mine", by="maintainer")
    assert (await bot.settled(run_id)).conclusion is Conclusion.NEUTRAL
    assert await bot.github.file(REPO, name, "mine.txt") == b"mine"


async def test_a_stopped_run_leaves_no_unused_branch(bot: Bot) -> None:
    bot.model.says(plan("Look"), shell("sleep 600"))
    issue = await bot.issue()
    run_id = await bot.say(issue, "/vibecode")
    await bot.at_work_on("sleep 600")
    assert len(await branches(bot)) == 1
    await bot.say(issue, "/vibecode stop")
    assert (await bot.settled(run_id)).conclusion is Conclusion.CANCELLED
    assert await branches(bot) == []


async def test_a_branch_that_a_forgotten_attempt_left_is_taken_up(bot: Bot) -> None:
    bot.model.says(plan("Look"), shell("sleep 60"), *MEND)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.at_work_on("sleep 60")
    await bot.forget_everything()
    await bot.stop_worker()
    (left,) = await branches(bot)
    await bot.github.push(REPO, "main", {"new.txt": "new"}, message="Meanwhile", by="acme")
    await bot.start_worker()
    await bot.swept()
    (run,) = await bot.work()
    assert (run.conclusion, run.branch) == (Conclusion.SUCCESS, left)
    assert await branches(bot) == [left]


async def test_a_plan_that_waits_for_a_person_makes_no_branch(bot: Bot) -> None:
    await bot.file("plan: approve\n")
    bot.model.says(plan("Say hello with two l"))
    run = await ended(bot)
    assert run.conclusion is Conclusion.ACTION_REQUIRED
    assert [each for each in bot.github.requests if each.path.endswith("/git/refs")] == []


# ------------------------------------------------------------------------------------------------------- workflow files


async def test_work_on_the_default_branch_needs_no_permission_for_workflow_files(bot: Bot) -> None:
    await bot.github.push(REPO, "main", {CI: WORKFLOW}, message="Add CI", by="acme")
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    (run,) = await bot.work()
    assert run.conclusion is Conclusion.SUCCESS


async def test_another_base_with_other_workflow_files_is_refused_before_it_costs_anything(bot: Bot) -> None:
    await bot.github.push(REPO, "release", {CI: WORKFLOW}, message="Add CI here", by="acme")
    issue = await bot.issue()
    run = await bot.comment(issue, "/vibecode --base release")
    assert (run.conclusion, run.cost.turns) == (Conclusion.FAILURE, 0)
    body = bot.comments(issue)[0].body
    assert "GitHub does not let the App create a branch at " in body
    assert "the App needs the optional permission `workflows: write`" in body
    assert "`WORKFLOWS_PERMISSION`" in body


async def test_an_update_that_brings_workflow_files_says_what_a_person_can_do(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.work()
    (pull,) = bot.pull_requests()
    before = await bot.github.head(REPO, pull.head)
    await bot.github.push(REPO, "main", {CI: WORKFLOW}, message="Add CI", by="acme")

    run = await bot.comment(pull, "/vibecode update from main")

    assert (run.conclusion, run.cost.turns) == (Conclusion.SKIPPED, 0)
    words = bot.comments(pull)[-1].body
    assert f"refusing to allow a GitHub App to create or update workflow `{CI}` without `workflows` permission" in words
    assert "**Update branch** on the pull request" in words
    assert await bot.github.head(REPO, pull.head) == before

    bot.model.says(plan("Say so"), edit("Says hello.", "Says hello, spelled right.", "README.md"), finish("Said."))
    again = await bot.comment(pull, "/vibecode say so in the README")
    assert again.conclusion is Conclusion.SUCCESS
    assert await bot.github.head(REPO, pull.head) != before, "the old base is worked on as before"


async def test_a_conflict_with_workflow_files_is_refused_before_the_model_resolves_it(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await bot.issue()
    await bot.label(issue)
    await bot.work()
    (pull,) = bot.pull_requests()
    clash = {CI: WORKFLOW, "greet.py": 'def greet(name):\n    return f"hey, {name}"\n'}
    await bot.github.push(REPO, "main", clash, message="Add CI", by="acme")

    run = await bot.comment(pull, "/vibecode update from main")

    assert (run.conclusion, run.cost.turns) == (Conclusion.FAILURE, 0)
    assert f"It changed `{CI}`, and the App lacks the optional permission `workflows: write`." in (
        bot.comments(pull)[-1].body
    )
