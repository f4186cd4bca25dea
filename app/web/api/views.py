"""The run as the outside may see it: a stable public shape of its own, each function one view of a `Run`.

Every view is a dict of JSON values; times are RFC 3339 in UTC, an absent value is null, money is US dollars. Keys are
only ever added. `Documents.cleaned` is applied to all that is returned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import quote

from pydantic import SecretStr

from app.core.ports.queue import Waiting
from app.core.run.links import page_url
from app.core.run.plan import Step
from app.core.run.run import Activity, Commit, Conclusion, Failure, Run, Stage, StageRecord, Status
from app.core.run.verification import Verification
from app.text.comment import render_queue_position
from app.text.summary import summarize

Document: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Documents:
    """Draws runs for one deployment. `public_url` empty makes links that are paths."""

    link_secret: SecretStr
    public_url: str = ""
    github_url: str = "https://github.com"
    redact: Callable[[str], str] = str

    def show(self, run: Run) -> Document:
        """The whole status document."""
        return self.cleaned(
            self._head(run)
            | {
                "stages": [_stage(stage, run) for stage in Stage],
                "plan": _plan(run),
                "branch": run.branch or None,
                "base": run.base_ref or None,
                "commits": [_commit(commit) for commit in run.commits],
                "verification": _verification(run.verification),
                "summary": summarize(run),
                "model": run.model or None,
                "notices": list(run.notices),
                "failure": _failure(run.failure),
            }
        )

    def show_item(self, run: Run) -> Document:
        """The run as one line of a list."""
        return self.cleaned(self._head(run))

    def show_progress(self, run: Run, waiting: Waiting | None = None) -> Document:
        """What a poller needs, and no more; for a run in line, its place and what it waits for."""
        queue: Document = {"queue": None}
        if waiting is not None:
            place: Document = {"position": waiting.position, "reason": waiting.reason}
            queue = {"queue": place, "message": render_queue_position(waiting, run.job)}
        return self.cleaned(_progress(run) | {"attempt": run.attempt, "updated_at": _time(_updated_at(run))} | queue)

    def show_result(self, run: Run) -> Document:
        """What came of it so far; `conclusion` is null while the run is in progress."""
        return self.cleaned(
            {
                "status": run.status,
                "conclusion": run.conclusion,
                "superseded_by": run.superseded_by or None,
                "continues": run.earlier or None,
                "summary": summarize(run),
                "branch": run.branch or None,
                "base": run.base_ref or None,
                "commits": [_commit(commit) for commit in run.commits],
                "pull_request": _pull_request(run),
                "verification": _verification(run.verification),
                "cost": _cost(run),
                "failure": _failure(run.failure),
            }
        )

    def show_commits(self, run: Run) -> Document:
        return self.cleaned({"commits": [_commit(commit) for commit in run.commits]})

    def show_activity(self, activity: Activity, run: Run) -> Document:
        """One line of the timeline; `seconds` are counted from the request."""
        return self.cleaned(
            {
                "seq": activity.seq,
                "at": _time(activity.at),
                "seconds": _seconds(run.job.created_at, activity.at),
                "kind": activity.kind,
                "text": activity.text,
            }
        )

    def cleaned(self, document: Document) -> Document:
        """The same document with `redact` applied to every text in it."""
        return {key: self._cleaned(value) for key, value in document.items()}

    def _cleaned(self, value: object) -> object:
        match value:
            case str():
                return self.redact(value)
            case list():
                return [self._cleaned(item) for item in value]
            case dict():
                return self.cleaned(value)
            case _:
                return value

    def _head(self, run: Run) -> Document:
        job = run.job
        return {
            "id": run.id,
            "repo": job.repo,
            "number": job.number,
            "url": self._thread_url(run),
            "title": job.title,
            "source": job.source,
            "requested_by": job.sender.login,
            "mode": job.mode,
            **_progress(run),
            "pull_request": _pull_request(run),
            "cost": _cost(run),
            "continues": run.earlier or None,
            "attempt": run.attempt,
            "created_at": _time(job.created_at),
            "started_at": _time(run.started_at),
            "ended_at": _time(run.ended_at),
            "updated_at": _time(_updated_at(run)),
            "seconds": _seconds(run.started_at, run.ended_at or _updated_at(run)) if run.started_at else None,
            "links": self._links(run.id),
        }

    def _thread_url(self, run: Run) -> str | None:
        if run.job.number is None:
            return None
        kind = "pull" if run.job.is_pull_request else "issues"
        return f"{self.github_url.rstrip('/')}/{run.job.repo}/{kind}/{run.job.number}"

    def _links(self, job_id: str) -> Document:
        url = f"{self.public_url.rstrip('/')}/api/jobs/{quote(job_id, safe='~')}"
        return {
            "self": url,
            "progress": f"{url}/progress",
            "result": f"{url}/result",
            "events": f"{url}/events",
            "page": page_url(self.public_url, self.link_secret, job_id),
        }


def _updated_at(run: Run) -> datetime:
    return run.updated_at or run.job.created_at


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def _seconds(started_at: datetime, ended_at: datetime | None) -> float | None:
    return max(0.0, round((ended_at - started_at).total_seconds(), 3)) if ended_at else None


def _progress(run: Run) -> Document:
    return {
        "status": run.status,
        "conclusion": run.conclusion,
        "stage": run.stage,
        "progress_percentage": run.percent,
        "message": run.message,
        "needs": run.needs or None,
        "superseded_by": run.superseded_by or None,
    }


def _stage(stage: Stage, run: Run) -> Document:
    record = next((record for record in reversed(run.stages) if record.stage is stage), None)
    status, conclusion = _stage_status(stage, record, run)
    return {
        "name": stage,
        "status": status,
        "conclusion": conclusion,
        "started_at": _time(record.started_at) if record else None,
        "ended_at": _time(record.ended_at) if record else None,
        "seconds": _seconds(record.started_at, record.ended_at) if record else None,
        "detail": record.detail if record else "",
    }


def _stage_status(stage: Stage, record: StageRecord | None, run: Run) -> tuple[Status, Conclusion | None]:
    """What never began is queued while the run goes on, skipped afterwards; where the run ended, it ended alike."""
    is_over = run.status is Status.COMPLETED
    if record is None:
        return (Status.COMPLETED, Conclusion.SKIPPED) if is_over else (Status.QUEUED, None)
    if run.failure is not None and run.failure.stage is stage and is_over:
        return Status.COMPLETED, run.conclusion
    if record.status is Status.COMPLETED:
        return Status.COMPLETED, Conclusion.SUCCESS
    return (Status.COMPLETED, run.conclusion) if is_over else (Status.IN_PROGRESS, None)


def _plan(run: Run) -> Document | None:
    if run.plan is None:
        return None
    steps = [_step(index, step, run) for index, step in enumerate(run.plan.steps)]
    return {"title": run.plan.title, "summary": run.plan.summary, "steps": steps}


def _step(index: int, step: Step, run: Run) -> Document:
    if index < run.steps_done:
        status = Status.COMPLETED
    elif index == run.steps_done and run.stage is Stage.STEPS and run.status is Status.IN_PROGRESS:
        status = Status.IN_PROGRESS
    else:
        status = Status.QUEUED
    commit = next((commit.sha for commit in reversed(run.commits) if commit.step == index), None)
    return {
        "title": step.title,
        "files": list(step.files),
        "check": step.check,
        "status": status,
        "commit": commit,
    }


def _commit(commit: Commit) -> Document:
    return {
        "sha": commit.sha,
        "subject": commit.subject,
        "files": list(commit.files),
        "step": commit.step,
        "is_verified": commit.is_verified,
        "url": commit.url or None,
    }


def _pull_request(run: Run) -> Document | None:
    if run.pull_request is None:
        return None
    pull = run.pull_request
    return {"number": pull.number, "url": pull.url, "head_sha": pull.head_sha, "is_draft": pull.is_draft}


def _verification(verification: Verification | None) -> Document | None:
    if verification is None:
        return None
    runs = [
        {
            "on": suite.on,
            "command": suite.command,
            "exit_code": suite.exit_code,
            "passed": suite.passed,
            "timed_out": suite.timed_out,
            "seconds": round(suite.seconds, 3),
            "tail": suite.tail,
        }
        for suite in verification.runs
    ]
    return {
        "verdict": verification.verdict,
        "runs": runs,
        "tree_sha": verification.tree_sha or None,
        "changed_tests": list(verification.changed_tests),
    }


def _cost(run: Run) -> Document:
    cost = run.cost
    return {
        "usd": round(cost.usd, 6),
        "is_priced": cost.is_priced,
        "input_tokens": cost.usage.input_tokens,
        "cached_tokens": cost.usage.cached_tokens,
        "output_tokens": cost.usage.output_tokens,
        "turns": cost.turns,
    }


def _failure(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return {"kind": failure.kind, "message": failure.message, "stage": failure.stage, "excerpt": failure.excerpt}
