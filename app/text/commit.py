"""The message of a commit: plain text, which git and GitHub both read. Nothing in it is Markdown."""

import re
from typing import Final

from app.core.job import JOB_TRAILER, Job, Source
from app.core.redact import find_secret
from app.text.render import calm

SUBJECT_CHARS: Final = 72
_TRAILER: Final = re.compile(r"^([\w-]+-by|refs|closes|fixes|vibecode-job):", re.IGNORECASE)


def compose_message(job: Job, subject: str, body: str, *, issue: int | None = None) -> str:
    """Subject, blank line, body, and the trailers as one block that `git interpret-trailers --parse` reads.

    Of the model's words no secret-shaped line is left, no mention or closing word comes alive, and none is a trailer:
    nobody is signed off for.
    """
    lines = [calm(_TRAILER.sub(r"\1 ", line)) for line in body.splitlines() if find_secret(line) is None]
    parts = [subject_of(subject), "\n".join(lines).strip(), "\n".join(_trailers(job, issue))]
    return "\n\n".join(part for part in parts if part)


def subject_of(title: str) -> str:
    """A commit's first line for the title of a step."""
    title = " ".join(title.split())
    if find_secret(title) is not None:
        return "Change the code"
    title = calm(_TRAILER.sub(r"\1 ", title))
    return title if len(title) <= SUBJECT_CHARS else title[: SUBJECT_CHARS - 1].rstrip() + "…"


def _trailers(job: Job, issue: int | None) -> list[str]:
    """`Key: value`, a line each: git takes a block with any other line in it for text."""
    number = issue or job.number
    trailers = [f"Refs: #{number}"] if number is not None else []
    if job.source is not Source.LOCAL:
        trailers.append(f"{JOB_TRAILER}: {job.key}")
    if job.source is not Source.LOCAL and job.sender.id:
        login, id_ = job.sender.login, job.sender.id
        trailers.append(f"Co-authored-by: {login} <{id_}+{login}@users.noreply.github.com>")
    return trailers
