"""What the model gets for its calls."""

import re
import time

import pytest
from inline_snapshot import snapshot

from app.agent.tool_calls import Edit, Read, Search, Shell, WorkCall, Write
from app.agent.tools import MAX_FILE_BYTES, MAX_RESULT_CHARS, Workbench
from app.core.errors import SandboxError
from app.core.ports.parsers import Parsers
from app.core.ports.sandbox import Sandbox
from tests.agent.conftest import GREET


@pytest.fixture
def workbench(sandbox: Sandbox, parsers: Parsers) -> Workbench:
    return Workbench(sandbox, parsers)


async def done(workbench: Workbench, call: WorkCall) -> str:
    outcome = await workbench.carry_out(call)
    assert not outcome.is_failure, outcome.text
    return outcome.text


async def failed(workbench: Workbench, call: WorkCall) -> str:
    outcome = await workbench.carry_out(call)
    assert outcome.is_failure, outcome.text
    return outcome.text


# ------------------------------------------------------------------------------------------------------------- shell


async def test_a_command_gives_its_exit_code_and_output(workbench: Workbench) -> None:
    text = await done(workbench, Shell(command="echo out; echo err >&2; [[ a == a ]]"))
    assert re.sub(r"\d\.\d", "0.0", text) == snapshot("""\
exit code 0, 0.0 s
out
err\
""")


async def test_a_failed_command_says_so(workbench: Workbench) -> None:
    assert (await failed(workbench, Shell(command="exit 3"))).startswith("exit code 3, ")


async def test_a_command_that_does_not_end_is_stopped_and_what_it_printed_is_kept(workbench: Workbench) -> None:
    text = await failed(workbench, Shell(command="echo begun; exec sleep 60", timeout_s=1))
    assert text == snapshot("""\
Stopped: it did not end within 1 s. Run less of it, or set `timeout_s` (at most 600). What it had printed:
begun
""")


async def test_a_flood_is_cut_and_says_how_to_see_the_rest(workbench: Workbench) -> None:
    text = await done(workbench, Shell(command="seq 1 200000"))
    assert len(text) < MAX_RESULT_CHARS + 300
    assert text.startswith("exit code 0")
    assert "200000" in text
    assert text.endswith("[The middle was left out: filter the output, or write it to a file and `read` that.]")


async def test_terminal_control_is_taken_out(workbench: Workbench) -> None:
    text = await done(workbench, Shell(command=r"printf '\033[31mred\033[0m\r\n10%%\r100%%\nnul\0\n'"))
    assert text.split("\n")[1:] == ["red", "100%", "nul"]


async def test_a_long_line_of_output_costs_little(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("long.txt", b"a" * 60_000)
    began = time.process_time()
    assert (await done(workbench, Search(pattern="a", path="long.txt"))).startswith("long.txt:1:aaa")
    assert time.process_time() - began < 1  # quadratic, it was some seconds


@pytest.mark.parametrize("path", ["a.yml", "a.js"])
async def test_a_file_that_crashes_its_parser_is_written_and_told(workbench: Workbench, path: str) -> None:
    content = "- " * 254 if path == "a.yml" else "{a:" * 100_000
    assert "Its syntax could not be checked: " in await done(workbench, Write(path=path, content=content))
    assert (await done(workbench, Write(path="b.py", content="x = 1\n"))).endswith("Syntax ok.")
    assert await workbench.faults() == ""


async def test_a_machine_that_is_gone_is_not_a_result(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.close()
    with pytest.raises(SandboxError):
        await workbench.carry_out(Shell(command="true"))


# -------------------------------------------------------------------------------------------------------------- read


async def test_a_file_is_read_with_line_numbers(workbench: Workbench) -> None:
    assert await done(workbench, Read(path="greet.py")) == snapshot("""\
greet.py, lines 1-2 of 2
     1\tdef greet(name):
     2\t    return "helo " + name\
""")


async def test_a_range_of_lines_is_read(workbench: Workbench) -> None:
    assert "lines 2-2 of 2" in await done(workbench, Read(path="greet.py", start=2, end=99))
    assert "lines 1-1 of 2" in await done(workbench, Read(path="greet.py", start=-4, end=1))
    assert await done(workbench, Read(path="greet.py", start=7)) == "greet.py has 2 lines: none from 7 to 2."


async def test_a_long_file_is_read_in_parts(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("long.txt", b"".join(b"line %d\n" % index for index in range(1, 5_001)))
    text = await done(workbench, Read(path="long.txt"))
    assert len(text) < MAX_RESULT_CHARS + 200
    hint = re.search(r"Read on with `start` (\d+)", text)
    assert hint
    assert f"line {int(hint[1]) - 1}\n" in text
    assert f"line {hint[1]}\n" in await done(workbench, Read(path="long.txt", start=int(hint[1])))


async def test_very_long_lines_are_clipped(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("min.js", b"x" * 500_000)
    assert "(499000 more characters)" in await done(workbench, Read(path="min.js"))


async def test_a_huge_file_is_read_in_part_and_says_so(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("huge.txt", b"a\n" * MAX_FILE_BYTES)
    assert "Only the first 2,097,152 bytes" in await done(workbench, Read(path="huge.txt", end=2))


async def test_an_empty_file_is_called_empty(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("empty", b"")
    assert await done(workbench, Read(path="empty")) == "empty is empty."


async def test_a_binary_file_is_not_shown(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("a.png", b"\x89PNG\0\0")
    assert await failed(workbench, Read(path="a.png")) == "a.png is binary."


async def test_a_folder_is_listed(workbench: Workbench) -> None:
    assert await done(workbench, Read(path=".")) == snapshot("""\
./ has 6 entries:
.git/
.gitignore
README.md
build/
greet.py
tests/\
""")


async def test_a_folder_with_one_file_of_its_own_name_is_listed(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("same/same", b"")
    assert "same/ has 1 entries" in await done(workbench, Read(path="same"))


async def test_a_wrong_path_gets_the_right_one(workbench: Workbench) -> None:
    assert await failed(workbench, Read(path="src/Test_greet.py")) == snapshot(
        "There is no file or folder src/Test_greet.py. There is: tests/test_greet.py."
    )


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "tests/../../x"])
async def test_paths_outside_of_the_repository_are_refused(workbench: Workbench, path: str) -> None:
    for call in (Read(path=path), Search(pattern="a", path=path), Write(path=path, content="x")):
        assert "is outside of the repository" in await failed(workbench, call)


async def test_the_work_trees_own_absolute_path_is_understood(workbench: Workbench, sandbox: Sandbox) -> None:
    assert "helo" in await done(workbench, Read(path=f"{sandbox.work_tree}/greet.py"))


# ------------------------------------------------------------------------------------------------------------ search


async def test_search_finds_lines_and_leaves_ignored_files_out(workbench: Workbench) -> None:
    assert await done(workbench, Search(pattern=r"\bhelo\b")) == 'greet.py:2:    return "helo " + name'


async def test_search_sees_files_that_are_new(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("sub/new.py", b"helo_again = 1\n")
    assert "sub/new.py:1:" in await done(workbench, Search(pattern=r"helo_\w+\s=\s\d"))


async def test_search_keeps_to_a_path_and_a_glob(workbench: Workbench) -> None:
    assert await done(workbench, Search(pattern="greet", path="tests", glob="*.py")) == snapshot("""\
tests/test_greet.py:1:from greet import greet
tests/test_greet.py:4:def test_greet():
tests/test_greet.py:5:    assert greet('a')\
""")
    assert await done(workbench, Search(pattern="greet", glob="*.md")) == "No matches."


async def test_search_without_git_still_finds(workbench: Workbench) -> None:
    await done(workbench, Shell(command="rm -rf .git"))
    found = await done(workbench, Search(pattern="hel+o", glob="*.py"))
    assert 'greet.py:2:    return "helo " + name' in found.splitlines()


async def test_a_pattern_that_cannot_be_read_is_explained(workbench: Workbench) -> None:
    assert "(" in await failed(workbench, Search(pattern="helo("))


async def test_a_search_where_nothing_is_says_so(workbench: Workbench) -> None:
    assert "There is no file or folder nowhere." in await failed(workbench, Search(pattern="a", path="nowhere"))


async def test_too_many_matches_are_cut_and_say_so(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("many.txt", b"helo " * 10 + b"\n" + b"helo again and again\n" * 3_000)
    text = await done(workbench, Search(pattern="helo"))
    assert len(text) < MAX_RESULT_CHARS + 200
    assert text.endswith("[There is more: narrow the pattern, `path` or `glob`.]")


async def test_an_edit_changes_the_passage_and_says_the_syntax_is_ok(workbench: Workbench, sandbox: Sandbox) -> None:
    text = await done(workbench, Edit(path="greet.py", old='"helo "', new='"hello "'))
    assert text == "Edited greet.py. Syntax ok."
    assert await sandbox.read("greet.py") == GREET.replace("helo", "hello").encode()


async def test_an_edit_that_breaks_the_syntax_stays_and_is_told(workbench: Workbench, sandbox: Sandbox) -> None:
    text = await done(workbench, Edit(path="greet.py", old="def greet(name):", new="def greet(name:"))
    assert text == snapshot("""\
Edited greet.py. Syntax faults that were not there before:
line 1, column 10: '(' was never closed
     1	def greet(name:
     2	    return "helo " + name
line 1, column 1: cannot be read: `def greet(name:`
     1	def greet(name:
     2	    return "helo " + name\
""")
    assert b"(name:" in await sandbox.read("greet.py")
    assert await workbench.faults() == snapshot("""\
greet.py:
line 1, column 10: '(' was never closed
     1	def greet(name:
     2	    return "helo " + name
line 1, column 1: cannot be read: `def greet(name:`
     1	def greet(name:
     2	    return "helo " + name\
""")


async def test_a_fault_is_told_again_until_it_is_mended(workbench: Workbench) -> None:
    await done(workbench, Edit(path="greet.py", old="(name):", new="(name:"))
    assert "Syntax faults" in await done(workbench, Edit(path="greet.py", old="helo", new="hello"))
    assert "Syntax ok." in await done(workbench, Edit(path="greet.py", old="(name:", new="(name):"))
    assert await workbench.faults() == ""


async def test_a_file_that_was_broken_before_is_not_blamed_on_the_edit(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("old.js", b"let a = {b: };\nlet c = 1;\n")
    text = await done(workbench, Edit(path="old.js", old="c = 1", new="c = 2"))
    assert text == "Edited old.js. No new syntax faults; those it had are still there."
    assert await workbench.faults() == ""


async def test_a_fault_that_a_command_made_in_a_touched_file_is_seen(workbench: Workbench) -> None:
    await done(workbench, Edit(path="greet.py", old="helo", new="hello"))
    await done(workbench, Shell(command="sed -i 's/name):/name:/' greet.py"))
    assert "was never closed" in await workbench.faults()


async def test_a_touched_file_may_be_deleted(workbench: Workbench) -> None:
    await done(workbench, Write(path="scratch.py", content="x = ("))
    await done(workbench, Shell(command="rm scratch.py"))
    assert await workbench.faults() == ""


async def test_an_edit_keeps_line_endings_odd_bytes_and_the_mode(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("run.sh", b"#!/bin/sh\r\necho caf\xe9\r\nexit 0")
    await done(workbench, Shell(command="chmod 755 run.sh"))
    await done(workbench, Edit(path="run.sh", old="#!/bin/sh\necho", new="#!/bin/sh\nset -e\necho"))
    assert await sandbox.read("run.sh") == b"#!/bin/sh\r\nset -e\r\necho caf\xe9\r\nexit 0"
    assert "-rwxr-xr-x" in await done(workbench, Shell(command="ls -l run.sh"))


async def test_an_edit_without_its_passage_shows_what_comes_nearest(workbench: Workbench, sandbox: Sandbox) -> None:
    text = await failed(workbench, Edit(path="greet.py", old="return 'helo ' + name", new="x"))
    assert 'return "helo " + name' in text
    assert await sandbox.read("greet.py") == GREET.encode()


async def test_an_edit_of_a_missing_file_says_where_it_is(workbench: Workbench) -> None:
    assert "There is: greet.py" in await failed(workbench, Edit(path="src/greet.py", old="a", new="b"))


@pytest.mark.parametrize("data", [b"\0\0", b"a" * (MAX_FILE_BYTES + 1)], ids=["binary", "huge"])
async def test_what_cannot_be_edited_is_refused(workbench: Workbench, sandbox: Sandbox, data: bytes) -> None:
    await sandbox.write("data", data)
    assert "change it with a command" in await failed(workbench, Edit(path="data", old="a", new="b"))


async def test_write_makes_a_file_and_its_folders(workbench: Workbench, sandbox: Sandbox) -> None:
    assert await done(workbench, Write(path="a/b/c.py", content="x = 1\n")) == "Wrote a/b/c.py (1 lines). Syntax ok."
    assert await sandbox.read("a/b/c.py") == b"x = 1\n"


async def test_write_keeps_the_line_endings_of_what_it_replaces(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("a.txt", b"a\r\nb\r\n")
    await done(workbench, Write(path="a.txt", content="c\nd\n"))
    assert await sandbox.read("a.txt") == b"c\r\nd\r\n"


async def test_other_files_get_no_word_on_syntax(workbench: Workbench) -> None:
    assert await done(workbench, Write(path="notes.txt", content="(")) == "Wrote notes.txt (1 lines)."


@pytest.mark.parametrize("path", [".git/config", "sub/.GIT/hooks/x", ".", "", "tests/.."])
async def test_gits_own_files_and_folders_cannot_be_written(workbench: Workbench, path: str) -> None:
    assert "cannot be written" in await failed(workbench, Write(path=path, content="x"))


async def test_a_folder_cannot_be_overwritten(workbench: Workbench) -> None:
    assert "tests" in await failed(workbench, Write(path="tests", content="x"))


async def test_characters_that_deceive_are_written_out(workbench: Workbench, sandbox: Sandbox) -> None:
    await sandbox.write("odd.txt", "a\u202eb\U000e0041\n".encode())
    for call in (Read(path="odd.txt"), Search(pattern="b"), Shell(command="cat odd.txt")):
        assert "a\\u{202e}b\\u{e0041}" in await done(workbench, call)
