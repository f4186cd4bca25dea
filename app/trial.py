"""The two ways to try the whole thing without deploying it: on a local repository, and as a demo on loopback."""

import asyncio
import getpass
import secrets
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel

from app import wiring
from app.core.errors import RetryLater, UserError
from app.core.job import Command, Job, Mode, Person, Source, Verb, job_id
from app.core.ports import Ports
from app.core.records import Store
from app.core.run import Run, Status
from app.demo.github import DemoGitHub
from app.demo.limits import Rates
from app.demo.loopback import free_port
from app.demo.model import ScriptedModel
from app.demo.sample import sample_files, sample_issue
from app.demo.script import SCRIPT
from app.main import serve_web
from app.runs.runner import carry_out
from app.screen import Screen, show_end
from app.settings import Settings, load
from app.worker import options_of, serve_jobs

DEMO_REPO: Final = "acme/durations"
DEMO_FOLDER: Final = Path(".vibecoder/demo")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks of a local repository."""

    repo: Path
    request: str
    base: str | None = None
    model: str | None = None
    is_plan: bool = False


async def run_locally(settings: Settings, asked: Asked, console: Console) -> Run:
    """Carry a request out on a local repository, showing it as it goes; nothing is kept but the branch."""
    with tempfile.TemporaryDirectory(prefix="vibecoder-") as folder:
        settings = replace(settings, data_dir=Path(folder))
        async with wiring.open_local(settings, asked.repo) as (ports, records):
            job = _local_job(asked)
            await records.queue.put(Run(job))
            showing = asyncio.create_task(_show(records.store, job.id, console))
            try:
                await _carry_out_patiently(ports, settings, job.id, console)
                await showing
            finally:
                showing.cancel()
                run = await records.store.load(job.id)
                if run is not None and run.sandbox_id:
                    await ports.sandboxes.kill(run.sandbox_id)
            assert run is not None  # noqa: S101 -- it was put a few lines above
    show_end(console, run)
    if run.commits:
        count = f"{len(run.commits)} commit{'' if len(run.commits) == 1 else 's'}"
        console.print(f"The work is on the branch [bold]{run.branch}[/], {count} on {run.base_ref}.")
        look = shlex.join(["git", "-C", str(asked.repo), "diff", f"{run.base_ref}...{run.branch}"])
        console.print(f"  {look}", highlight=False, markup=False, soft_wrap=True)
    return run


async def _carry_out_patiently(ports: Ports, settings: Settings, run_id: str, console: Console) -> None:
    """Go on until the run has ended, waiting where another system is away."""
    while True:
        try:
            await carry_out(ports, options_of(settings), run_id)
        except RetryLater as wait:
            console.print(f"[yellow]{wait}[/] I try again in {wait.delay_s:.0f} s. Ctrl-C ends it.", highlight=False)
            await ports.clock.sleep(wait.delay_s)
        else:
            return


def _local_job(asked: Asked) -> Job:
    title, _, body = asked.request.strip().partition("\n")
    name = asked.repo.resolve().name
    return Job(
        id=job_id(f"local/{name}", None, Source.LOCAL, str(time.time_ns())),
        repo=f"local/{name}",
        installation_id=0,
        source=Source.LOCAL,
        sender=Person(getpass.getuser()),
        created_at=wiring.clock().now(),
        command=Command(Verb.PLAN if asked.is_plan else Verb.START, base=asked.base, model=asked.model),
        mode=Mode.PLAN if asked.is_plan else Mode.AUTO,
        title=title,
        body=body.strip() or title,
    )


async def _show(store: Store, run_id: str, console: Console) -> None:
    with Screen(console) as screen:
        async for run in store.follow(run_id):
            screen.show(run)


# ---------------------------------------------------------------------------------------------------------- the demo


@dataclass(frozen=True, slots=True)
class Stage:
    """The demo's world, open."""

    github: DemoGitHub
    store: Store
    url: str
    token: str


@asynccontextmanager
async def open_demo(folder: Path) -> AsyncIterator[Stage]:
    """A whole deployment on loopback: our web, worker and Redis; a GitHub and a model to talk with."""
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    secret, token = secrets.token_hex(20), secrets.token_hex(20)
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(DemoGitHub(folder / "github", webhook_secret=secret))
        github.world.limits.rates = Rates()
        model = await stack.enter_async_context(ScriptedModel())
        model.says(*SCRIPT)
        settings = load(
            {
                "GITHUB_APP_ID": "1",
                "GITHUB_PRIVATE_KEY": github.private_key_pem,
                "GITHUB_WEBHOOK_SECRET": secret,
                "GITHUB_URL": github.url,
                "OPENAI_BASE_URL": model.url,
                "OPENAI_API_KEY": secrets.token_hex(20),
                "MODEL_API": "responses",
                "MODEL": "scripted-model",
                "API_TOKEN": token,
                "DATA_DIR": str(folder / "data"),
                "PORT": str(free_port()),
                "SANDBOX": "unisolated" if wiring.why_not_isolated() else "local",
                "PATH": _path(),
            }
        )
        records = await stack.enter_async_context(wiring.open_records(settings))
        url, _ = await stack.enter_async_context(serve_web(settings, records))
        ports = await stack.enter_async_context(wiring.open_ports(settings, records))
        await stack.enter_async_context(serve_jobs(settings, records, ports))
        github.webhook_url = f"{url}/webhook"
        yield Stage(github, records.store, url, token)


def _path() -> str:
    """The process's PATH, as settings read it."""
    return load().path


async def show_demo(console: Console, *, once: bool) -> Mapping[str, object]:
    """The main job, start to end, on the console. Returns what came of it; without `once` only after Ctrl-C."""
    began = time.monotonic()
    console.rule("[bold]vibecoder demo")
    console.print(
        "Everything here is real and on this machine only: webhook, queue, worker, sandbox, git, pull request.\n"
        "[bold yellow]Except the model: it is SCRIPTED. It replays the turns a model would take.[/]"
    )
    if why := wiring.why_not_isolated():
        console.print(f"[bold red]The sandbox is NOT isolated here:[/] {why}\nThe demo only runs its own sample code.")
    async with open_demo(DEMO_FOLDER.absolute()) as stage:
        sample = sample_issue()
        await stage.github.repo(DEMO_REPO, files=sample_files())
        issue = await stage.github.issue(DEMO_REPO, title=sample.title, body=sample.body, author="mona")
        stage.github.grant(DEMO_REPO, "hubot-maintainer", "maintain")
        issue_url = f"{stage.github.url}/{DEMO_REPO}/issues/{issue.number}"
        console.print(f"\nmona opens #{issue.number}: [bold]{sample.title}[/]\n  {issue_url}", highlight=False)
        delivery = await stage.github.label(DEMO_REPO, issue.number, sample.label, by="hubot-maintainer")
        console.print(
            f"hubot-maintainer labels it `{sample.label}`; GitHub delivers, vibecoder answers {delivery.status_code}.\n"
        )
        run = await _watch(stage, issue.number, console)
        result = await _sum_up(stage, run, issue.number, seconds=time.monotonic() - began)
        await _show_result(stage, run, console)
        if not once:
            await _stay(stage, run, issue_url, console)
    return result


async def _watch(stage: Stage, number: int, console: Console) -> Run:
    """Show the comment on the issue each time it changes, until the run has ended."""
    shown = ""
    page = await stage.store.list(limit=1)
    with Live(console=console, refresh_per_second=8, vertical_overflow="visible") as live:
        async for run in stage.store.follow(page.runs[0].id):
            body = "\n".join(comment.body for comment in stage.github.comments(DEMO_REPO, number))
            if body != shown:
                shown = body
                panel = Panel(Markdown(_visible(body)), title=f"the comment on issue #{number}", border_style="cyan")
                live.update(panel)
                if not console.is_terminal:
                    console.print(f"  {run.percent:3} %  {run.message}", highlight=False, markup=False)
            if run.status is Status.COMPLETED:
                return run
    raise UserError("The demo's run has ended without a word. Please report this.")


def _visible(body: str) -> str:
    """The comment's Markdown without what GitHub folds away or does not show."""
    lines, depth = [], 0
    for line in body.splitlines():
        depth += line.count("<details>")
        if not depth and not line.startswith("<!--"):
            lines.append(line.replace("<sub>", "").replace("</sub>", ""))
        depth -= line.count("</details>")
    return "\n".join(lines)


async def _sum_up(stage: Stage, run: Run, number: int, *, seconds: float) -> Mapping[str, object]:
    """What is on GitHub now, looked up there and not in the run."""
    pull = stage.github.pull_requests(DEMO_REPO)[0] if stage.github.pull_requests(DEMO_REPO) else None
    head = await stage.github.head(DEMO_REPO, pull.head) if pull else None
    url = f"{stage.github.url}/{DEMO_REPO}"
    commits = await stage.github.log(DEMO_REPO, f"main..{pull.head}") if pull else []
    return {
        "pull_request": {"number": pull.number, "url": f"{url}/pull/{pull.number}", "head_sha": head} if pull else None,
        "commits": [{"sha": commit.sha, "message": commit.message} for commit in reversed(commits)],
        "comments": [
            {"url": f"{url}/issues/{number}#issuecomment-{comment.id}", "body": comment.body}
            for comment in stage.github.comments(DEMO_REPO, number)
        ],
        "conclusion": run.conclusion,
        "seconds": round(seconds, 2),
    }


async def _show_result(stage: Stage, run: Run, console: Console) -> None:
    pull = run.pull_request
    diff = await stage.github.diff(DEMO_REPO, "main", run.branch) if run.commits else ""
    console.rule("[bold]the pull request")
    if pull is not None:
        console.print(f"#{pull.number} [bold]{run.plan.title if run.plan else ''}[/]\n  {pull.url}", highlight=False)
    show_end(console, run, diff)
    model = Settings().model
    usd = wiring.price_of(model, run.cost.usage)
    if usd is not None:
        console.print(f"Cost: nothing, as the model is scripted. {model} would have cost ${usd:.2f} for these tokens.")
    console.print("The repository is real:", end=" ")
    console.print(f"git -C {DEMO_FOLDER / 'github' / DEMO_REPO}.git log --all", highlight=False, soft_wrap=True)


async def _stay(stage: Stage, run: Run, issue_url: str, console: Console) -> None:
    """Keep the pages open until Ctrl-C, which ends the demo well."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    console.rule("[bold]open until Ctrl-C")
    console.print(f"the issue         {issue_url}", highlight=False)
    if run.pull_request is not None:
        console.print(f"the pull request  {run.pull_request.url}", highlight=False)
    console.print(f"all runs          {stage.url}/?token={stage.token}", highlight=False, soft_wrap=True)
    console.print(
        f'the status API    curl -H "Authorization: Bearer {stage.token}" {stage.url}/api/jobs', soft_wrap=True
    )
    await told.wait()
