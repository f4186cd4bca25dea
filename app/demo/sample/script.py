"""What the demo's scripted model says: the turns a model would take to fix the sample repository's bug.

Only the words are scripted. The tools they call, the files they read, the tests they run and the commits that follow
are real.
"""

from typing import Final

from app.demo.model.scripted import Turn, tool, turn

_TEST: Final = """
    def test_exactly_one_unit(self):
        for seconds, text in ((1, "1s"), (60, "1m"), (60 * 60, "1h"), (24 * 60 * 60, "1d")):
            with self.subTest(text):
                self.assertEqual(format_duration(timedelta(seconds=seconds)), text)
"""
_LAST_TEST: Final = """        self.assertEqual(parse_duration(format_duration(duration)), duration)
"""

_PLANNING: Final = (
    turn(
        tool("search", pattern="def format_duration", path=None, glob=None),
        tool("read", path="durations/formatting.py", start=None, end=None),
        text="The issue is about whole units. I look at how a duration is split into units.",
    ),
    tool("read", path="tests/test_formatting.py", start=None, end=None),
    tool(
        "plan",
        title="Write a whole unit as that unit",
        summary=(
            "A duration of exactly one unit was written in the next smaller one: an hour came out as `60m`, a second "
            "as `0s`. The comparison that picks the unit left out equality."
        ),
        steps=[
            {
                "title": "Take a unit when the duration is exactly one of it",
                "files": ["durations/formatting.py", "tests/test_formatting.py"],
                "check": "python3 -m unittest",
            },
            {"title": "Note the fix in the changelog", "files": ["CHANGELOG.md"], "check": ""},
        ],
    ),
)
_FIX: Final = (
    tool(
        "edit",
        path="tests/test_formatting.py",
        old=_LAST_TEST,
        new=_LAST_TEST + _TEST,
        replace_all=None,
    ),
    turn(
        tool("shell", command="python3 -m unittest tests.test_formatting", timeout_s=None),
        text="First the test, to see it fail.",
    ),
    tool(
        "edit",
        path="durations/formatting.py",
        old="        if remaining > unit.seconds:",
        new="        if remaining >= unit.seconds:",
        replace_all=None,
    ),
    tool("shell", command="python3 -m unittest", timeout_s=None),
    tool("finish", summary="A unit is now taken when what remains is exactly one of it; a test covers all."),
)
_CHANGELOG: Final = (
    tool(
        "edit",
        path="CHANGELOG.md",
        old="## Unreleased\n",
        new="## Unreleased\n\n- `format_duration` writes exactly one hour as `1h`, not `60m`.\n",
        replace_all=None,
    ),
    tool("finish", summary="The changelog says what was mended."),
)

SCRIPT: Final[tuple[Turn, ...]] = (*_PLANNING, *_FIX, *_CHANGELOG)
