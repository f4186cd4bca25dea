"""Replacing a passage, and what is said when it is not there."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from app.agent.edit import NoEdit, replace

CODE = """\
def greet(name):
    return "helo " + name


def leave(name):
    return "bye " + name
"""


def refusal(text: str, old: str, new: str = "x") -> str:
    with pytest.raises(NoEdit) as caught:
        replace(text, old, new)
    return str(caught.value)


def test_a_passage_that_is_there_once_is_replaced() -> None:
    assert replace(CODE, '"helo "', '"hello "') == CODE.replace("helo", "hello")


def test_a_passage_that_is_there_twice_is_refused_with_its_lines() -> None:
    assert refusal(CODE, "+ name") == snapshot(
        "`old` is there 2 times (lines 2, 6). Add lines around it until it is unique, or set `replace_all`."
    )


def test_all_of_them_are_replaced_when_asked() -> None:
    assert replace(CODE, "name", "whom", everywhere=True) == CODE.replace("name", "whom")


def test_wrong_indentation_shows_what_is_there() -> None:
    assert refusal(CODE, 'def greet(name):\n  return "helo " + name') == snapshot("""\
`old` is not in the file as written, only with other white space:
     1\tdef greet(name):
     2\t    return "helo " + name\
""")


def test_a_near_miss_shows_what_comes_nearest() -> None:
    assert refusal(CODE, 'def leaves(name):\n    return "good bye " + name') == snapshot("""\
`old` is not in the file. What comes nearest:
     5\tdef leave(name):
     6\t    return "bye " + name
…
     1\tdef greet(name):
     2\t    return "helo " + name\
""")


def test_copied_line_numbers_are_recognised() -> None:
    assert refusal(CODE, '     2\t    return "helo " + name') == snapshot(
        "`old` is not in the file: it begins with line numbers. Leave out what `read` puts before each line."
    )


def test_nothing_alike_says_so() -> None:
    assert refusal(CODE, "SELECT 42;") == snapshot(
        "`old` is not in the file, nor anything like it. `read` the file again: it may have changed."
    )


def test_an_empty_passage_is_refused() -> None:
    assert "use `write`" in refusal(CODE, "")


def test_an_edit_that_changes_nothing_is_refused() -> None:
    assert "nothing would change" in refusal(CODE, "greet", "greet")


def test_windows_line_endings_stay() -> None:
    text = "a\r\nb\r\nc\r\n"
    assert replace(text, "a\nb", "1\n2\n3") == "1\r\n2\r\n3\r\nc\r\n"
    assert replace(text, "a\r\nb", "1\r\n2") == "1\r\n2\r\nc\r\n"


def test_one_foreign_line_ending_does_not_spread() -> None:
    assert replace("a\nb\r\nc\nd\n", "a\nb\nc", "1\n2\n3") == "1\n2\n3\nd\n"


def test_a_missing_final_newline_stays_missing() -> None:
    assert replace("a\nb", "b", "c") == "a\nc"


def test_backslashes_and_patterns_are_taken_literally() -> None:
    assert replace(r"re.sub('(a+)', r'\1')", r"'(a+)', r'\1'", r"'\d', r'\g<0>\n'") == r"re.sub('\d', r'\g<0>\n')"


def test_a_huge_file_is_searched_for_near_misses() -> None:
    text = "\n".join(f"value_{index} = compute({index}) + offset" for index in range(20_000))
    assert "What comes nearest" in refusal(text, "value_777 = computed(777) + offsets")


def test_mixed_line_endings_are_matched_as_they_stand() -> None:
    text = "a\r\nb\nc\r\nd\n"
    assert replace(text, "b\nc", "x") == "a\r\nx\r\nd\n"
    assert replace(text, "\nc\n", "-") == "a\r\nb-d\n"
    assert replace(text, "\n", "+", everywhere=True) == "a+b+c+d+"


HOPELESS = {
    "one long line": ("x" * 1_500_000, "x" * 40_000 + "y"),
    "lines that are all alike": ("\n".join(f"{number}{'ab' * 95}" for number in range(8_000)), "ba" * 95 + "c"),
    "many short lines": ("a\n" * 1_000_000, "a\n" * 400_000 + "b"),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_a_passage_that_is_nearly_there_very_often_costs_little(name: str) -> None:
    text, old = HOPELESS[name]
    began = time.process_time()
    assert "not in the file" in refusal(text, old)
    assert time.process_time() - began < 3  # quadratic, it would be minutes


@given(st.text(alphabet="ab\n(\\"), st.text(alphabet="ab\n(\\", min_size=1), st.text(alphabet="ab\n(\\"))
def test_only_the_passage_changes(before: str, old: str, after: str) -> None:
    text = before + old + after
    try:
        assert replace(text, old, "X") == text.replace(old, "X")
        assert text.count(old) == 1
    except NoEdit:
        assert text.count(old) != 1 or text.find(old) != text.rfind(old)
