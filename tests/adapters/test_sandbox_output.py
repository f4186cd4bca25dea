"""Output keeps its ends, whatever size it comes in."""

from hypothesis import given
from hypothesis import strategies as st

from app.adapters.sandbox.e2b import remote
from app.adapters.sandbox.output import CappedOutput


@given(st.lists(st.binary(max_size=200)), st.integers(0, 300))
def test_output_is_within_its_limit_and_whole_when_it_fits(chunks: list[bytes], limit: int) -> None:
    output = CappedOutput(limit)
    for chunk in chunks:
        output.add(chunk)
    whole = b"".join(chunks)

    assert output.cut is (len(whole) > limit)
    assert output.data == whole[:limit]
    if not output.cut:
        assert output.text() == whole.decode(errors="replace")
    elif limit > 48:
        assert len(output.text()) <= limit


@given(st.lists(st.binary(max_size=200)), st.integers(49, 300))
def test_chunks_make_no_difference(chunks: list[bytes], limit: int) -> None:
    output = CappedOutput(limit)
    for chunk in chunks:
        output.add(chunk)
    assert output.text() == CappedOutput.of(limit, b"".join(chunks)).text()


@given(st.text(min_size=100, max_size=400), st.integers(60, 90))
def test_no_character_is_cut_in_two(text: str, limit: int) -> None:
    output = CappedOutput.of(limit, text.replace("\ufffd", "?").encode())
    assert "\ufffd" not in output.text()


def test_the_marker_counts_what_is_missing() -> None:
    text = CappedOutput.of(68, b"a" * 100 + b"z" * 100).text()
    assert text == "a" * 10 + "\n[... 180 bytes left out ...]\n" + "z" * 10


def test_a_report_is_read_behind_whatever_stands_before_it() -> None:
    ended = remote.report(b"Welcome!\nother 0 1 1 0\nx\ntoken 3 9 5 2\nhello\xffz", "token", 5)
    assert ended is not None
    assert (ended.exit_code, ended.output.data, ended.output.cut) == (3, b"hello", True)


def test_a_report_says_that_time_ran_out() -> None:
    ended = remote.report(b"\ntoken timeout 0 0 0\n", "token", 100)
    assert ended is not None
    assert ended.exit_code is None


def test_anything_else_is_no_report() -> None:
    for printed in (b"", b"words\n", b"\ntoken", b"\ntoken 0 1 1\nx", b"\ntoken 0 2 2 0\nx", b"\ntoken x 0 0 0\n"):
        assert remote.report(printed, "token", 100) is None


def test_whole_lines_are_kept() -> None:
    lines = "".join(f"line {number:3}\n" for number in range(100))
    text = CappedOutput.of(128, lines.encode()).text()
    head, tail = "line   0\nline   1\nline   2\nline   3\n", "line  96\nline  97\nline  98\nline  99\n"
    assert text == f"{head}[... 828 bytes left out ...]\n{tail}"


def test_a_line_that_is_most_of_what_there_is_is_cut() -> None:
    text = CappedOutput.of(148, b"a\n" + b"b" * 500 + b"\nc").text()
    assert text == "a\n" + "b" * 48 + "\n[... 404 bytes left out ...]\n" + "b" * 48 + "\nc"
