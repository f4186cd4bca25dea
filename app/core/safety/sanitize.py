"""What strangers wrote, as a person who reads the page would see it, for the model to read.

Text that nobody sees is the classic way to speak to a model past the people who watch: comments, hidden elements, the
words behind images and links, characters without a shape. All that goes. What is shown as code stays as it is, since
issues are often about just such things.

    newlines ─▶ shapeless characters ─▶ (code put aside) ─▶ comments ─▶ tags ─▶ images, links, definitions
             ─▶ (code put back) ─▶ our own delimiters ─▶ the cap
"""

import re
from collections import Counter
from typing import Final

from app.core.safety.markdown import code_spans, element_ends

DELIMITERS: Final = ("request", "instruction", "comment", "file", "survey", "evidence", "plan", "remark", "pull")
"""The tags by which the prompt tells data from orders."""
CUT: Final = " [… cut]"

_NEWLINE: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SHAPELESS: Final = re.compile(
    "["
    "\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f"  # controls
    "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2800\\u3164\\uffa0"  # hyphens, fillers, blanks
    "\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"  # zero width, bidirectional, annotations
    "\\ufe00-\\ufe0f\\U000e0000-\\U000e0fff\\U0001d173-\\U0001d17a"  # variation selectors, tags, musical controls
    "\\ud800-\\udfff\\ue000\\ue001"  # halves of a character; the two that hold the place of code below
    "]"
)
_DECEIVING: Final = re.compile("[\\u202a-\\u202e\\u2066-\\u2069\\U000e0000-\\U000e0fff]")
_BLANK_LINES: Final = re.compile(r"\n{4,}")
_DELIMITER: Final = re.compile(rf"[<\ufe64\uff1c](?=[\s/]*(?:{'|'.join(DELIMITERS)})\b)", re.IGNORECASE)
_HELD: Final = re.compile("\ue000([0-9]+)\ue001")

_UNSEEN: Final = re.compile(r"(^[ ]{0,3})?(<!--|<\?|<!\[CDATA\[|<!(?=[A-Za-z]))", re.MULTILINE)
_UNSEEN_ENDS: Final = {"<!--": "-->", "<?": "?>", "<![CDATA[": "]]>", "<!": ">"}
_TAG: Final = re.compile(r"""<(/?)([A-Za-z][A-Za-z0-9-]*+)((?:[\s/](?:[^<>"']++|"[^"]*+"|'[^']*+')*)?)>""")
_VALUE: Final = re.compile(r"""=\s*(?:"[^"]*"|'[^']*')""")
_HIDDEN_BY_NAME: Final = re.compile(r"\shidden(?=[\s=/]|$)", re.IGNORECASE)
_HIDDEN_BY_VALUE: Final = re.compile(
    r"""aria-hidden\s*=\s*["']?true|(?:display\s*:\s*none|visibility\s*:\s*hidden"""
    r"""|(?:font-size|opacity)\s*:\s*0(?!\.?\d*[1-9]))""",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(r"""\s(href|src)\s*=\s*("[^"]*"|'[^']*'|[^\s"'<>]+)""", re.IGNORECASE)

_IMAGE: Final = re.compile(r"!\[(?:[^\[\]\\]|\\.|\[[^\[\]]*+\])*\]", re.DOTALL)
_QUOTED: Final = r"""(?:"[^"]*"|'[^']*'|\([^()]*\))"""
_TITLE: Final = re.compile(rf"(\]\( *(?:<[^<>\n]*>|[^\s<>()]+(?:\([^\s<>()]*\)[^\s<>()]*)?))\s+{_QUOTED} *\)")
_DEFINITION: Final = re.compile(
    rf"^ {{0,3}}\[(?!\^)([^\[\]]{{1,999}})\]:[ \t]*+\n?[ \t]*+(\S+)(?:\s+{_QUOTED})?[ \t]*$", re.MULTILINE
)
_LABEL: Final = re.compile(r"\[([^\[\]]{1,999})\]")


def clean(text: str, *, max_chars: int) -> str:
    """The text without what a reader does not see, at most `max_chars` long, with a mark where it was cut."""
    text, code = _put_code_aside(plain(text))
    text = _without_titles(_without_hidden(_without_comments(text)))
    text = _HELD.sub(lambda held: code[int(held[1])], _BLANK_LINES.sub("\n\n\n", text))
    text = escape_tags(text).strip()
    return text if len(text) <= max_chars else (text[: max(0, max_chars - len(CUT))] + CUT)[:max_chars]


def plain(text: str) -> str:
    """The text without characters that have no shape; newlines stay."""
    return _SHAPELESS.sub("", _NEWLINE.sub("\n", text))


def show_invisible(text: str) -> str:
    """The text with tag characters and bidirectional overrides written out: what must be shown as it is, all of it."""
    return _DECEIVING.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def escape_tags(text: str) -> str:
    """The text with nothing in it that looks like one of the prompt's own tags."""
    return _DELIMITER.sub("&lt;", text)


def _put_code_aside(text: str) -> tuple[str, list[str]]:
    """The text with each piece of code replaced by its number, between two characters that occur nowhere else in it."""
    code: list[str] = []
    rest: list[str] = []
    position = 0
    for start, end in code_spans(text):
        rest += [text[position:start], f"\ue000{len(code)}\ue001"]
        code.append(text[start:end])
        position = end
    return "".join((*rest, text[position:])), code


def _without_comments(text: str) -> str:
    """One that is never closed hides the rest of the page when it opens a line, and is plain text elsewhere."""
    last = {end: text.rfind(end) for end in _UNSEEN_ENDS.values()}
    seen: list[str] = []
    position = 0
    while opening := _UNSEEN.search(text, position):
        end = _UNSEEN_ENDS[opening[2]]
        is_closed = last[end] >= opening.start(2) + 2
        if not is_closed and opening[1] is None:
            seen.append(text[position : opening.end()])
            position = opening.end()
            continue
        seen.append(text[position : opening.start()])
        position = text.index(end, opening.start(2) + 2) + len(end) if is_closed else len(text)
    return "".join((*seen, text[position:]))


def _without_hidden(text: str) -> str:
    """Hidden elements go with all that is in them; of the other tags, the name and the address stay."""
    tags = list(_TAG.finditer(text))
    ends = element_ends(tags)
    seen: list[str] = []
    position = 0
    for tag in tags:
        if tag.start() < position:
            continue
        seen.append(text[position : tag.start()])
        is_hidden = _HIDDEN_BY_NAME.search(_VALUE.sub("=", tag[3])) or _HIDDEN_BY_VALUE.search(tag[3])
        position = ends.get(tag.start(), tag.end()) if is_hidden else tag.end()
        if not is_hidden:
            addresses = "".join(f" {address[1]}={address[2]}" for address in _ADDRESS.finditer(tag[3]))
            seen.append(f"<{tag[1]}{tag[2]}{addresses}>")
    return "".join((*seen, text[position:]))


def _without_titles(text: str) -> str:
    """Images lose their words, links their hover text, and definitions that no link uses go."""
    text = _TITLE.sub(r"\1)", _IMAGE.sub("![]", text))
    uses = Counter(label.lower() for label in _LABEL.findall(text))
    return _DEFINITION.sub(lambda found: f"[{found[1]}]: {found[2]}" if uses[found[1].lower()] > 1 else "", text)
