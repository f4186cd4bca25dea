"""A run on a terminal: each stage, step and commit as a line when it happens, and the end with its evidence."""

import re

from rich.console import Console
from rich.markup import escape
from rich.status import Status as Spinner
from rich.syntax import Syntax
from rich.table import Table

from app.core.run.job import Source
from app.core.run.plan import Plan
from app.core.run.run import Conclusion, Kind, Run, Status
from app.core.safety.escape import last_lines
from app.text.comment import headline
from app.text.render import format_spent

_STYLES = {Kind.STAGE: "bold cyan", Kind.TOOL: "dim", Kind.MODEL: "", Kind.NOTE: "green"}
_MAX_CHARS = 160
_TAIL_CHARS = 2_000
_NO_PRICE = "The price of `{}` is unknown: a dollar limit can't be enforced, but tokens, turns and minutes are."
_MORE = "Give it more with --max-usd, MAX_MINUTES, MAX_TURNS or MAX_TOKENS."
_IN_A_THREAD = re.compile(r"[;.]? `/vibecode [^`]+` [^.]*")
"""What to write in a comment: here there is no thread to write it in."""


def _plain(text: str) -> str:
    """Words from outside, without what would steer the terminal."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def _safe(text: str) -> str:
    """Plain words that rich takes for words."""
    return escape(_plain(text))


class Screen:
    """Shows one run as it is saved. Enter it with `with`; `show` may be called with the same run again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("Waiting", console=console)
        self._seen = 0
        self._steps = -1
        self._was_told_of_prices = False

    def __enter__(self) -> "Screen":
        self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._spinner.stop()

    def show(self, run: Run) -> None:
        """Print what is new since the last call."""
        for activity in run.activities:
            if activity.seq > self._seen:
                self._seen = activity.seq
                self._line(activity.kind, activity.text)
        if run.plan is not None and self._steps < 0:
            self._steps = len(run.plan.steps)
            self._console.print(f"  [bold]{_safe(run.plan.title)}[/]")
            for number, step in enumerate(run.plan.steps, start=1):
                self._console.print(f"    {number}. {_safe(step.title)}", highlight=False)
        if not run.cost.is_priced and not self._was_told_of_prices:
            self._was_told_of_prices = True
            self._console.print(f"  [yellow]{_safe(_NO_PRICE.format(run.model))}[/]", highlight=False)
        money = f"${run.cost.usd:.4f}" if run.cost.is_priced else f"{run.cost.usage.total_tokens:,} tokens"
        self._spinner.update(f"{run.percent:3} %  {_safe(run.message)}  [dim]{run.cost.turns} turns, {money}[/]")

    def _line(self, kind: Kind, text: str) -> None:
        first, *rest = text.strip().splitlines() or [""]
        line = first[:_MAX_CHARS] + ("…" if rest or len(first) > _MAX_CHARS else "")
        indent = "" if kind is Kind.STAGE else "  "
        self._console.print(f"{indent}[{_STYLES[kind] or 'default'}]{_safe(line)}[/]", highlight=False)


def show_end(console: Console, run: Run, diff: str = "") -> None:
    """How it ended: the diff, what the tests said, the cost."""
    if diff:
        console.print(Syntax(diff, "diff", background_color="default", word_wrap=console.is_terminal))
    if run.verification is not None and run.verification.runs:
        table = Table("tests run on", "exit code", "seconds", title=run.verification.runs[-1].command)
        for suite in run.verification.runs:
            table.add_row(suite.on, str(suite.exit_code), f"{suite.seconds:.1f}")
        console.print(table)
        console.print(f"Verdict: [bold]{run.verification.verdict}[/]")
        head = run.verification.runs[-1]
        if not head.passed:
            console.print(_plain(last_lines(head.tail, _TAIL_CHARS)), style="dim", markup=False, highlight=False)
    for notice in run.notices:
        console.print(f"[yellow]{_safe(notice)}[/]")
    style = "bold green" if run.conclusion is Conclusion.SUCCESS else "bold yellow"
    if run.job.source is Source.LOCAL:
        title, words = _said_here(console, run)
    else:
        title, words = headline(run), run.failure.message if run.failure else run.message
    console.print(f"[{style}]{title}.[/] {_safe(words)}")
    if run.failure is not None and run.failure.excerpt:
        console.print(_safe(run.failure.excerpt), style="dim")
    if run.status is Status.COMPLETED and run.cost.turns:
        price = format_spent(run.cost.usd, run.cost.is_priced)
        usage = run.cost.usage
        console.print(
            f"{run.model}: {run.cost.turns} turns, {usage.input_tokens:,} tokens in ({usage.cached_tokens:,} cached), "
            f"{usage.output_tokens:,} out, {price}"
        )


def _said_here(console: Console, run: Run) -> tuple[str, str]:
    """How a local run ended: without the words for a thread, and with what can be done here instead."""
    words = _IN_A_THREAD.sub("", run.failure.message if run.failure else run.message)
    match run.conclusion:
        case Conclusion.ACTION_REQUIRED if run.plan is not None:
            _show_plan(console, run.plan)
            return "📋 Planned", "No changes made. Run without --plan to carry it out."
        case Conclusion.TIMED_OUT:
            return headline(run), f"{words} {_MORE}"
    return headline(run), words


def _show_plan(console: Console, plan: Plan) -> None:
    console.print(f"\n[bold]{_safe(plan.title)}[/]\n{_safe(plan.summary)}", highlight=False)
    for number, step in enumerate(plan.steps, start=1):
        console.print(f"  {number}. {_safe(step.title)}", highlight=False)
        for about in (", ".join(step.files), step.check):
            if about:
                console.print(f"     {_safe(about)}", style="dim", highlight=False)
    console.print()
