"""All that is said to the model besides what its tools answer. The words are in `templates/prompt`."""

import re
from dataclasses import dataclass, replace
from typing import Final

from app.core.run.job import DiffPosition, Feedback
from app.core.run.plan import MAX_STEPS, Plan, Step
from app.core.safety.escape import last_lines
from app.core.safety.sanitize import plain
from app.text.render import render

MAX_REQUEST_CHARS: Final = 48_000
MAX_FILE_CHARS: Final = 16_000
MAX_EVIDENCE_CHARS: Final = 12_000
MAX_REMARK_CHARS: Final = 8_000
MAX_PATTERN_CHARS: Final = 100

USE_A_TOOL: Final = "Nobody reads this but the harness. Go on with a tool call; when you are done, call `{}`."
CUT: Final = "Your answer ended at the output limit. Go on, in smaller pieces."
ACCEPTED: Final = "Accepted."
LOOK_FIRST: Final = "Not yet: another call of this turn failed. Look at it, then call this alone."
FIX_FIRST: Final = """\
Not yet: there are syntax faults that were not there before. Mend them, or insist.
{}"""
RESTARTED: Final = (
    "The worker that carried this out was restarted. Nobody knows whether it took effect, or took effect in part: look "
    "at what is there before you go on."
)
STARTED_OVER: Final = """
You have worked on this already. That conversation grew too long, so this is a new one. What you changed is in the work
tree; read it there before you go on. What you said last:

{}"""
TURNS_LEFT: Final = "{} turns are left for this. Bring it into a state that works, then call `{}`."

_OUR_TAGS: Final = re.compile(
    r"<(?=/\s*(request|instruction|comment|remark|pull|file|survey|plan|evidence)\s*>|(request|instruction|comment|remark)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Brief:
    """What the model is told of the task. Text comes sanitised.

    `request` is the issue's body, by `author`; `instruction` the words of `sender`, who started the run. Of a pull
    request that is followed up, `pull` is its title and opening, `heard` what is to be settled, `checks` (name, part of
    the log) those that fail on it.
    `lfs` are patterns of the files that Git LFS keeps.
    `instructions` are (path, text) of the repository's own conventions, `remarks` (author, association, text) of the
    thread. Empty means there is none.
    """

    repo: str
    number: int | None = None
    title: str = ""
    request: str = ""
    author: str = ""
    sender: str = ""
    instruction: str = ""
    instructions: tuple[tuple[str, str], ...] = ()
    remarks: tuple[tuple[str, str, str], ...] = ()
    test_command: str = ""
    lint_command: str = ""
    setup_notes: str = ""
    lfs: tuple[str, ...] = ()
    base_ref: str = ""
    pull: tuple[str, str] = ("", "")
    heard: tuple[Feedback, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()


def instructions() -> str:
    """The system message."""
    return render("prompt/instructions.j2")


def ask_for_plan(brief: Brief | None, survey: str, previous: Plan | None = None) -> str:
    """The first message of the conversation that ends in a plan; `previous` is the plan that it takes the place of."""
    return _render(
        "plan", brief, survey=_inert(survey), max_steps=MAX_STEPS, previous=_inert_plan(previous) if previous else None
    )


def ask_for_step(brief: Brief | None, plan: Plan, index: int) -> str:
    """The first message of the conversation that carries out one step; `index` from 0."""
    return _render("step", brief, plan=_inert_plan(plan), index=index)


def ask_for_repair(brief: Brief | None, evidence: str) -> str:
    """The first message of the conversation that fixes what verification found."""
    return _render("repair", brief, evidence=_inert(last_lines(evidence, MAX_EVIDENCE_CHARS)))


def _render(template: str, brief: Brief | None, **variables: object) -> str:
    files = [_governing(path, text) for path, text in brief.instructions] if brief else []
    return render(f"prompt/{template}.j2", brief=_made_inert(brief) if brief else None, files=files, **variables)


def _governing(path: str, text: str) -> tuple[str, str, str]:
    """A file of conventions: its path, the folder that they are for, and the text."""
    shown = re.sub(r"[^\w./ @+-]", "?", path)
    return shown, f"{shown.rpartition('/')[0]}/".lstrip("/") or "everything", _inert(_shortened(text, MAX_FILE_CHARS))


def _made_inert(brief: Brief) -> Brief:
    return replace(
        brief,
        title=_inert(brief.title),
        lfs=tuple(re.sub(r"[^\w./*?@+\[\]-]", "?", pattern)[:MAX_PATTERN_CHARS] for pattern in brief.lfs),
        request=_inert(_shortened(brief.request, MAX_REQUEST_CHARS)),
        author=_name(brief.author),
        instruction=_inert(_shortened(brief.instruction, MAX_REQUEST_CHARS)),
        remarks=tuple((_name(author), _name(who), _inert(text)) for author, who, text in brief.remarks),
        sender=_name(brief.sender),
        pull=(_inert(brief.pull[0]), _inert(_shortened(brief.pull[1], MAX_FILE_CHARS))),
        heard=tuple(map(_quoted_feedback, brief.heard)),
        checks=tuple(
            (_inert(name).replace('"', "'"), _inert(last_lines(log, MAX_EVIDENCE_CHARS))) for name, log in brief.checks
        ),
    )


def render_feedback(number: int, heard: Feedback) -> str:
    """What a model at work is told of a remark that came meanwhile; `number` counts from 1."""
    return render("prompt/remark.j2", number=number, heard=_quoted_feedback(heard), is_new=True)


def _quoted_feedback(heard: Feedback) -> Feedback:
    place = heard.place
    if place is not None:
        place = DiffPosition(_inert(place.path).replace('"', "'"), place.line, _inert(place.hunk))
    author = replace(heard.author, login=_name(heard.author.login))
    return replace(heard, author=author, text=_inert(_shortened(heard.text, MAX_REMARK_CHARS)), place=place)


def _inert_plan(plan: Plan) -> Plan:
    steps = (Step(_inert(step.title), tuple(map(_inert, step.files)), _inert(step.check)) for step in plan.steps)
    return Plan(_inert(plan.title).replace('"', "'"), _inert(plan.summary), tuple(steps))


def _inert(text: str) -> str:
    """Keep a text from closing the tags it is put in, from speaking as somebody else, and from hiding words."""
    return _OUR_TAGS.sub("&lt;", plain(text)).strip("\n")


def _name(login: str) -> str:
    """A login as the value of an attribute, whatever its server lets people be called."""
    return re.sub(r"[^\w.\[\]-]", "?", login)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}\n… ({len(text) - limit} more characters left out)"
