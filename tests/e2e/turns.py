"""What scripted models say in these tests, short enough to read in a line."""

from collections.abc import Sequence

from app.demo.model.scripted import Turn, tool

TEST_IT = (
    "import unittest\n\nfrom greet import greet\n\n\n"
    "class Spelling(unittest.TestCase):\n"
    "    def test_it_says_hello(self):\n"
    '        self.assertEqual(greet("Ada"), "hello, Ada")\n'
)


def plan(
    *steps: str,
    title: str = "Mend the greeting",
    summary: str = "The greeting lacked an l.",
    answers: Sequence[dict[str, object]] | None = None,
) -> Turn:
    made = [{"title": step, "files": ["greet.py"], "check": "python3 -m unittest"} for step in steps]
    return tool("plan", title=title, summary=summary, steps=made, answers=answers)


def edit(old: str, new: str, path: str = "greet.py") -> Turn:
    return tool("edit", path=path, old=old, new=new, replace_all=None)


def write(path: str, content: str) -> Turn:
    return tool("write", path=path, content=content)


def shell(command: str) -> Turn:
    return tool("shell", command=command, timeout_s=None)


def finish(summary: str = "Done.", answers: Sequence[dict[str, object]] | None = None) -> Turn:
    return tool("finish", summary=summary, answers=answers)


MEND = (
    plan("Say hello with two l"),
    edit("helo", "hello"),
    write("tests/test_spelling.py", TEST_IT),
    finish("The greeting is spelled right, and a test holds it."),
)


def answer(remark: int, *, step: int | None, words: str) -> dict[str, object]:
    """What becomes of a reviewer's remark, for `plan` and `finish`."""
    return {"remark": remark, "step": step, "words": words}
