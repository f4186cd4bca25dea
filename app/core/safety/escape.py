"""Words from outside (a model's, a person's, a file's, a program's), made inert in GitHub's Markdown.

What a reader sees stays what was written; nothing of it does anything: no mention, reference to an issue or commit,
link, image, HTML, heading, quote, footnote, task, emoji or formula comes alive, and no other bot finds a command.

    code      a name or a command, whole, as a code span       in sentences of ours that are kept and shown later
    inline    a phrase; its own code spans stay                a line, a list item, a cell of a table
    block     paragraphs; lists, emphasis and code stay        what the model wrote for people to read
    fenced    output, as a block of code
    in_html   inside an HTML element of ours

In `inline` and `block`, `#N` stays a reference where N is one of the `references` that the caller names, unless it
follows a closing word or is part of something longer.

What would be alive goes into a code span, the one place that GitHub reads nothing in: backslashes and entities are
resolved before it looks for mentions and references (https://github.com/github/cmark-gfm/issues/181), zero-width
characters are copied along. A squash merge makes the pull request's *source* a commit message, and some bots read the
source of comments, code included (https://github.com/cncf/prow-github-actions/issues/66): code that such a reader
would act on is written with entities, `<code>&#91;skip ci&#93;</code>`, which look the same.

All but `in_html` and `fenced` may be applied twice: what they make is left as it is. Linear in the text's length.
"""

import html
import re
from collections.abc import Collection, Iterable
from textwrap import dedent
from typing import Final

from app.core.safety.markdown import code_spans
from app.core.safety.sanitize import plain

REFERENCE: Final = (
    r"(?:(?<![\w.-])(?:[\w.-]++/)?[\w.-]++)?\#\d+|\bGH-\d+|\bhttps?://[^\s/]+/[^\s/]+/[^\s/]+/(?:issues|pull)/\d+"
)
"""An issue, as GitHub lets it be named.

https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
"""
CLOSES: Final = r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b"
"""https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue"""
SKIPS: Final = r"\[[^\[\]\n]{0,30}\bskip\b[^\[\]\n]{0,30}\]|\[\s*no[ _-]ci\s*\]|\*\*\*NO_CI\*\*\*"
"""https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs, and what others read."""

_SOURCE_READ: Final = rf"""
      {SKIPS}
    | skip-checks\s*: | release-as\s*: | BREAKING[ -]CHANGES?\s*:        # https://github.com/googleapis/release-please
    | (?:BEGIN|END)_(?:COMMIT_OVERRIDE|NESTED_COMMIT)
    | {CLOSES}:?\s+(?:{REFERENCE})
    | <!--\s*vibecoder\b                                                  # the line by which a comment is found again
"""
_ACTS: Final = re.compile(_SOURCE_READ, re.VERBOSE | re.IGNORECASE)
"""What is acted on wherever it stands in a text's source."""
_ACTS_ON_LINES: Final = re.compile(
    rf"""
      {_SOURCE_READ}
    | ^[ \t]*(?:/(?!vibecode\b)[a-z][\w-]*(?=\s|$) | bors[ ](?=\w) | @[\w-]+(?:\[bot\])?(?=[ \t]+\w))
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
"""And what is acted on at the start of a line: the commands of other bots."""
_IS_REFERENCE: Final = re.compile(REFERENCE, re.IGNORECASE)
_OWN_REFERENCE: Final = re.compile(r"(?<!\S)#(\d{1,10})(?=[.,;:!?)]{0,3}(?:\s|$))")
_CLOSES_WHAT_FOLLOWS: Final = re.compile(rf"(?:{CLOSES})[\W_]*\Z", re.IGNORECASE)
_CLOSES_WITHIN_CHARS: Final = 200

_ALIVE: Final = re.compile(
    rf"""
      {_SOURCE_READ}
    | {REFERENCE}
    | (?:[a-z][\w+.-]{{0,30}}:// | \bwww\. | \b(?:mailto|xmpp):)[^\s`]*[^\s`.,;:!?)\]}}>'"*_~]
    | (?<![\w.+/-])[\w.+/-]*@[a-z0-9_](?:[\w./@-]*[\w/-])?                # a mention, a team, an address, a package
    | \b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{{7,40}}(?![0-9a-f])  # a commit
    | (?<!:):(?=[a-z+-])[a-z0-9_+-]+:(?!:)                                # an emoji
    | \$(?=[^\s$\d])[^$\n]*[^\s$]\$ | \${{2,}}                             # a formula
    """,
    re.VERBOSE | re.IGNORECASE,
)
_RESOLVED: Final = re.compile(r"\\([!-/:-@\[-`{-~])|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_OWN_CODE: Final = re.compile(r"<code>((?:[A-Za-z0-9 \u0080-\U0010ffff]|&#[0-9]{2,3};|<!-- -->)+)</code>")
"""What `_hidden` makes."""
_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
_HELD: Final = re.compile("(\ue000[0-9]+\ue001)")
_HELD_LAST: Final = re.compile(f"{_HELD.pattern}$")
_STAR: Final = "\ue002"
"""A star that is only a star; any other may be emphasis."""
_SPECIAL: Final = re.compile(
    rf"""
      (?P<entity>` | <(?![\s\d=<-]) | &(?=[\#a-z]|$) | \$(?!\d))
    | (?P<escape>\\(?=[!-/:-@\[-`{{-~{_STAR}]|$) | \[ | ~ | (?<![^\W_])_ | _(?![^\W_]))
    | {_STAR}
    """,
    re.VERBOSE | re.IGNORECASE,
)
_EMPHASIS: Final = re.compile(r"(?<=\S)\*|\*(?=\S)")
_LIST_MARKER: Final = re.compile(r"[ \t]{0,12}(?:[-*+]|\d{1,9}[.)])[ \t]+(?=\S)")
_LINE_START: Final = re.compile(
    r"(?P<number>\d{1,9})(?=[.)](?:\s|$))"
    r"|(?=#{1,6}(?:\s|$)|>|[-+*](?:\s|$)|=+\s*$|-+\s*$|([-*])[ \t]*(?:\2[ \t]*){2,}$)"
)
"""What makes a heading, a quote, a rule or a list of a line."""
_DELIMITER_ROW: Final = re.compile(r"[|:-][ \t|:-]*")
_COMMAND: Final = re.compile(r"/(?!vibecode\b)[a-z][\w-]*(?=\s|$)|bors(?=\s)", re.IGNORECASE)
_FENCE: Final = re.compile(r"\s*(?:[-*+>]\s+|\d+[.)]\s+)*(?:`{3,}|~{3,})[ \t]*(?P<language>[\w+#-]*)[^\n`]*(?:\n|$)")
_FENCE_END: Final = re.compile(r"\n?[ \t]*(?:`{3,}|~{3,})[ \t]*$")
_LANGUAGES: Final = {
    *("bash", "c", "console", "cpp", "cs", "css", "diff", "go", "html", "java", "javascript", "js", "json", "jsx"),
    *("kotlin", "php", "py", "python", "rb", "ruby", "rust", "sh", "shell", "sql", "swift", "text"),
    *("toml", "ts", "tsx", "typescript", "xml", "yaml", "yml"),
}
"""Those that GitHub only colours: `mermaid`, `math`, `suggestion` and others do more."""


def code(value: str) -> str:
    """A name, path or command on one line, as a code span that it cannot end. Tables and HTML need more: `cell`."""
    text = re.sub(r"\s", " ", plain(value)) or " "
    ticks = "`" * (_longest_run(text) + 1)
    is_padded = text[0] == "`" or text[-1] == "`" or (text[0] == text[-1] == " " and bool(text.strip()))
    return f"{ticks} {text} {ticks}" if is_padded else f"{ticks}{text}{ticks}"


def codes(values: Iterable[str]) -> str:
    """Several of them, with commas between."""
    return ", ".join(map(code, values))


def inline(text: str, references: Collection[int] = ()) -> str:
    """A phrase on one line. Its code spans stay; of other markup the characters are shown."""
    words, held = _put_code_aside(" ".join(_clean(text).split()), is_line=True)
    words = _put_references_aside(words, held, references)
    return _put_back(_line(_EMPHASIS.sub(_STAR, _resolve(words))), held)


def cell(text: str) -> str:
    """A phrase in a cell of a table."""
    words, held = _put_code_aside(" ".join(_clean(text).split()), is_line=True)
    held = {key: _hidden(_inside(shown)) if "|" in shown else shown for key, shown in held.items()}
    return _put_back(_line(_EMPHASIS.sub(_STAR, _resolve(words))).replace("|", "\\|"), held)


def block(text: str, *, has_tables: bool = False, references: Collection[int] = ()) -> str:
    """Paragraphs. Of Markdown, lists, emphasis and code stay; of our own, tables too.

    Where it begins or ends with a block of code, it brings the newlines along that keep it apart from its neighbours.
    """
    words, held = _put_code_aside(_clean(text).strip(), is_line=False)
    words = _put_references_aside(words, held, references)
    shown = "\n".join(_block_line(line, has_tables=has_tables) for line in words.split("\n"))
    shown = re.sub(r"\n{3,}", "\n\n", shown).strip("\n")
    before = "\n\n" if _is_fence(_HELD.match(shown), held) else ""
    after = "\n" if _is_fence(_HELD_LAST.search(shown), held) else ""
    return f"{before}{_put_back(shown, held)}{after}"


def fenced(text: str, language: str = "") -> str:
    """A block of code that the text cannot end."""
    text = plain(text).strip("\n").rstrip()
    if _ACTS_ON_LINES.search(text):
        return f"<pre>\n{in_html(text)}\n</pre>"
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language if language in _LANGUAGES else ''}\n{text}\n{ticks}"


def in_html(text: str) -> str:
    """Text inside a `<code>` of ours that stands in a block of HTML."""
    text, position = plain(text), 0
    parts: list[str] = []
    for found in _ACTS_ON_LINES.finditer(text):
        parts += [html.escape(text[position : found.start()]), _as_entities(found[0]).replace(" ", "&#32;")]
        position = found.end()
    return "".join((*parts, html.escape(text[position:])))


def cut(markdown: str, max_chars: int) -> str:
    """The first lines of a text that is ready to be sent: whole ones, for half a code span would hide nothing."""
    return markdown if len(markdown) <= max_chars else markdown[:max_chars].rpartition("\n")[0]


def last_lines(text: str, max_chars: int) -> str:
    """The last lines of an output, whole ones; of a last line that is longer than that, its end after an ellipsis."""
    if len(text) <= max_chars:
        return text
    kept = text[-max_chars:]
    whole = kept if text[-max_chars - 1] == "\n" else kept.partition("\n")[2]
    return whole or f"…{kept[1:]}"


# ---------------------------------------------------------------------------------------------------------------- code


def _put_code_aside(text: str, *, is_line: bool) -> tuple[str, dict[str, str]]:
    """The text with a place holder for each piece of code, and what is shown in its place."""
    held: dict[str, str] = {}
    own: dict[str, str] = {}

    def hold(table: dict[str, str], shown: str) -> str:
        key = f"\ue000{len(held) + len(own)}\ue001"
        table[key] = shown
        return key

    text = _OWN_CODE.sub(lambda found: hold(own, found[0]), text)
    before = "x " if is_line else ""  # what stands behind something on its line opens no fence
    parts: list[str] = []
    position = 0
    for start, end in code_spans(before + text):
        piece = _put_back(text[start - len(before) : end - len(before)], own)
        parts.append(text[position : start - len(before)])
        fence = None if is_line else _FENCE.match(piece)
        parts.append(f"\n\n{hold(held, _refenced(piece, fence))}\n\n" if fence else hold(held, _span(_inside(piece))))
        position = end - len(before)
    held |= {key: _span(html.unescape(shown[6:-7].replace("<!-- -->", ""))) for key, shown in own.items()}
    return "".join((*parts, text[position:])), held


def _put_references_aside(text: str, held: dict[str, str], references: Collection[int]) -> str:
    """The text with a place holder for each reference that may be one. Code has its place holders already."""

    def replaced(found: re.Match[str]) -> str:
        before = _resolve(text[max(0, found.start() - _CLOSES_WITHIN_CHARS) : found.start()])
        is_closed = _CLOSES_WHAT_FOLLOWS.search(re.sub(r"[*~]|\\", "", before.replace(_STAR, ""))) is not None
        if int(found[1]) not in references or is_closed:
            return found[0]
        key = f"\ue000{len(held)}\ue001"
        held[key] = found[0]
        return key

    return _OWN_REFERENCE.sub(replaced, text) if references else text


def _is_fence(place: re.Match[str] | None, held: dict[str, str]) -> bool:
    shown = held.get(place[1], "") if place else ""
    return shown.startswith("<pre>") or (shown.startswith("```") and "\n" in shown)


def _put_back(text: str, held: dict[str, str]) -> str:
    return _joined(held.get(part, "") if _HELD.fullmatch(part) else part for part in _HELD.split(text))


def _inside(span: str) -> str:
    """What a code span holds: https://github.github.com/gfm/#code-spans"""
    text = " ".join(line.strip() if "\n" in span else line for line in span.strip("`").split("\n"))
    return text[1:-1] if text.startswith(" ") and text.endswith(" ") and text.strip() else text


def _refenced(piece: str, opening: re.Match[str]) -> str:
    return fenced(dedent(_FENCE_END.sub("", piece[opening.end() :])), opening["language"].lower())


def _span(text: str) -> str:
    """Code inside a sentence, with entities where somebody would act on its source."""
    return _hidden(text) if _ACTS.search(text) or _IS_REFERENCE.fullmatch(text) else code(text)


def _hidden(text: str) -> str:
    """The comment keeps GitHub from making a link of what looks like an e-mail address."""
    return f"<code>{_as_entities(text).replace('&#64;', '&#64;<!-- -->')}</code>"


def _as_entities(text: str) -> str:
    return _PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", text)


def _joined(parts: Iterable[str]) -> str:
    """The parts, with something between two code spans that would be one."""
    text: list[str] = []
    for part in filter(None, parts):
        text += ["<!-- -->", part] if text and text[-1].endswith("`") and part.startswith("`") else [part]
    return "".join(text)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


# --------------------------------------------------------------------------------------------------------------- prose


def _clean(text: str) -> str:
    return plain(text).replace(_STAR, "")


def _resolve(text: str) -> str:
    """The text with each escape and entity replaced by what it stands for, as a reader would see it."""

    def resolved(found: re.Match[str]) -> str:
        literal = found[1] or re.sub(r"\s", " ", _clean(html.unescape(found[0])))
        return literal.replace("*", _STAR)

    return _RESOLVED.sub(resolved, text)


def _block_line(line: str, *, has_tables: bool) -> str:
    marker = _LIST_MARKER.match(line)
    if marker:
        return marker[0] + _line(_resolve(line[marker.end() :]).strip())
    indent = min(len(line) - len(line.lstrip()), 3) * " "
    text = _resolve(line).strip()
    if _DELIMITER_ROW.fullmatch(text) and "-" in text and ("|" in text or ":" in text):
        return text if has_tables else f"\\{text}"
    return indent + _line(text) if text else ""


def _line(text: str) -> str:
    """One line, or what stands behind its list marker."""
    if command := _COMMAND.match(text):
        return code(command[0]) + _escaped(text[command.end() :])
    start = _LINE_START.match(text)
    if start is None:
        return _escaped(text)
    return f"{start['number'] or ''}\\{_escaped(text[start.end() :])}"


def _escaped(text: str) -> str:
    return "".join(part if _HELD.fullmatch(part) else _escaped_words(part) for part in _HELD.split(text))


def _escaped_words(text: str) -> str:
    """Behind each code span a new text begins, for GitHub and for the search."""
    parts: list[str] = []
    while found := _ALIVE.search(text):
        parts += [_literal(text[: found.start()]), _span(found[0].replace(_STAR, "*"))]
        text = text[found.end() :]
    return _joined((*parts, _literal(text)))


def _literal(text: str) -> str:
    def escaped(found: re.Match[str]) -> str:
        if found["entity"]:
            return {"`": "&#96;", "<": "&lt;", "&": "&amp;", "$": "&#36;"}[found[0]]
        return "\\*" if found[0] == _STAR else f"\\{found[0]}"

    return _SPECIAL.sub(escaped, text)
