"""Output keeps its ends, whatever size it comes in."""

from hypothesis import given
from hypothesis import strategies as st

from app.adapters.sandbox import remote
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


def test_a_report_is_read_behind_what_a_login_shell_says() -> None:
    ended = remote.report("Welcome!\nYou have mail.\naGVsbG8=\n\n0\n3\n", 100)
    assert ended is not None
    assert (ended.exit_code, ended.output.text()) == (3, "hello")


def test_anything_else_is_no_report() -> None:
    for printed in ("", "words\n", "a\nb\nc\nd\n", "!\n\n0\n0\n"):
        assert remote.report(printed, 100) is None
