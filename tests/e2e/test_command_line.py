"""`vibecoder run` and `vibecoder demo` as a person types them."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import wiring
from app.demo.model.scripted import ScriptedModel, say
from tests.bot import GREETER
from tests.e2e.turns import MEND, edit, finish, plan
from tests.processes import command_lines

VIBECODER = Path(sys.executable).with_name("vibecoder")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "greeter")


def make_repository(folder: Path) -> Path:
    """A person's own clone, with work in it that is not committed. On GitHub its plans would wait for approval."""
    for path, content in GREETER.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    with (folder / ".github" / "vibecode.yml").open("a") as file:
        file.write("plan: approve\n")
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=Begin")
    (folder / "README.md").write_text("# Work in progress\n")
    (folder / "notes.txt").write_text("mine\n")
    return folder


def git(folder: Path, *argv: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    return subprocess.run(["git", *identity, *argv], cwd=folder, capture_output=True, text=True, check=True).stdout


async def vibecoder(*argv: str, folder: Path, **environ: str) -> tuple[int, str, str]:
    """Run the command; its exit code, standard output and standard error."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        VIBECODER, *argv, cwd=folder, env={**inherited, **environ}, stdout=-1, stderr=-1
    )
    async with asyncio.timeout(50):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def isolation() -> dict[str, str]:
    return {"SANDBOX": "unisolated" if wiring.why_not_isolated() else "local"}


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_local_run_leaves_a_branch_and_nothing_else(repository: Path, api: str) -> None:
    async with ScriptedModel() as model:
        model.says(*MEND)
        code, out, err = await vibecoder(
            "run",
            "Mend the greeting",
            folder=repository,
            OPENAI_BASE_URL=model.url,
            MODEL="scripted",
            MODEL_API=api,
            **isolation(),
        )
    assert code == 0, out + err
    (branch,) = git(repository, "branch", "--list", "vibecode/*", "--format=%(refname:short)").split()
    assert branch.startswith("vibecode/mend-the-greeting-")
    assert branch in out
    assert "proven" in out
    assert "hello" in git(repository, "show", f"{branch}:greet.py")
    assert git(repository, "symbolic-ref", "--short", "HEAD").strip() == "trunk"
    assert git(repository, "status", "--porcelain").split() == ["M", "README.md", "??", "notes.txt"]
    assert git(repository, "log", "--format=%s", f"trunk..{branch}").strip() == "Say hello with two l"
    assert git(repository, "worktree", "list").count("\n") == 1


async def test_a_run_may_begin_in_a_folder_of_the_repository(repository: Path) -> None:
    async with ScriptedModel() as model:
        model.says(plan("Say hello with two l"))
        code, out, err = await vibecoder(
            "run",
            "--plan",
            "Mend it",
            folder=repository / "tests",
            OPENAI_BASE_URL=model.url,
            MODEL="scripted",
            **isolation(),
        )
    assert code == 5, out + err
    assert "python3 -m unittest" in out
    assert "Say hello with two l" in out
    assert "waits" not in out


async def test_a_local_run_over_its_budget_says_what_can_be_done_here(repository: Path) -> None:
    async with ScriptedModel() as model:
        model.says(*MEND)
        code, out, _ = await vibecoder(
            "run",
            "Mend it",
            folder=repository,
            OPENAI_BASE_URL=model.url,
            MODEL="scripted",
            MAX_TURNS="2",
            **isolation(),
        )
    assert code == 3
    assert "MAX_TURNS" in out
    assert "/vibecode " not in out
    told = "The price of `scripted` is unknown: a dollar limit can't be enforced, but tokens, turns and minutes are."
    assert told in [line.strip() for line in out.splitlines()]  # not wrapped: this is no terminal


async def test_sigterm_leaves_nothing_of_the_demo_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(VIBECODER, "demo", cwd=tmp_path, stdout=-1, stderr=-1)
    assert process.stdout is not None
    async with asyncio.timeout(50):
        while b"status API" not in await process.stdout.readline():
            pass
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
    assert running_in(tmp_path) == []


def running_in(folder: Path) -> list[str]:
    """The command lines, of all that runs, that name the folder."""
    return [line for line in command_lines() if str(folder) in line]


async def test_failing_tests_are_told_by_the_exit_code(repository: Path) -> None:
    async with ScriptedModel() as model:
        model.says(plan("Break it"), edit("helo, {name}", "hello"), finish("All good."), finish("Still good."))
        code, out, _ = await vibecoder(
            "run", "Break it", folder=repository, OPENAI_BASE_URL=model.url, MODEL="scripted", **isolation()
        )
    assert code == 1
    assert "failing" in out


async def test_a_model_that_uses_no_tools_is_an_error_and_leaves_no_branch(repository: Path) -> None:
    async with ScriptedModel() as model:
        model.says(*[say("I would rather talk.")] * 8)
        code, out, _ = await vibecoder(
            "run", "Mend it", folder=repository, OPENAI_BASE_URL=model.url, MODEL="scripted", **isolation()
        )
    assert code == 1
    assert "❌ Failed" in out
    assert git(repository, "branch", "--format=%(refname:short)").split() == ["trunk"]


@pytest.mark.parametrize(
    ("environ", "argv", "words"),
    [
        ({}, ("run", "Mend it"), "OPENAI_API_KEY is needed"),
        ({"PORT": "http"}, ("web",), "PORT: 'http' is not a number"),
        ({"GITHUB_WEBHOOK_SECRET": "x" * 20}, ("worker",), "GITHUB_APP_ID and GITHUB_PRIVATE_KEY"),
        ({"OPENAI_API_KEY": "k" * 20}, ("run", "--repo", "/", "Mend it"), "git"),
    ],
)
async def test_what_is_missing_is_one_clear_line(
    tmp_path: Path, environ: dict[str, str], argv: tuple[str, ...], words: str
) -> None:
    code, _, err = await vibecoder(*argv, folder=tmp_path, **environ)
    assert code != 0
    assert words in err
    assert "Traceback" not in err


async def test_the_demo_prints_one_document_and_nothing_else(tmp_path: Path) -> None:
    code, out, err = await vibecoder("demo", "--once", "--json", folder=tmp_path)
    assert code == 0, err
    document = json.loads(out)
    assert document["conclusion"] == "success"
    assert len(document["comments"]) == 1
    assert len(document["commits"]) == 2
    bare = tmp_path / ".vibecoder" / "demo" / "github" / "acme" / "durations.git"
    heads = git(bare, "for-each-ref", "--format=%(objectname)", "refs/heads/vibecode").split()
    assert heads == [document["pull_request"]["head_sha"]] == [document["commits"][-1]["sha"]]
    assert "SCRIPTED" in err
