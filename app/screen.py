"""A run on a terminal: each stage, step and commit as a line when it happens, and the end with its evidence."""

from rich.console import Console
from rich.markup import escape
from rich.status import Status as Spinner
from rich.syntax import Syntax
from rich.table import Table

from app.core.run import Conclusion, Kind, Run, Status
from app.text.comment import headline

_STYLES = {Kind.STAGE: "bold cyan", Kind.TOOL: "dim", Kind.MODEL: "", Kind.NOTE: "green"}
_MAX_CHARS = 160
_TAIL_CHARS = 2_000


class Screen:
    """Shows one run as it is saved. Enter it with `with`; `show` may be called with the same run again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("Waiting", console=console)
        self._seen = 0
        self._steps = -1

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
            self._console.print(f"  [bold]{escape(run.plan.title)}[/]")
            for number, step in enumerate(run.plan.steps, start=1):
                self._console.print(f"    {number}. {escape(step.title)}", highlight=False)
        money = f"${run.cost.usd:.4f}" if run.cost.is_priced else f"{run.cost.usage.total_tokens:,} tokens"
        self._spinner.update(f"{run.percent:3} %  {escape(run.message)}  [dim]{run.cost.turns} turns, {money}[/]")

    def _line(self, kind: Kind, text: str) -> None:
        first, *rest = text.strip().splitlines() or [""]
        line = first[:_MAX_CHARS] + ("…" if rest or len(first) > _MAX_CHARS else "")
        indent = "" if kind is Kind.STAGE else "  "
        self._console.print(f"{indent}[{_STYLES[kind] or 'default'}]{escape(line)}[/]", highlight=False)


def show_end(console: Console, run: Run, diff: str = "") -> None:
    """How it ended: the diff, what the tests said, the cost."""
    if diff:
        console.print(Syntax(diff, "diff", background_color="default", word_wrap=True))
    if run.verification is not None and run.verification.runs:
        table = Table("tests run by the harness on", "exit code", "seconds", title=run.verification.runs[-1].command)
        for suite in run.verification.runs:
            table.add_row(suite.on, str(suite.exit_code), f"{suite.seconds:.1f}")
        console.print(table)
        console.print(f"Verdict: [bold]{run.verification.verdict}[/]")
        head = run.verification.runs[-1]
        if not head.passed:
            console.print(head.tail[-_TAIL_CHARS:], style="dim", markup=False, highlight=False)
    for notice in run.notices:
        console.print(f"[yellow]{escape(notice)}[/]")
    style = "bold green" if run.conclusion is Conclusion.SUCCESS else "bold yellow"
    console.print(f"[{style}]{headline(run)}.[/] {escape(run.failure.message if run.failure else run.message)}")
    if run.failure is not None and run.failure.excerpt:
        console.print(escape(run.failure.excerpt), style="dim")
    if run.status is Status.COMPLETED and run.cost.turns:
        price = f"${run.cost.usd:.4f}" if run.cost.is_priced else "price not known"
        usage = run.cost.usage
        console.print(
            f"{run.model}: {run.cost.turns} turns, {usage.input_tokens:,} tokens in ({usage.cached_tokens:,} cached), "
            f"{usage.output_tokens:,} out, {price}"
        )
