"""The message of a commit, and the title of a pull request: plain text, in which GitHub, CI systems, release tools and
git itself look for things to do. Words from outside are reworded until there is nothing to find, and never hide a
character: what is copied from the log is what was written."""

import re
from typing import Final

from app.core.run.job import JOB_TRAILER, Job, Source
from app.core.safety.escape import SKIPS
from app.core.safety.redact import find_secret
from app.core.safety.sanitize import plain

SUBJECT_CHARS: Final = 72
TITLE_CHARS: Final = 120
OTHERWISE: Final = "Change the code"

_ISSUE: Final = re.compile(
    r"""
      \bhttps?://[^\s/]+/(?P<at>[\w.-]+/[\w.-]+)/(?P<kind>issues|pull)/(?P<linked>\d+)[^\s`]*
    | (?P<repo>(?<![\w.-])(?:[\w.-]++/)?[\w.-]++)?\#(?P<number>\d+)
    | \bGH-(?P<gh>\d+)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NOUN_BEFORE: Final = re.compile(
    r"\b(?:issues?|bugs?|tickets?|prs?|pulls?|requests?|numbers?|no\.?)\s+$", re.IGNORECASE
)
_NOUN_CHARS: Final = 20
_SKIPS: Final = re.compile(SKIPS, re.IGNORECASE)
_OVERRIDE: Final = re.compile(r"\b(BEGIN|END)_(COMMIT_OVERRIDE|NESTED_COMMIT)")
_BREAKING: Final = re.compile(r"\bBREAKING[ -]CHANGES?(?=\s*:)", re.IGNORECASE)
_FOOTER: Final = re.compile(r"\b(?:skip-checks|release-as)(?=\s*:)|^\s*[a-z0-9]+(?:-[a-z0-9]+)+(?=\s*:)", re.IGNORECASE)
_CODE: Final = re.compile(r"((?<!`)`(?!`)[^`]+`(?!`))")
_FENCE: Final = re.compile(r"\s*`{3,}[\w+-]*\s*")
_ADDRESS: Final = re.compile(r"\b[a-z][\w+.-]{0,30}://(?:www\.)?|\bwww\.(?=\w)", re.IGNORECASE)
_AT: Final = re.compile(r"(?<![\w.+/-])[\w.+/-]*@[a-z0-9_](?:[\w./@-]*[\w/-])?(?:\[bot\])?", re.IGNORECASE)
_COMMAND: Final = re.compile(r"^\s*(?:(/[a-z][\w-]*)(?=\s|$)|(bors)(?=\s))", re.IGNORECASE)
_RULE: Final = re.compile(r"^---(?=\s|$)")
_TRAILER: Final = re.compile(r"^([A-Za-z0-9-]+)\s*:|^\((cherry picked from commit [^)]*)\)")


def compose_message(job: Job, subject: str, body: str, *, issue: int | None = None) -> str:
    """Subject, blank line, body, and the trailers as one block that `git interpret-trailers --parse` reads.

    Of the model's words no secret-shaped line is left, nothing comes alive, and none is a trailer: nobody is signed off
    for.
    """
    text = "\n".join(reword(line) for line in plain(body).splitlines() if find_secret(line) is None).strip()
    trailers = _trailers(job, issue)
    if not trailers:
        *before, last = text.split("\n\n")
        text = "\n\n".join((*before, "\n".join(_TRAILER.sub(r"\1\2 -", line) for line in last.split("\n"))))
    return "\n\n".join(part for part in (subject_of(subject), text, "\n".join(trailers)) if part)


def subject_of(title: str) -> str:
    """A commit's first line for the title of a step."""
    return _shortened(title, SUBJECT_CHARS)


def title_of(title: str) -> str:
    """A pull request's title. A squash merge makes it a commit's first line."""
    return _shortened(title, TITLE_CHARS)


def reword(line: str) -> str:
    """One line, without anything that somebody acts on.

    `fixes #7` becomes `fixes issue 7`; `[skip ci]`, `(skip ci)`; `Release-As:`, `Release As:`; an address loses its
    `https://`. A name after `@` goes between backticks, where GitHub mentions nobody if they stand on one line
    (https://github.com/cue-lang/cue/issues/4026); blocks of code and quotes are no shelter in a commit's message.
    """
    if _FENCE.fullmatch(line):
        return line
    line = _SKIPS.sub(lambda found: f"({found[0].strip('[]*').replace('_', ' ').strip()})", line)
    line = _OVERRIDE.sub(lambda found: found[0].replace("_", " ").lower(), _BREAKING.sub("Breaking", line))
    line = _FOOTER.sub(lambda found: found[0].replace("-", " "), line)
    line = _ISSUE.sub(_issue, line)
    parts = _CODE.split(line)
    parts[::2] = [_AT.sub(r"`\g<0>`", _ADDRESS.sub("", words).replace("`", "'")) for words in parts[::2]]
    line = "".join(parts).replace("``", "` `")  # two neighbours, which would be one
    line = _COMMAND.sub(lambda found: f"`{found[1] or found[2]}`", line)
    return _RULE.sub("- - -", line)


def _issue(found: re.Match[str]) -> str:
    number = found["linked"] or found["number"] or found["gh"]
    where = found["at"] or found["repo"]
    noun = "" if _NOUN_BEFORE.search(found.string, max(0, found.start() - _NOUN_CHARS), found.start()) else "issue "
    return f"{noun}{number} of {where}" if where else f"{noun}{number}"


def _shortened(title: str, max_chars: int) -> str:
    title = " ".join(plain(title).split())
    if not title or find_secret(title) is not None:
        return OTHERWISE
    title = reword(title)
    if len(title) <= max_chars:
        return title
    title = title[: max_chars - 1]
    if title.count("`") % 2:  # half a code span
        title = title[: title.rindex("`")]
    return title.rstrip() + "…"


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
