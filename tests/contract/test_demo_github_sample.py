"""The sample repository is what the demo says: green tests, and a real bug that none of them sees."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.demo.github.server import DemoGitHub
from app.demo.sample import sample_files, sample_issue
from tests.contract import demo_github

github = demo_github.github

BUG = "if remaining > unit.seconds:"
FIX = "if remaining >= unit.seconds:"
REGRESSION = """\
import unittest
from datetime import timedelta

from durations import format_duration


class ExactUnitTest(unittest.TestCase):
    def test_exactly_one_of_a_unit_is_written_in_that_unit(self):
        for text, seconds in {"1w": 604800, "1d": 86400, "1h": 3600, "1m": 60, "1s": 1}.items():
            with self.subTest(text):
                self.assertEqual(format_duration(timedelta(seconds=seconds)), text)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sample repository, written out."""
    for path, content in sample_files().items():
        target = tmp_path / "sample" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tmp_path / "sample"


def unittest(folder: Path) -> tuple[int, int]:
    """The exit code of the sample's own tests, and how many ran."""
    argv = [sys.executable, "-B", "-W", "error", "-m", "unittest"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"^Ran (\d+) test", done.stderr, re.MULTILINE)
    return done.returncode, int(found[1]) if found else 0


def test_its_tests_pass(folder: Path) -> None:
    assert unittest(folder) == (0, 13)


def test_its_bug_is_found_by_one_more_test_and_mended_in_one_line(folder: Path) -> None:
    (folder / "tests/test_exact_units.py").write_text(REGRESSION)
    assert unittest(folder) == (1, 14)

    source = folder / "durations/formatting.py"
    assert source.read_text().count(BUG) == 1
    source.write_text(source.read_text().replace(BUG, FIX))

    assert unittest(folder) == (0, 14)


def test_the_issue_says_what_happens(folder: Path) -> None:
    said = dict(re.findall(r">>> (format_duration.*)\n'(.*)'", sample_issue().body))
    assert len(said) == 2
    for call, answer in said.items():
        code = f"from datetime import timedelta\nfrom durations import format_duration\nprint({call})"
        done = subprocess.run(
            [sys.executable, "-B", "-c", code], cwd=folder, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == answer


async def test_it_becomes_a_repository(github: DemoGitHub) -> None:
    await github.repo("acme/durations", files=sample_files())

    assert await github.file("acme/durations", "main", "durations/formatting.py") is not None
    assert await github.file("acme/durations", "main", ".github/vibecode.yml") is not None
    assert await github.file("acme/durations", "main", "durations/formatting.py.txt") is None


async def test_a_folder_becomes_a_repository_without_its_git(github: DemoGitHub, folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("[core]\n")

    await github.repo("acme/copy", source=folder)

    assert len(await github.world.repos["acme/copy"].git.tree("main", recursive=True)) == len(sample_files()) + 3
