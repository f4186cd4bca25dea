"""What GitHub would make of a text: a renderer of its Markdown, and what it looks for in the words outside code."""

import html
import re
from collections.abc import Iterator
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKDOWN: Final = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("text_join")

_READ: Final = re.compile(
    r"""
      (?<![A-Za-z0-9_])@[A-Za-z0-9][\w-]*(?:/[\w-]+)?                      # a mention
    | [\w.+-]+@[\w-]+\.\w+                                                 # an address
    | [\w./-]*\#\d+ | \bGH-\d+                                             # an issue
    | (?:https?|ftp)://\S | \bwww\.\w | \b(?:mailto|xmpp):\S               # a link
    | \b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b               # a commit
    | (?<!:):[a-z+1_]+:(?!:)                                               # an emoji
    | \$\$ | \$[^\s$\d][^$\n]*[^\s$]\$                                      # a formula
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""GitHub looks for these in the text of the page, not in its source: escapes and entities hide nothing."""

_SOURCE: Final = re.compile(
    r"""
      \[\s*(?:[\w-]+[\s_-]+)?skip(?:[\s_-]+[\w-]+)?\s*\] | \[no\ ci\] | \*\*\*NO_CI\*\*\* | skip-checks: | release-as: | BREAKING[ ]CHANGE:
    | BEGIN_COMMIT_OVERRIDE
    | \b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+(?:[\w./-]*\#\d+|GH-\d+|https?://\S+/(?:issues|pull)/\d+)
    | ^[ \t]*(?:/(?!vibecode)[a-z][a-z-]*(?=\s|$)|bors\ \w|@[\w-]+\ \w)
    | [\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
"""Commit messages, and what reads the source of a comment: code is no shelter."""

_ADDRESS: Final = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
"""GitHub makes a link of it in an inline `<code>`, too."""
_OURS: Final = {"<code>", "</code>", "<!-- -->"}


def alive(markdown: str) -> list[str]:
    """All that does something, in order: what it is and how it is written."""
    found = [f"source {each[0].strip()}" for each in _SOURCE.finditer(markdown)]
    for token in _MARKDOWN.parse(markdown):
        if token.type in {"heading_open", "hr", "blockquote_open"}:
            found.append(f"{token.type} {token.markup}")
        elif token.type == "html_block" and not re.fullmatch(r"<pre>\n[^<>]*\n</pre>\s*", token.content):
            found.append(f"html {token.content.strip()}")
        elif token.type == "fence" and token.info in {"mermaid", "math", "suggestion", "geojson"}:
            found.append(f"fence {token.info}")
        children = token.children or []
        found += [f"{child.type} {dict(child.attrs)}" for child in children if child.type in {"link_open", "image"}]
        found += [
            f"html {child.content}" for child in children if child.type == "html_inline" and child.content not in _OURS
        ]
        found += ["task"] if re.match(r"\[[ xX]\]\s", token.content) and children else []
        found += ["formula" for one, two, three in _triples(children) if _is_formula(one, two, three)]
        found += ["footnote" for child in children if child.type == "text" and "[^" in child.content]
        found += [f"text {each[0]}" for words in _words(children) for each in _READ.finditer(words)]
        found += [f"address {each[0]}" for words in _words(children, in_code=True) for each in _ADDRESS.finditer(words)]
    return found


def _triples(tokens: list[Token]) -> Iterator[tuple[Token, Token, Token]]:
    return zip(tokens, tokens[1:], tokens[2:], strict=False)


def _is_formula(before: Token, code: Token, after: Token) -> bool:
    """Code between two dollars that are written as such."""
    is_code = code.type == "code_inline" and before.type == after.type == "text"
    return is_code and before.content.endswith("$") and after.content.startswith("$")


def shown(markdown: str) -> str:
    """What a reader sees of it."""
    lines = []
    for token in _MARKDOWN.parse(markdown):
        if token.type in {"fence", "code_block"}:
            lines.append(token.content)
        elif token.type == "html_block":
            lines.append(html.unescape(re.sub("<[^>]*>", "", token.content)))
        lines.append("".join(_content(child) for child in token.children or ()))
    return "\n".join(line for line in lines if line)


def _content(token: Token) -> str:
    return (
        "\n"
        if token.type == "softbreak"
        else token.content
        if token.type in {"text", "text_special", "code_inline"}
        else ""
    )


def _words(tokens: list[Token], *, in_code: bool = False) -> list[str]:
    """The texts between two tags; those inside a `<code>` of ours, or those outside."""
    words, depth = [""], 0
    for token in tokens:
        if token.type in {"text", "text_special", "softbreak"}:
            words[-1] += _content(token) if bool(depth) == in_code else ""
        else:
            words.append("")
            depth += {"<code>": 1, "</code>": -1}.get(token.content, 0) if token.type == "html_inline" else 0
    return words
