"""`vibecoder demo`: a whole deployment on loopback, with a GitHub and a scripted model to talk with."""

import asyncio
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel

from app import wiring
from app.commands.screen import show_end
from app.commands.web import serve_web
from app.commands.worker import serve_jobs
from app.core.errors import UserError
from app.core.ports.store import Store
from app.core.run.run import Run, Status
from app.demo.github.server import DemoGitHub
from app.demo.github.state.limits import Rates
from app.demo.loopback import free_port
from app.demo.model.scripted import ScriptedModel
from app.demo.sample import sample_files, sample_issue
from app.demo.sample.script import SCRIPT
from app.settings import Settings, load

DEMO_REPO: Final = "acme/durations"
DEMO_FOLDER: Final = Path(".vibecoder/demo")


# ---------------------------------------------------------------------------------------------------------- the demo


@dataclass(frozen=True, slots=True)
class DemoDeployment:
    """The demo's world, open."""

    github: DemoGitHub
    store: Store
    url: str
    token: str


@asynccontextmanager
async def open_demo(folder: Path) -> AsyncIterator[DemoDeployment]:
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
        yield DemoDeployment(github, records.store, url, token)


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
            await _serve_until_interrupted(stage, run, issue_url, console)
    return result


async def _watch(stage: DemoDeployment, number: int, console: Console) -> Run:
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
                break
        else:
            raise UserError("The demo run ended without a result. Please report this.")
    if not console.is_terminal:
        console.line()  # `Live` ends its last frame with a line break on terminals only
    return run


def _visible(body: str) -> str:
    """The comment's Markdown without what GitHub folds away or does not show."""
    lines, depth = [], 0
    for line in body.splitlines():
        depth += line.count("<details>")
        if not depth and not line.startswith("<!--"):
            lines.append(line.replace("<sub>", "").replace("</sub>", ""))
        depth -= line.count("</details>")
    return "\n".join(lines)


async def _sum_up(stage: DemoDeployment, run: Run, number: int, *, seconds: float) -> Mapping[str, object]:
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


async def _show_result(stage: DemoDeployment, run: Run, console: Console) -> None:
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


async def _serve_until_interrupted(stage: DemoDeployment, run: Run, issue_url: str, console: Console) -> None:
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
