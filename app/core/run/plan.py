"""The plan: what the agent means to do, one step per commit, each with the way it will be checked."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

MAX_STEPS = 12
MAX_TITLE_CHARS = 120
MAX_SUMMARY_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Step:
    """One item of the plan and one commit. `title` is imperative and becomes the commit's subject line.

    `files` are repository paths the step expects to touch (a guide, not a fence); `check` is a shell command or a
    sentence that says how to see the step is right.
    """

    title: str
    files: tuple[str, ...] = ()
    check: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What becomes of a reviewer's remark. `remark` counts from 1; `step` is the index of the step that settles it,
    None when nothing is changed for it; `words` tell who made it what is done, or why not."""

    remark: int
    step: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`title` becomes the pull request's title, `summary` its opening paragraph. At most `MAX_STEPS` steps, none when
    there is nothing to do; `answers` are to the remarks that the plan follows up."""

    title: str
    summary: str
    steps: tuple[Step, ...]
    answers: tuple[Answered, ...] = ()


def approval_of(title: str, body: str, remarks: Iterable[tuple[str, str, str]], plan: Plan) -> str:
    """What an approval is bound to: twelve hex digits over the issue's text and the comments (author, association,
    text), as the plan saw them, and the whole plan."""
    comments = [(author, text) for author, _, text in remarks]
    said = json.dumps([title, body, asdict(plan), *([comments] if comments else [])], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]
