"""The one comment of a run, drawn from the run each time it changes, and never read back."""

import hashlib
from collections.abc import Sequence
from typing import Final

from app.core.inbound.commands import COMMANDS, OPTIONS
from app.core.ports.queue import Waiting
from app.core.run.job import Job, Mode, Source
from app.core.run.run import Conclusion, Run, Status
from app.core.safety.escape import cut
from app.text.render import render
from app.text.summary import summarize

MAX_CHARS: Final = 60_000
"""GitHub takes 65,536."""

_HEADLINES: Final = {
    Conclusion.SUCCESS: "✅ Done",
    Conclusion.FAILURE: "❌ Failed",
    Conclusion.NEUTRAL: "💬 Nothing to do",
    Conclusion.CANCELLED: "⏹️ Stopped",
    Conclusion.SKIPPED: "🚫 Not started",
    Conclusion.TIMED_OUT: "⌛ Budget exceeded",
    Conclusion.ACTION_REQUIRED: "✋ Needs your approval",
}


ENDED: Final = "<!-- vibecoder:ended -->"
"""Stands beside the marker of a run that came to its end, for whoever has lost the record of it."""


def marker_of(job_id: str) -> str:
    """The hidden line by which the run's comment is found again."""
    return f"<!-- vibecoder:run={hashlib.sha256(job_id.encode()).hexdigest()[:16]} -->"


def marker_for(run: Run) -> str:
    """The marker of the run's comment: failed checks of one pull request share one."""
    job = run.job
    return marker_of(f"{job.repo}#{job.number}:checks" if job.mode is Mode.FIX_CI else run.id)


def is_silent(run: Run) -> bool:
    """Is there nothing to say (yet) to people? Nobody asked about a failed check."""
    has_news = run.diagnosis.findings or run.failure is not None or run.stages
    return run.job.source is Source.CHECKS and not has_news


def headline(run: Run) -> str:
    """The run's state in a few words."""
    if run.is_handed_over:
        return "📬 Draft opened"
    if run.superseded_by:
        return "📋 Plan superseded"
    if run.conclusion is not None:
        return _HEADLINES[run.conclusion]
    is_queued = run.status is Status.QUEUED and run.started_at is None
    doing = "Waiting" if run.is_on_hold else "Working"
    return "🕐 Queued" if is_queued else f"⏳ {doing} · {run.percent} %"


def title(run: Run) -> str:
    """How the run stands, with the pull request it made."""
    return f"{headline(run)} · #{run.pull_request.number}" if run.pull_request else headline(run)


def render_comment(run: Run, page_url: str) -> str:
    """The comment's body, at most `MAX_CHARS` long."""
    answer = "comment/checks.md.j2" if run.job.mode is Mode.FIX_CI else "comment/answer.md.j2"
    template = answer if run.is_answer_only else "comment/progress.md.j2"
    body = render(template, run=run, title=title(run), summary=summarize(run), page_url=page_url)
    marker = marker_for(run)
    ended = f" {ENDED}" if run.conclusion is not None else ""
    return f"{marker}{ended}\n{cut(body, MAX_CHARS - len(marker) - len(ended))}"


def render_help() -> str:
    """What can be said in a comment."""
    return render("comment/help.md.j2", commands=COMMANDS, options=OPTIONS)


def render_queue_position(waiting: Waiting, job: Job) -> str:
    """Where a run stands in line, and what it waits for, in a sentence."""
    return render("comment/place.md.j2", waiting=waiting, job=job).strip()


def render_stopped(runs: Sequence[Run]) -> str:
    """What a stop ended, what stays of it, and how to go on."""
    return render("comment/stopped.md.j2", runs=runs)


def describe_status(run: Run | None) -> str:
    """Where a thread's newest run stands and what can be said now, in one or two sentences; empty without a run."""
    return render("comment/standing.md.j2", run=run).strip() if run is not None else ""
