"""`python -m tests.bench [NAME…]`: measure, on this machine and without a network, and show one table at the end.

Each benchmark is one module with a docstring that says what and why, and `measure()`; each runs in a process of its
own, so that none carries another's memory. Nothing here passes or fails: a budget is said to hold or not.
"""

import json
import os
import platform
import sys
import time
from dataclasses import asdict
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from tests.bench.alone import measure_alone
from tests.bench.figure import Figure, show

NAMES: Final = ("door", "pickup", "processes", "flood", "clone", "job", "sweep")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
def main(names: tuple[str, ...], as_json: bool) -> None:
    """Measure NAMES, or everything; ratios are within this run."""
    progress = Console(stderr=True)
    results: dict[str, list[Figure]] = {}
    failed: dict[str, str] = {}
    load_before, began = os.getloadavg()[0], time.monotonic()
    for name in names or NAMES:
        started = time.monotonic()
        measured = measure_alone(name)
        if (error := measured.exception()) is not None:
            failed[name] = f"{type(error).__name__}: {error}"
        else:
            results[name] = measured.result()
        progress.print(f"{name}: {failed.get(name) or 'measured'}, {time.monotonic() - started:.0f} s")
    about: dict[str, object] = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": round(load_before, 2),
        "seconds": round(time.monotonic() - began, 1),
    }
    if as_json:
        figures = {name: [asdict(each) for each in found] for name, found in results.items()}
        click.echo(json.dumps({"about": about, "benchmarks": figures, "failed": failed}))
    else:
        _show(results, about)
    sys.exit(1 if failed else 0)


def _show(results: dict[str, list[Figure]], about: dict[str, object]) -> None:
    words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())
    table = Table(caption=f"Medians. {words}. Other work on the machine shows in the spread.")
    for column in ("", "figure"):
        table.add_column(column)
    table.add_column("median", justify="right")
    for column in ("p99 or spread", "ratio", "compared with", "budget"):
        table.add_column(column, justify="right" if column == "ratio" else "left")
    for name, figures in results.items():
        for index, each in enumerate(figures):
            ratio = "" if each.ratio is None else f"{show(each.ratio)} x"
            median = f"{show(each.median)} {each.unit}"
            first = "" if index else name
            table.add_row(first, each.name, median, each.spread, ratio, each.against, each.verdict)
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    main()
