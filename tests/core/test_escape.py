"""Nothing that somebody else wrote does anything on GitHub, and people read what was written."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from app.core.safety.escape import block, cell, code, codes, cut, fenced, in_html, inline, last_lines
from tests.text.github import alive, shown
from tests.text.hostile import HOSTILE, MARKER, ORDINARY

FORMS: dict[str, Callable[[str], str]] = {
    "inline": inline,
    "block": block,
    "code": lambda text: inline(code(text)),
    "codes": lambda text: inline(f"Held back: {codes([text, text])}."),
    "cell": lambda text: f"| a | b |\n|---|---|\n| {cell(text)} | {cell(code(text))} |",
    "fenced": fenced,
    "list item": lambda text: f"- {inline(text)} ({inline(code(text))})",
    "message": lambda text: block(f"The command {code(text)} ended: {text}", has_tables=True),
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("#2 is open for this issue.", "#2 is open for this issue."),
        ("See #2 (that is #12), then #12!", "See #2 (that is #12), then #12!"),
        ("See #3, x#2, acme/x#2, GH-2, #2x, #22 and `#2`.", None),
        ("fixes #2, Closes: #2, resolved (#2), fix&#101;s #2, fi\\xes #2, fix*es* #2", None),
        ("It closes\n#2", None),
        ("[a](#2) [#2] [#2]: x ![](#2) <a href=#2>", None),
        ("&#2; \\#2 &num;2", None),
    ],
)
def test_only_references_that_are_ours_stay_links(text: str, shown: str | None) -> None:
    for escaped in (block(text, has_tables=True, references={2, 12}), inline(text, {2, 12})):
        if shown is None:
            assert alive(escaped) == [], escaped
        else:
            assert escaped == shown


@pytest.mark.parametrize("text", HOSTILE)
def test_where_every_reference_may_be_one_nothing_else_is_alive(text: str) -> None:
    for escaped in (block(text, has_tables=True, references=range(100)), inline(text, range(100))):
        assert [each for each in alive(escaped) if not each.endswith(tuple(f" #{n}" for n in range(100)))] == [], (
            escaped
        )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_comes_alive(form: str, text: str) -> None:
    assert alive(FORMS[form](text)) == [], FORMS[form](text)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_html_stays_text(text: str) -> None:
    html = f"<details><summary><code>{in_html(' '.join(text.split()))}</code></summary>\n\nx\n\n</details>"
    assert html.count("<") == 6
    assert not [each for each in alive(html) if each.startswith("source")]


_PIECES = st.lists(
    st.one_of(
        st.sampled_from(HOSTILE),
        st.sampled_from(
            [*"`@#[]()<>!*_~|\\&;:/.-+=$ \n\t", "``", "```", "~~~", "fixes", "a", "#1", "@b", "&#64;", "://"]
        ),
        st.sampled_from(
            ["https", "www.", "<code>", "</code>", "<!-- -->", "    ", "- ", "> ", "1. ", "[skip", "ci]", "/x"]
        ),
        st.text(max_size=5),
    ),
    max_size=12,
).map("".join)


@given(text=_PIECES, form=st.sampled_from(sorted(FORMS)))
def test_no_combination_comes_alive(text: str, form: str) -> None:
    assert alive(FORMS[form](text)) == [], FORMS[form](text)


@given(text=_PIECES)
def test_a_value_in_a_code_span_is_shown_whole(text: str) -> None:
    seen = shown(inline(f"x {code(text)} y"))
    assert "".join(seen.split()) == "".join(shown(f"x {code(text)} y").split())


@given(text=_PIECES)
def test_escaping_twice_keeps_it_inert(text: str) -> None:
    assert alive(inline(inline(text))) == []
    assert alive(block(inline(text))) == []
    assert alive(block(block(text))) == []


@pytest.mark.parametrize("text", ORDINARY)
def test_people_read_what_was_written(text: str) -> None:
    for form in (inline, block):
        assert shown(form(text)) == shown(text) or shown(form(text)) == text.replace("`", "")


def test_ordinary_words_are_not_escaped() -> None:
    text = "It says `a | b`, a list:\n\n- one\n- two -- C#, #tag, x & y; done: **bold** and a::b, snake_case, 3 < 4, $5"
    assert block(text) == text


def test_of_markdown_lists_emphasis_and_code_stay() -> None:
    text = "Summary:\n\n1. Do *this*:\n   ```python\n   @property\n   def x(): ...\n   ```\n2. Then\n   - `that`"
    assert block(text) == snapshot("""\
Summary:

1. Do *this*:

```python
@property
def x(): ...
```

2. Then
   - `that`\
""")


def test_what_would_be_alive_is_code() -> None:
    assert inline("Thanks @ada, fixes #7 (see acme/x#2), https://a.example/b.") == snapshot(
        "Thanks `@ada`, <code>fixes &#35;7</code> (see <code>acme&#47;x&#35;2</code>), `https://a.example/b`."
    )
    assert inline("[skip ci] it") == snapshot("<code>&#91;skip ci&#93;</code> it")


def test_code_cannot_be_ended_from_inside() -> None:
    assert code("a`b") == "``a`b``"
    assert code("`a``b") == "``` `a``b ```"
    assert code("two\nlines") == "`two lines`"
    assert shown(code("")) == " "
    assert fenced("a\n````\nb") == "`````\na\n````\nb\n`````"


def test_code_whose_source_is_acted_on_looks_the_same() -> None:
    assert shown(fenced("ok\n/approve\nfixes #7")).strip() == "ok\n/approve\nfixes #7"
    assert shown(inline(code("a` fixes #7 `b.txt"))) == "a` fixes #7 `b.txt"
    assert MARKER not in fenced(f"1 passed\n{MARKER}")


def test_a_cut_leaves_whole_lines() -> None:
    assert cut("one `@two`\nthree `@four`", 20) == "one `@two`"
    assert cut("one", 20) == "one"


@pytest.mark.parametrize(
    "piece", ["`", "` `` ", "a.", "a/", "@", "[", "#", "\n", "fix ", "http://!", "<code>", "&#", "\\", "a1", "*", "$x"]
)
def test_it_takes_time_in_proportion_to_the_text(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    for form in (inline, block, fenced, code):
        began = time.perf_counter()
        form(text)
        assert time.perf_counter() - began < 3


def test_the_end_of_an_output_is_whole_lines() -> None:
    log = "first line\nsecond line\nthird"
    assert [last_lines(log, chars) for chars in (100, 17, 16, 5)] == [log, "second line\nthird", "third", "third"]


def test_a_long_last_line_is_shown_from_an_ellipsis_on() -> None:
    assert last_lines("a line\n0123456789", 4) == "…789"
    assert last_lines("a line\n0123456789\n", 4) == "…89\n"
