"""The part of a log that tells why it failed."""

from hypothesis import given
from hypothesis import strategies as st

from app.runs.follow_up.log_excerpt import GAP, MAX_CHARS, find_evidence

NOISE = [f"Downloading package {number}" for number in range(5_000)]
CLEANING = [f"Cleaning up {number}" for number in range(500)]


def test_a_short_log_is_told_as_it_is() -> None:
    assert find_evidence("one\n\ntwo\n") == "one\n\ntwo"


def test_the_error_is_found_between_much_else() -> None:
    log = "\n".join([*NOISE, "tests/test_greet.py:4: AssertionError", *CLEANING, "the end"])
    found = find_evidence(log).splitlines()
    assert found[0] == GAP
    assert "tests/test_greet.py:4: AssertionError" in found
    assert found[-1] == "the end"


def test_the_last_of_many_errors_counts_most() -> None:
    log = "\n".join(f"step {number}: error: {'x' * 200}" for number in range(1_000))
    found = find_evidence(log)
    assert "step 999:" in found
    assert "step 5:" not in found


def test_no_failures_are_no_failure() -> None:
    log = "\n".join([*NOISE, "12 passed, 0 failed", *CLEANING])
    assert "12 passed" not in find_evidence(log)


@given(st.text(), st.integers(0, 400))
def test_it_is_never_longer_than_it_may_be(text: str, times: int) -> None:
    assert len(find_evidence(text * times)) <= MAX_CHARS
