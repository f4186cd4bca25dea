"""What a repository keeps elsewhere (Git LFS, submodules) stays as it is; what is too large gets the agent a turn."""

import re
from collections.abc import Mapping

from app.core.run.run import Conclusion
from app.demo.github.state.bare_repo import Commit, Entry
from app.demo.github.state.records import Issue
from tests.bot import REPO, Bot
from tests.e2e.test_follow_up import DEAR
from tests.e2e.turns import MEND, edit, finish, plan, shell
from tests.runs.test_git_lfs import POINTER

LFS: Mapping[str, str | bytes | None] = {
    ".gitattributes": "*.png filter=lfs diff=lfs merge=lfs -text\n",
    "art/logo.png": POINTER,
}
INSTALLED = "git config --global filter.lfs.clean false; git config --global filter.lfs.smudge false"
REQUIRED = "git config --global filter.lfs.required true"
SUBMODULE = "5" * 40


async def asked(bot: Bot) -> Issue:
    issue = await bot.issue()
    await bot.label(issue)
    return issue


async def add_submodule(bot: Bot, path: str, sha: str, branch: str = "main") -> None:
    """Record a submodule, as `git submodule add` does."""
    await bot.github.push(REPO, branch, {".gitmodules": f'[submodule "{path}"]\n'}, message="Say where", by="acme")
    repo, identity = bot.github.world.repos[REPO], bot.github.user("acme").identity()
    head = await repo.git.head(branch)
    assert head is not None
    tree = await repo.git.write_tree(head, [Entry(path, "160000", sha, "commit")])
    made = await repo.git.write_commit(Commit("", tree, (head,), identity, identity, "Add it"))
    await repo.git.update_ref(f"refs/heads/{branch}", made, head)


async def entries(bot: Bot, branch: str) -> dict[str, tuple[str, str | None]]:
    return {
        each.path: (each.mode, each.sha) for each in await bot.github.world.repos[REPO].git.tree(branch, recursive=True)
    }


async def test_pointers_stay_pointers_where_git_lfs_is_installed(bot: Bot) -> None:
    await bot.github.push(REPO, "main", LFS, message="Draw", by="acme")
    touched = shell(f"{INSTALLED}; {REQUIRED}; touch art/logo.png; git mv art/logo.png art/mark.png; git status")
    bot.model.says(plan("Mend the greeting"), edit("helo", "hello"), touched, finish("Mended."))
    issue = await asked(bot)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    diff = await bot.show_diff(bot.pull_requests()[0].head)
    assert "rename from art/logo.png" in diff
    assert "Not published" not in bot.comments(issue)[0].body
    assert "In Git LFS, so that the work tree has only pointers in their place: `*.png`" in str(bot.model.requests[0])


async def test_new_contents_for_git_lfs_are_held_back(bot: Bot) -> None:
    await bot.github.push(REPO, "main", LFS, message="Draw", by="acme")
    forged = POINTER.decode().replace("a" * 64, "b" * 64)
    drawn = shell(f"printf 'PNG' > art/logo.png; printf 'PNG' > new.png; printf '{forged}' > forged.png; rm -f x")
    bot.model.says(plan("Mend the greeting"), edit("helo", "hello"), drawn, finish("Mended."))
    issue = await asked(bot)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert [path for commit in run.commits for path in commit.files] == ["greet.py"]
    body = bot.comments(issue)[0].body
    assert "these files are tracked by Git LFS" in body
    assert all(f"`{name}`" in body for name in ("art/logo.png", "new.png", "forged.png"))


async def test_a_deleted_pointer_is_deleted(bot: Bot) -> None:
    await bot.github.push(REPO, "main", LFS, message="Draw", by="acme")
    bot.model.says(plan("Mend the greeting"), edit("helo", "hello"), shell("rm art/logo.png"), finish("Mended."))
    await asked(bot)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert "art/logo.png" not in await entries(bot, run.branch)


async def test_a_merge_holds_back_what_only_the_branch_keeps_in_git_lfs(bot: Bot) -> None:
    bot.model.says(*MEND)
    issue = await asked(bot)
    await bot.work()
    (pull,) = bot.pull_requests()
    await bot.github.push(REPO, pull.head, LFS, message="Draw", by="maintainer")
    await bot.github.push(REPO, "main", {"art/logo.png": "drawn"}, message="Draw, too", by="maintainer")
    bot.model.says(shell("printf 'PNG' > art/logo.png"), finish("Drew it."))
    run = await bot.comment(pull, "/vibecode update from main")

    said = "".join(comment.body for number in (issue, pull) for comment in bot.comments(number))
    assert "these files are tracked by Git LFS" in said, (run.conclusion, run.message)
    sha = (await entries(bot, pull.head))["art/logo.png"][1]
    assert sha is not None
    assert await bot.github.world.repos[REPO].git.blob(sha) == POINTER


async def test_a_submodule_stays_as_it_is(bot: Bot) -> None:
    await add_submodule(bot, "vendor/lib", SUBMODULE)
    cleaned = shell("rmdir vendor/lib vendor; git init -q other; true")
    bot.model.says(plan("Mend the greeting"), edit("helo", "hello"), cleaned, shell("rm -rf other"), finish("Mended."))
    issue = await asked(bot)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert [path for commit in run.commits for path in commit.files] == ["greet.py"]
    assert (await entries(bot, run.branch))["vendor/lib"] == ("160000", SUBMODULE)
    assert "runs don't change submodules: `vendor/lib`" in bot.comments(issue)[0].body


async def test_a_submodule_survives_a_step_and_its_tests_unseen(bot: Bot) -> None:
    await add_submodule(bot, "vendor/lib", SUBMODULE)
    bot.model.says(plan("Mend the greeting"), edit("helo", "hello"), finish("Mended."))
    issue = await asked(bot)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert (await entries(bot, run.branch))["vendor/lib"] == ("160000", SUBMODULE)
    assert "Not published" not in bot.comments(issue)[0].body


async def test_the_agent_gets_a_turn_for_what_is_too_large(bot: Bot) -> None:
    bot.model.says(
        plan("Mend the greeting"),
        edit("helo", "hello"),
        shell("mkdir dist; head -c 6000000 /dev/zero > dist/app.bin"),
        finish("Mended."),
        shell("rm -r dist"),
        finish("Mended, without what was built."),
    )
    await asked(bot)
    (run,) = await bot.work()

    assert run.conclusion is Conclusion.SUCCESS
    assert [path for commit in run.commits for path in commit.files] == ["greet.py"]
    told = str(bot.model.requests[-2])
    assert re.search(r"The change has 6,000,0\d\d bytes in all, most of it at `dist/app.bin`, more than", told)


async def test_a_merge_of_base_brings_its_submodule(bot: Bot) -> None:
    await add_submodule(bot, "vendor/lib", SUBMODULE)
    bot.model.says(*MEND)
    await asked(bot)
    await bot.work()
    (pull,) = bot.pull_requests()
    await bot.github.push(REPO, "main", DEAR, message="Be dear", by="maintainer")
    await add_submodule(bot, "vendor/lib", "6" * 40)
    ours = '<<<<<<< ours\n    return f"hello, {name}"\n=======\n    return f"helo, dear {name}"\n>>>>>>> theirs\n'
    bot.model.says(edit(ours, '    return f"hello, {name}"  # dear\n'), finish("Kept both."))
    run = await bot.comment(pull, "/vibecode update from main")

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    assert (await entries(bot, pull.head))["vendor/lib"] == ("160000", "6" * 40)
    assert run.notices == ("Both branches changed `greet.py`.",)


async def test_a_merge_keeps_the_branchs_own_submodule(bot: Bot) -> None:
    await add_submodule(bot, "vendor/lib", SUBMODULE)
    bot.model.says(*MEND)
    await asked(bot)
    await bot.work()
    (pull,) = bot.pull_requests()
    await add_submodule(bot, "vendor/lib", "7" * 40, pull.head)
    await bot.github.push(REPO, "main", DEAR, message="Be dear", by="maintainer")
    ours = '<<<<<<< ours\n    return f"hello, {name}"\n=======\n    return f"helo, dear {name}"\n>>>>>>> theirs\n'
    bot.model.says(edit(ours, '    return f"hello, {name}"  # dear\n'), finish("Kept both."))
    run = await bot.comment(pull, "/vibecode update from main")

    assert run.conclusion is Conclusion.SUCCESS, run.failure
    assert (await entries(bot, pull.head))["vendor/lib"] == ("160000", "7" * 40)
