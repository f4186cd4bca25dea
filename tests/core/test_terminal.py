import pytest

from app.core.safety.terminal import plain


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m and plain", "red and plain"),
        ("\x1b]0;a title\x07said", "said"),
        ("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b]0;never ended\nFAILED test_a", "\nFAILED test_a"),
        ("\x1b(B\x1b[mbold off", "bold off"),
        ("\x1b7saved\x1b8", "saved"),
        ("cut off \x1b", "cut off "),
        ("cut off \x1b[3", "cut off "),
        (" 10 %\r 50 %\r100 %\n", "100 %\n"),
        ("a line\r\nanother\r\r\n", "a line\nanother\n"),
        ("bell\x07 and\ttab\x00", "bell and\ttab"),
        ("", ""),
    ],
)
def test_output_is_as_a_terminal_shows_it(output: str, expected: str) -> None:
    assert plain(output) == expected


def test_much_output_takes_little_time() -> None:
    assert plain("\x1b[" * 200_000) == ""
