"""`vibecoder doctor`: the checks in their order, each shown as it ends. Nothing they made is left."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape

from app.commands.doctor.delivery import delivery_check
from app.commands.doctor.deployment import parsers_check, redis_check, sandbox_check, settings_check, workers_check
from app.commands.doctor.finding import Finding, Look, Skip, State, Trouble
from app.commands.doctor.model import model_check
from app.commands.doctor.registration import AppChecks
from app.core.errors import UserError, VibecoderError
from app.core.safety.redact import Redactor
from app.settings import Settings, load

CHECKS: Final = (
    *("settings", "Redis", "workers", "the App's key", "installations", "permissions and events", "webhook"),
    *("a signed delivery", "GitHub's deliveries", "sandbox", "parsers", "model"),
)
TIMEOUT_S: Final = 60.0
_MARKS: Final = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "red", State.SKIPPED: "dim"}
_SIGNS: Final = {State.OK: "✓", State.WARNING: "!", State.FAILED: "✗", State.SKIPPED: "–"}  # noqa: RUF001
_FIXES: Final = {
    "Redis": "Check REDIS_URL, or unset it for the embedded one.",
    "sandbox": "Mend that, or set E2B_API_KEY to have sandboxes elsewhere.",
    "parsers": "Look for limits on memory or processes of this account.",
    "model": "Check OPENAI_API_KEY, OPENAI_BASE_URL, MODEL and MODEL_API.",
}


def checks(settings: Settings) -> tuple[Look, ...]:
    """The checks, as many as `CHECKS` names."""
    app = AppChecks(settings)
    of_app = (app.key, app.tokens, app.rights, app.webhook)
    here = (settings_check(settings), redis_check(settings), workers_check(settings))
    last = (sandbox_check(settings), parsers_check(), model_check(settings))
    return (*here, *of_app, delivery_check(settings), app.deliveries, *last)


async def run_checks(settings: Settings, show: Callable[[Finding], None]) -> list[Finding]:
    """Make every check; `show` has each finding, without secrets, as soon as there is one."""
    redact = Redactor(settings.secrets).redact
    findings = []
    for name, look in zip(CHECKS, checks(settings), strict=True):
        findings.append((await _made(name, look)).redacted(redact))
        show(findings[-1])
    return findings


async def _made(name: str, look: Look) -> Finding:
    began = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found, troubles = await look()
    except Skip as reason:
        return Finding(name, skipped_for=str(reason))
    except TimeoutError:
        found, troubles = "", [Trouble(f"It did not end within {TIMEOUT_S:g} s.", _FIXES.get(name, "Try again."))]
    except VibecoderError as error:
        found, troubles = "", [Trouble(str(error), _FIXES.get(name, "Try again; GitHub may be away."))]
    return Finding(name, found, tuple(troubles), seconds=time.monotonic() - began)


def unreadable(error: UserError) -> list[Finding]:
    """What there is to tell when the settings cannot be read."""
    troubles = tuple(Trouble(line, "Set it right; the README lists all settings.") for line in str(error).splitlines())
    rest = [Finding(name, skipped_for="the settings cannot be read") for name in CHECKS[1:]]
    return [Finding(CHECKS[0], "", troubles), *rest]


def document(findings: Sequence[Finding]) -> dict[str, object]:
    """The whole for machines."""
    return {"ok": exit_code(findings) == 0, "checks": [finding.document() for finding in findings]}


def exit_code(findings: Sequence[Finding]) -> int:
    """1 when a check failed, else 0: warnings stop nothing from working."""
    return int(any(finding.state is State.FAILED for finding in findings))


def show_finding(finding: Finding, console: Console) -> None:
    """One check on a terminal, with the fix under each trouble."""
    style, said = _MARKS[finding.state], finding.found
    if finding.skipped_for:
        said = f"skipped: {finding.skipped_for}"
    dash = f" — {escape(said)}" if said else ""
    console.print(
        f"[{style}]{_SIGNS[finding.state]}[/] [bold]{finding.check}[/]{dash}", highlight=False, soft_wrap=True
    )
    for trouble in finding.troubles:
        color = "yellow" if trouble.is_warning else "red"
        console.print(f"    [{color}]{escape(trouble.what)}[/]", highlight=False, soft_wrap=True)
        console.print(f"    → {escape(trouble.fix)}", highlight=False, soft_wrap=True)


def sum_up(findings: Sequence[Finding], console: Console) -> None:
    """The last line."""
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    said = [f"{counts[state]} {state}" for state in State if counts[state]]
    verdict = "It does not work yet" if exit_code(findings) else "All that must work works"
    console.print(f"\n[bold]{verdict}[/]: {', '.join(said)}.", highlight=False)


async def run_doctor(console: Console, *, as_json: bool) -> tuple[int, dict[str, object]]:
    """Read the settings, make the checks and show them; gives the exit code and the whole for machines."""

    def show(finding: Finding) -> None:
        if not as_json:
            show_finding(finding, console)

    try:
        settings = load()
    except UserError as error:
        findings = unreadable(error)
        for finding in findings:
            show(finding)
        return 2, document(findings)
    findings = await run_checks(settings, show)
    if not as_json:
        sum_up(findings, console)
    return exit_code(findings), document(findings)
