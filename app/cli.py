"""The `vibecoder` command: serve the App, try it on a local repository, or see it work with nothing to configure.

Each command imports what it needs when it is called, so that the web process stays small and quick to start.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from app import logs, wiring
from app.core.errors import UserError, VibecoderError
from app.core.run.run import Conclusion
from app.core.safety.redact import Redactor
from app.settings import Settings, load

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

EXIT_CODES = {
    Conclusion.SUCCESS: 0,
    Conclusion.FAILURE: 1,
    Conclusion.SKIPPED: 2,
    Conclusion.TIMED_OUT: 3,
    Conclusion.NEUTRAL: 4,
    Conclusion.ACTION_REQUIRED: 5,
    Conclusion.CANCELLED: 130,
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vibecoder")
def main() -> None:
    """Turn a labelled issue into a tested pull request.

    \b
    Try the demo, with nothing to configure:
        vibecoder demo
    Try it on a repository of yours, without GitHub (commits go to a new branch, your work tree stays as it is):
        export OPENAI_API_KEY=…          # or OPENAI_BASE_URL=http://localhost:11434/v1 MODEL=…
        vibecoder run --repo . "Make the greeting polite"
    Create the GitHub App, and check everything:
        vibecoder setup
        vibecoder doctor
    Serve it:
        vibecoder serve                  # web, worker and, without REDIS_URL, a Redis: one process
        vibecoder web                    # or as separate processes sharing REDIS_URL
        vibecoder worker

    Settings come from the environment; the README lists them.
    """


@main.command()
def serve() -> None:
    """Web, worker and (without REDIS_URL) an embedded Redis, in one process.

    SIGTERM or Ctrl-C shuts it down gracefully: it takes no new jobs, gives runs in progress DRAIN_SECONDS, then puts
    them back in the queue, from which they resume at the next start.
    """
    from app.commands.web import serve_web
    from app.commands.worker import serve_jobs

    settings = _settings()
    if not settings.has_app:
        from app.commands.setup import Wish, set_up

        _run(set_up(settings, Wish(has_browser=False, is_public=True), _console(stderr=True)))
        settings = _settings()

    async def work() -> None:
        async with wiring.open_records(settings) as records, AsyncExitStack() as stack:
            ports = await stack.enter_async_context(wiring.open_ports(settings, records))
            url, web = await stack.enter_async_context(serve_web(settings, records))
            click.echo(f"vibecoder listens on {url}; GitHub delivers to {settings.public_address}/webhook", err=True)
            jobs = await stack.enter_async_context(serve_jobs(settings, records, ports))
            await _until_told(web, jobs)

    _run(work())


@main.command()
@click.option("--org", default="", help="The organization that will own the App. [default: your own account]")
@click.option("--github-url", default="", help="Your Enterprise Server. [default: GITHUB_URL]")
@click.option("--public-url", default="", help="Where GitHub reaches this program. [default: PUBLIC_URL]")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
def setup(*, org: str, github_url: str, public_url: str, no_browser: bool) -> None:
    """Create the GitHub App: one click on GitHub, from app.yml.

    Serves a page on HOST:PORT until GitHub has made the App, and keeps its keys (with the addresses given here) in
    DATA_DIR/app.json, where `vibecoder serve` finds them. They are never shown.
    """
    from app.commands.setup import Wish, set_up

    given = {"GITHUB_URL": github_url.rstrip("/"), "PUBLIC_URL": public_url.rstrip("/")}
    also = {name: url for name, url in given.items() if url}
    settings = _settings(is_quiet=True)
    settings = replace(
        settings,
        github_url=also.get("GITHUB_URL", settings.github_url),
        public_url=also.get("PUBLIC_URL", settings.public_url),
    )
    _run(set_up(settings, Wish(org, also, has_browser=not no_browser), _console()))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def doctor(*, as_json: bool) -> None:
    """Check everything that a deployment needs, and say how to fix what is wrong.

    In order: settings, Redis, the App's key, installations, permissions, webhook, a signed delivery to PUBLIC_URL,
    GitHub's deliveries of the last day, the sandbox, and one turn of the model (a fraction of a cent).

    \b
    Exit codes: 0 all required checks pass   1 a check fails   2 the settings cannot be read
    """
    from app.commands.doctor.examination import run_doctor

    logs.configure("error", str)
    code, document = _run(run_doctor(_console(), as_json=as_json))
    if as_json:
        click.echo(json.dumps(document))
    sys.exit(code)


@main.command()
def web() -> None:
    """The web process: GitHub's webhook, the status API and the pages. Needs no private key."""
    import uvloop

    from app.commands.web import serve_web

    settings = _settings()
    if settings.github_private_key.get_secret_value():
        click.echo(
            "Web was given GITHUB_PRIVATE_KEY, which only workers need. Remove it from web's environment.", err=True
        )
        settings = settings.without_private_key()

    async def work() -> None:
        async with wiring.open_records(settings) as records, serve_web(settings, records) as (_, serving):
            await _until_told(serving)

    # uvloop halves what a request costs; the worker lives of subprocesses and keeps to asyncio's own loop.
    _run(work(), uvloop.new_event_loop)


@main.command()
def worker() -> None:
    """A worker process: carries jobs out, WORKER_RUNS at a time. Start as many as you like."""
    from app.commands.worker import serve_jobs

    settings = _settings()

    async def work() -> None:
        async with wiring.open_records(settings) as records, AsyncExitStack() as stack:
            ports = await stack.enter_async_context(wiring.open_ports(settings, records))
            await _until_told(await stack.enter_async_context(serve_jobs(settings, records, ports)))

    _run(work())


@main.command()
@click.option("--repo", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".", show_default=True)
@click.option("--base", help="The branch to start from. [default: the one that is checked out]")
@click.option("--model", help="The model's name. [default: MODEL]")
@click.option("--max-usd", type=click.FloatRange(min=0, min_open=True), help="Maximum dollars to spend.")
@click.option("--plan", "is_plan", is_flag=True, help="Only plan; make no changes.")
@click.option("--unisolated", is_flag=True, help="Run the agent's commands as you, WITHOUT any isolation.")
@click.argument("request", nargs=-1, required=True)
def run(  # noqa: PLR0913 -- click hands over each option by its name
    *,
    repo: Path,
    request: tuple[str, ...],
    base: str | None,
    model: str | None,
    max_usd: float | None,
    is_plan: bool,
    unisolated: bool,
) -> None:
    """Carry REQUEST out on a local git repository with a real model, without GitHub.

    Commits go to a new branch `vibecode/…`. The work tree, the index and the branch that is checked out stay as they
    are; changes that are not committed are not seen.

    \b
    Exit codes: 0 done, tests pass or there are none   3 over budget
                1 failed, or tests fail                4 nothing to do
                2 the request cannot be carried out    5 planned (--plan)
                                                     130 stopped
    """
    from app.commands.run_local import LocalRequest, run_locally

    settings = _settings(is_quiet=True)
    if unisolated:
        click.secho("The agent's commands run as you, WITHOUT any isolation.", fg="red", bold=True, err=True)
        settings = replace(settings, sandbox="unisolated")
    if max_usd is not None:
        settings = replace(settings, max_usd=max_usd)
    words = LocalRequest(repo, " ".join(request), base, model, is_plan)
    ended = _run(run_locally(settings, words, _console()))
    sys.exit(EXIT_CODES.get(ended.conclusion, 1) if ended.conclusion else 1)


@main.command()
@click.option("--once", is_flag=True, help="Exit once the pull request is open, instead of keeping the pages up.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output; implies --once.")
def demo(once: bool, as_json: bool) -> None:
    """Run the whole flow with nothing to configure: from a labelled issue to a pull request.

    Everything is real and on loopback: web, worker, Redis, signed webhook, a small GitHub with git repositories, a
    sandbox. Only the model is scripted, and the screen says so.
    """
    from app.commands.demo import show_demo

    logs.configure("error" if as_json else "warning", str)
    console = _console(stderr=as_json)
    result = _run(show_demo(console, once=once or as_json))
    if as_json:
        click.echo(json.dumps(result))
    sys.exit(0 if result["conclusion"] == Conclusion.SUCCESS else 1)


def _settings(*, is_quiet: bool = False) -> Settings:
    """The settings, with logging set up from them; a fault in them ends the program."""
    try:
        settings = load()
    except VibecoderError as error:
        raise click.ClickException(str(error)) from error
    logs.configure("error" if is_quiet else settings.log_level, Redactor(settings.secrets).redact)
    return settings


async def _until_told(*tasks: "asyncio.Task[None]") -> None:
    """Wait for SIGTERM, SIGINT, or one of the tasks to end; its error is raised."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done - {waiting}:
        task.result()


def _console(*, stderr: bool = False) -> "Console":
    """Where people read. What goes to a file or a pipe is not wrapped: its reader knows the width, rich does not."""
    from rich.console import Console

    console = Console(stderr=stderr)
    console.soft_wrap = not console.is_terminal
    return console


def _run(work: Coroutine[None, None, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """Run to the end; what went wrong on purpose is one line, not a traceback."""
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_ended_in_order(work))
    except VibecoderError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_CODES[Conclusion.SKIPPED if isinstance(error, UserError) else Conclusion.FAILURE])
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("Stopped.", err=True)
        sys.exit(EXIT_CODES[Conclusion.CANCELLED])


async def _ended_in_order(work: Coroutine[None, None, T]) -> T:
    """Let SIGTERM do what Ctrl-C does, so that no Redis, sandbox or folder is left behind."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 -- a coroutine that runs is in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
