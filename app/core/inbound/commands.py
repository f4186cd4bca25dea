"""Commands: what a `/vibecode …` line in a comment asks.

    comment     = anything, one command line, anything
    command     = "/vibecode" [":" | ","] options ( verb | "budget" amount | "plan" options instruction | instruction )
    verb        = "approve" | "stop" | "retry" | "status" | "help" | "start"
    options     = { ("--base" | "--model") (" " | "=") value | "--draft" }
    value       = word | '"' words '"' | "'" words "'"
    amount      = "+" ["$"] digits ["." one or two digits] ["$" | "USD" | "dollars"]
    instruction = the rest of the line and all lines after it

- Read only at the start of a line, after at most three spaces, and never in a quote, in code or in an HTML comment
  (`core/safety/markdown.py`). A comment holds one command: of two different ones neither is carried out.
- Words are read in any case. A long dash is read as `--`, since phones write it so.
- A verb stands alone on its line, but for filler (`stop the run, please! 🙏`); the lines after it are remarks. An
  instruction that opens with a verb or a dash goes on the line after `/vibecode`.
- What looks like a slip (`stpo`, `cancel`, `paln …`) never starts a run: it is answered.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Final

from app.core.errors import UserError
from app.core.refs import is_branch
from app.core.run.job import Command, Verb
from app.core.safety.markdown import slash_lines

MAX_ADD_USD: Final = 1_000.0


@dataclass(frozen=True, slots=True)
class CommandHelp:
    """A row of the help: how a command is written and what it does."""

    verb: Verb
    usage: str
    help: str


COMMANDS: Final = (
    CommandHelp(
        Verb.START, "/vibecode [options] [instruction]", "start on an issue; on the bot's pull request: follow up"
    ),
    CommandHelp(Verb.PLAN, "/vibecode plan [instruction]", "plan only, then wait"),
    CommandHelp(Verb.APPROVE, "/vibecode approve", "approve the pending plan"),
    CommandHelp(
        Verb.STOP, "/vibecode stop", "stop the run in progress and any queued ones; finished work stays on the branch"
    ),
    CommandHelp(Verb.RETRY, "/vibecode retry", "resume after the last completed step, or start over if there is none"),
    CommandHelp(Verb.STATUS, "/vibecode status", "show the run's status and refresh its comment"),
    CommandHelp(Verb.BUDGET, "/vibecode budget +2", "add two dollars to the run's budget; a run that ran out resumes"),
    CommandHelp(Verb.HELP, "/vibecode help", "show these commands"),
)
OPTIONS: Final = {
    "--base BRANCH": "start from this branch and open the pull request against it",
    "--model NAME": "use this model",
    "--draft": "open the pull request as a draft",
}
"""How each option is written, and what it does. They stand before the instruction."""

_OPENING: Final = re.compile(r"/vibecode(?:[:,]|(?=\s|$))", re.IGNORECASE)
_VERBS: Final = {entry.verb.value: entry.verb for entry in COMMANDS}
_MEANT: Final = {
    **dict.fromkeys(("abort", "cancel", "halt", "kill", "quit", "pause", "end", "no", "nope"), Verb.STOP),
    **dict.fromkeys(("accept", "approved", "confirm", "lgtm", "ok", "okay", "yes", "\N{THUMBS UP SIGN}"), Verb.APPROVE),
    **dict.fromkeys(("again", "continue", "proceed", "redo", "rerun", "restart", "resume"), Verb.RETRY),
    **dict.fromkeys(("?", "commands", "info", "options", "usage", "version"), Verb.HELP),
    **dict.fromkeys(("progress", "state"), Verb.STATUS),
}
"""Words for a verb that are not its name."""
_FILLER: Final = frozenset(
    ("please", "now", "thanks", "thank", "you", "it", "this", "that", "the", "run", "job", "plan", "everything", "all")
)
"""Words beside a verb that change nothing."""
_PUNCTUATION: Final = ".,:;!?"

_OPTION: Final = re.compile(r"(?:--?|[\u2013\u2014])(?P<name>[^\s=]*)(?:\s*(?P<equals>=))?\s*")
_VALUE: Final = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s"']\S*))(?=\s|$)\s*""")
_WORD: Final = re.compile(r"(\S*)\s*")
_POLITE: Final = re.compile(r"(?:please\s+)+", re.IGNORECASE)
_AMOUNT: Final = re.compile(r"\+ ?\$?([0-9]{1,4}(?:[.,][0-9]{1,2})?)(?: ?(?:\$|usd|dollars?))?", re.IGNORECASE)
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}")

_OPTIONS_MEANT: Final = {"branch": "base", "from": "base", "llm": "model", "wip": "draft"}
_INVISIBLE: Final = re.compile("[\u200b-\u200f\u2060\ufe0f\ufeff]")
"""What phones and copying leave in a line, and nobody sees."""

_OPTIONS_ARE: Final = f"The options are {', '.join(f'`{option}`' for option in OPTIONS)}."
_NEXT_LINE: Final = "If you meant it as an instruction, put it on the line after `/vibecode`."
_TWO: Final = (
    "This comment has more than one command, so none was run. Use one command per comment; to mention `/vibecode` "
    "without running it, quote it or put it in `code`."
)
_SEE_HELP: Final = "See `/vibecode help` for all commands."


def parse(comment: str) -> Command | None:
    """Read a comment's command; None when there is none. One that cannot be read is of verb `UNREADABLE`.

    Takes linear time and never raises, whatever the text.
    """
    if "/vibecode" not in comment.casefold():
        return None
    text = comment.replace("\r\n", "\n").replace("\r", "\n")
    openings = [opening for slash in slash_lines(text) if (opening := _OPENING.match(text, slash))]
    if not openings:
        return None
    lines = [_line(text, opening.end()) for opening in openings]
    if len(set(lines)) > 1:
        return Command(Verb.UNREADABLE, problem=_TWO)
    try:
        return _read(lines[0], text[openings[0].end() :].partition("\n")[2])
    except UserError as error:
        return Command(Verb.UNREADABLE, problem=str(error))


def _line(text: str, start: int) -> str:
    """What stands from there to the end of the line, as a reader sees it."""
    end = text.find("\n", start)
    return _INVISIBLE.sub("", text[start : end if end >= 0 else len(text)]).strip()


def _read(line: str, below: str) -> Command:
    options: dict[str, str] = {}
    line = _POLITE.sub("", _take_options(line, options))
    word, rest = _split_word(line)
    verb = _verb(word, rest)
    match verb:
        case None if _is_decoration(line):
            return _start(Verb.START, "", below, options)
        case None:
            return _start(Verb.START, line, below, options)
        case Verb.START:
            return _start(verb, "", below, options)
        case Verb.PLAN:
            return _start(verb, _take_options(rest, options), below, options)
    if options:
        raise UserError(f"`/vibecode {verb}` takes no options. {_SEE_HELP}")
    return Command(verb, add_usd=_usd(rest) if verb is Verb.BUDGET else 0.0)


def _start(verb: Verb, line: str, below: str, options: dict[str, str]) -> Command:
    return Command(
        verb,
        instruction=f"{line}\n{below}".strip(),
        base=options.get("base"),
        model=options.get("model"),
        draft="draft" in options,
    )


def _split_word(line: str) -> tuple[str, str]:
    """The first word, lower, without the punctuation after it; and the rest."""
    match = _WORD.match(line)
    word = match[1] if match else ""
    return word.rstrip(_PUNCTUATION).lower() or word, line[match.end() :] if match else ""


def _verb(word: str, rest: str) -> Verb | None:
    """The verb that a line opens with; None when it opens an instruction."""
    verb = _VERBS.get(word)
    match verb:
        case None:
            _refuse_slip(word, rest)
            return None
        case Verb.PLAN | Verb.BUDGET:
            return verb
        case Verb.START:
            return verb if _is_filler(rest) else None
    if not _is_filler(rest):
        raise UserError(f"`/vibecode {verb}` must be on a line of its own. {_NEXT_LINE}")
    return verb


def _is_filler(rest: str) -> bool:
    return all(word.rstrip(_PUNCTUATION).lower() in _FILLER or _is_decoration(word) for word in rest.split())


def _is_decoration(word: str) -> bool:
    """Is it punctuation or a picture? Not so what may be the start of an amount or an option."""
    return not any(char.isalnum() or char in "+-$`" for char in word)


def _refuse_slip(word: str, rest: str) -> None:
    """Refuse what would be a good command if its first word were the verb that it resembles."""
    meant = _MEANT.get(word) or _nearest(word)
    is_slip = (
        (meant is Verb.PLAN and (not rest or sorted(word) == sorted(meant)))
        or (meant is Verb.BUDGET and (not rest or _AMOUNT.fullmatch(rest) is not None))
        or (meant not in {Verb.PLAN, Verb.BUDGET, None} and _is_filler(rest))
    )
    if is_slip:
        usage = next(entry.usage for entry in COMMANDS if entry.verb is meant).removesuffix(" [instruction]")
        raise UserError(f"Unknown command {_shown(word)}. Did you mean `{usage}`? {_NEXT_LINE}")


def _nearest(word: str) -> Verb | None:
    verbs = [verb for verb in _VERBS if verb != Verb.START]
    near = difflib.get_close_matches(word, verbs, n=1, cutoff=0.7) if len(word) <= 12 else []
    return _VERBS[near[0]] if near else None


def _usd(amount: str) -> float:
    words = amount.split()
    while words and _is_filler(words[-1]):
        words.pop()
    match = _AMOUNT.fullmatch(" ".join(words).rstrip(" !."))
    usd = float(match[1].replace(",", ".")) if match else 0.0
    if not 0 < usd <= MAX_ADD_USD:
        raise UserError(
            f"Give the number of dollars to add, at most {MAX_ADD_USD:,.0f}: `/vibecode budget +2` or `+2.50`. "
            f"{_NEXT_LINE}"
        )
    return usd


def _take_options(line: str, options: dict[str, str]) -> str:
    """Move the options that a line opens with into `options`; the rest of the line. A bare dash ends them."""
    while option := _OPTION.match(line):
        line = line[option.end() :]
        name = option["name"].lower()
        if not name:
            break
        if name in options:
            raise UserError(f"`--{name}` is given twice.")
        options[name], line = _option_value(name, line, has_equals=option["equals"] is not None)
    return line


def _option_value(name: str, line: str, *, has_equals: bool) -> tuple[str, str]:
    """An option's value and the rest of the line."""
    if name == "draft" and has_equals:
        raise UserError(f"`--draft` takes no value. {_OPTIONS_ARE}")
    if name == "draft":
        return name, line
    if name not in {"base", "model"}:
        raise UserError(f"Unknown option {_shown('--' + name)}{_hint(name) or '.'} {_OPTIONS_ARE} {_NEXT_LINE}")
    match = _VALUE.match(line)
    value = next((group for group in match.groups() if group is not None), "") if match else ""
    if match and (is_branch(value) if name == "base" else _MODEL.fullmatch(value)):
        return value, line[match.end() :]
    kind = "a branch's name" if name == "base" else "a model's name"
    raise UserError(f"`--{name}` needs {kind}{f'; {_shown(value)} is not one' if value else ''}. {_OPTIONS_ARE}")


def _hint(name: str) -> str:
    """What an option was meant to be, or the command that it is."""
    if name in _VERBS:
        return f". Did you mean `/vibecode {name}`?"
    near = difflib.get_close_matches(name, ("base", "model", "draft"), n=1, cutoff=0.7) if len(name) <= 12 else []
    meant = _OPTIONS_MEANT.get(name) or next(iter(near), "")
    return f". Did you mean `--{meant}`?" if meant else ""


def _shown(word: str) -> str:
    """A stranger's word as it may stand in our answer: no mention, link or markup comes alive."""
    return f"`{re.sub(r'[^A-Za-z0-9_./+$-]', '', word)[:40] or '?'}`"
