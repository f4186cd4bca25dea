import pytest

from app.runs.stages.git_lfs import MAX_PATTERNS, is_pointer, read_patterns

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"


def test_a_pointer_is_known() -> None:
    assert is_pointer(POINTER)
    assert is_pointer(POINTER.replace(b"oid", b"ext-0-case sha256:" + b"b" * 64 + b"\noid", 1))


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n", POINTER + b"more\n", POINTER[:-1], POINTER.replace(b"a", b"g"), b"#" + POINTER]
)
def test_anything_else_is_no_pointer(content: bytes) -> None:
    assert not is_pointer(content)


def test_patterns_are_those_that_lfs_keeps() -> None:
    attributes = "# *.gif filter=lfs\n*.png filter=lfs diff=lfs merge=lfs -text\n\n*.py text\n*.zip -text filter=lfs\n"
    assert read_patterns(attributes) == ("*.png", "*.zip")
    assert len(read_patterns("a filter=lfs\n" * 100)) == MAX_PATTERNS


def test_patterns_may_use_a_macro() -> None:
    attributes = "[attr]large filter=lfs -text\n*.psd large\n*.md text\n[attr]small text\n*.py small\n"
    assert read_patterns(attributes) == ("*.psd",)
