"""`python -m tests.attacks [NAME…]`: attack running deployments, three at a time, and say which attacks failed.

An attack passes when what it tried did not work and was told; every attack gets a deployment of its own.
"""

import multiprocessing
import sys
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from app import wiring
from tests.attacks.alone import Outcome, carry_out, load
from tests.attacks.attack import ATTACKS, GROUPS

AT_A_TIME: Final = 3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--list", "is_list", is_flag=True, help="Say what is tried, and try nothing.")
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...], *, is_list: bool) -> None:
    """Carry out the attacks NAMES (of attacks or of groups), or all."""
    load()
    unknown = [name for name in names if name not in ATTACKS and name not in GROUPS]
    if unknown:
        raise click.UsageError(f"There is no attack {', '.join(unknown)}; --list shows them.")
    chosen = [each for each in ATTACKS.values() if not names or each.name in names or each.group in names]
    console = Console(width=None if sys.stdout.isatty() else 150)
    if is_list:
        for each in chosen:
            click.echo(f"{each.group:14}{each.name:34}{each.about}")
        return
    if why := wiring.why_not_isolated():
        raise click.ClickException(f"Attacks need the isolated sandbox. {why}")
    outcomes = _carry_out_all([each.name for each in chosen], console)
    _show(outcomes, console)
    failed = [each for each in outcomes if each.why]
    console.print(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed", highlight=False)
    sys.exit(1 if failed else 0)


def _carry_out_all(names: list[str], console: Console) -> list[Outcome]:
    """In processes of their own, each of which does one after another."""
    outcomes = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(AT_A_TIME, mp_context=spawn) as pool:
        at_work: list[Future[Outcome]] = [pool.submit(carry_out, name) for name in names]
        for future in as_completed(at_work):
            outcome = future.result()
            outcomes.append(outcome)
            word = "SUCCEEDED" if outcome.why else "failed, as it should"
            console.print(f"{outcome.name:52}{word}  {outcome.seconds:.1f} s", highlight=False, markup=False)
    return sorted(outcomes, key=lambda outcome: names.index(outcome.name))


def _show(outcomes: list[Outcome], console: Console) -> None:
    table = Table(caption="passed: the attack failed, and who should know was told")
    for column in ("group", "attack", "passed", "seconds"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for group in GROUPS:
        rows = [each for each in outcomes if ATTACKS[each.name].group == group]
        for index, each in enumerate(rows):
            table.add_row("" if index else group, each.name, "no" if each.why else "yes", f"{each.seconds:.1f}")
        if rows:
            table.add_section()
    console.print(table)
    for each in outcomes:
        if each.why:
            console.print(f"\n{each.name}: {ATTACKS[each.name].about}\n  {each.why}", highlight=False, markup=False)
    counts = Counter((ATTACKS[each.name].group, not each.why) for each in outcomes)
    summary = Table("group", "passed", "failed")
    for group in GROUPS:
        if counts[group, True] + counts[group, False]:
            summary.add_row(group, str(counts[group, True]), str(counts[group, False]))
    console.print(summary)


if __name__ == "__main__":
    main()
