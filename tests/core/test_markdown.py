"""What of a comment is its writer's own words, seen through the commands that are read in it."""

import re
import time
from html.parser import HTMLParser
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from app.core.inbound.commands import parse
from app.core.run.job import Command, Verb

FENCES: Final = ("```\n", "```py\n", "~~~\n", "````\n")
QUOTES: Final = ("> a quote\n\n", "> /vibecode\n\n")
HTML: Final = ("<!--", "<!-- x -->", "-->", "\n<!--\n", "<b>")
TICKS: Final = ("`", "``", "\\", "\\`")
BLOCKS: Final = ("- ", "1. ", "# ", "*", "---\n", "| a | b |\n|---|---|\n")
SPACE: Final = ("\n", "\n\n", "\r\n", "\t", " ", "  ", "    ")
PIECES: Final = st.sampled_from(("words\n", *FENCES, *QUOTES, *HTML, *TICKS, *BLOCKS, *SPACE))
FLOODS: Final = (*FENCES, *QUOTES, *HTML, *TICKS, *BLOCKS, *SPACE, *"a'+[#>=", "` ", "`` ` ", "```", "<!-- ")
MORE_FLOODS: Final = ("<pre>", "<pre></pre>", "</pre>", "/\n", "/vibecode", "--base ", "--draft ", "please ", "   /")


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "I like /vibecode",
        "- /vibecode",
        "    /vibecode",
        "\t/vibecode",
        "\\/vibecode",
        "\u00a0/vibecode",
        "> /vibecode",
        ">/vibecode",
        "   > > /vibecode",
        "`/vibecode`",
        "`` a\n/vibecode stop\n` b ``",
        "\\`a `b\n/vibecode stop\nc`",
        "```\n/vibecode\n```",
        "```\n/vibecode",
        "~~~ text ```\n/vibecode\n~~~",
        "````\n```\n/vibecode\n````",
        "```\n~~~\n/vibecode\n```",
        "```\n    ```\n/vibecode\n```",
        "   ```\n/vibecode\n   ```",
        "- ```\n  /vibecode\n  ```",
        "1. ```\n   /vibecode\n   ```",
        "<!-- /vibecode -->",
        "<!--\n/vibecode\n-->",
        "<!--\n\n```\n\n/vibecode",
        "words <!--\n/vibecode\n--> words",
        "words <!--\n\n/vibecode\n\n-->",
        "<pre>\n/vibecode\n</pre>",
        "<PRE class='x'>\n\n/vibecode\n\n</pre>",
        "a <code>\n/vibecode\n</code>",
        "<blockquote>\n<blockquote>\n</blockquote>\n\n/vibecode\n</blockquote>",
    ],
)
def test_quotes_code_and_html_comments_are_not_read(comment: str) -> None:
    assert parse(comment) is None


@pytest.mark.parametrize(
    "before",
    [
        "> quoted\n",
        "> /vibecode plan\n\n",
        "> ```\n",
        "```\n/vibecode plan\n```\n",
        "````\n```\n````\n",
        "- ```\n  /vibecode plan\n  ```\n",
        "10. ```\n    /vibecode plan\n    ```\n",
        "<!-- /vibecode plan -->\n",
        "<!-->\n",
        "use `<!--` to hide\n",
        "use <!-- to hide\n",
        "a <pre> tag\n",
        "one ` tick\n\nand ` one\n\n",
        "one ` tick\n- and ` one\n",
        "```inline```\n",
        "\\`\n",
        "``` a ` b\n",
        "    ```\n\n",
        "/vibecoder plan\n",
        "<pre>\n</pre>\n",
        "<!-- -->`\n",
    ],
)
def test_what_is_closed_hides_nothing_after_it(before: str) -> None:
    assert parse(f"{before}/vibecode status") == Command(Verb.STATUS)


class Voice(HTMLParser):
    """The text of a page that stands outside quotes and code; comments are no text."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._inside = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside += tag in {"pre", "code", "blockquote"}

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in {"pre", "code", "blockquote"}

    def handle_data(self, data: str) -> None:
        self.text += data if not self._inside else ""


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12), st.lists(PIECES, max_size=8))
def test_nothing_is_read_that_a_page_shows_as_quote_code_or_not_at_all(before: list[str], after: list[str]) -> None:
    """markdown-it is the second opinion: what we read must be its plain text."""
    comment = "".join(before) + "\n/vibecode status\n" + "".join(after)
    assume(not re.search(r"<!--?->", comment))  # closed since HTML 5; the standard library's parser is older
    assume(not re.search(r"^[ \t]*(?:[-*]|1\.)[ \t].*<!--|-->.*<!--", comment, re.MULTILINE))  # raw comments cut in two
    assume(not re.search(r"^ {0,3}(?: |\t).*`", comment, re.MULTILINE))  # indented code, or a list's paragraph
    if parse(comment) == Command(Verb.STATUS):
        voice = Voice()
        voice.feed(MarkdownIt("commonmark").enable("table").render(comment))
        voice.close()
        assert "/vibecode status" in voice.text


@settings(deadline=None)
@given(st.lists(PIECES | st.sampled_from(["/vibecode", "/vibecode "])).map("".join))
def test_no_markup_raises(comment: str) -> None:
    parse(comment)
    parse("/vibecode " + comment)


@pytest.mark.parametrize("unit", [*FLOODS, *MORE_FLOODS])
def test_a_hostile_comment_costs_little(unit: str) -> None:
    flood = unit * (65_536 // len(unit))
    for comment in (flood, f"/vibecode {flood}", f"/vibecode --base {flood}", f"x {flood}\n/vibecode stop {flood}"):
        began = time.process_time()
        parse(comment)
        assert time.process_time() - began < 0.5


def test_runs_of_every_length_cost_little() -> None:
    comment = " ".join("`" * length for length in range(1, 360)) + "\n/vibecode stop"
    began = time.process_time()
    parse(comment)
    assert time.process_time() - began < 0.2
