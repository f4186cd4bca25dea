"""A machine's folders are shown under the paths they have inside, however their host's path is written or cut."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.sandbox.local.paths import Paths, Stream

ID = "local-0123456789abcdef0123"
FOLDER = Path("/srv/the data") / "sandboxes" / ID
PATHS = Paths(FOLDER, is_host=True)
PIECES = [
    *(f"{FOLDER}{rest}" for rest in ("", "/repo", "/repo/a.py", "/home/", "/tmp", "/shm", "/etc/passwd")),
    ID,
    "/",
    "x",
]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("{folder}/repo", "/work/repo"),
        ('File "{folder}/repo/a.py", line 2', 'File "/work/repo/a.py", line 2'),
        (
            "{folder}/home/.cache {folder}/tmp {folder}/shm/x {folder}/etc/hosts",
            "/work/home/.cache /tmp /dev/shm/x /etc/hosts",
        ),
        ("file://{folder}/repo/a.py:3", "file:///work/repo/a.py:3"),
        ("{folder}", "/work"),
        ("{folder}/machine.json", "/work/machine.json"),
        ("{folder}/repository", "/work/repository"),
        ("/sandboxes/{id}/repo /work/repo rw", "/work/repo /work/repo rw"),
        ("/srv/the\\040data/sandboxes/{id}/repo /work/repo rw", "/work/repo /work/repo rw"),
        ("{folder}/repo{folder}/home", "/work/repo/work/home"),
        (
            "/srv/the data/sandboxes/local-ffffffffffffffffffff/repo",
            "/srv/the data/sandboxes/local-ffffffffffffffffffff/repo",
        ),
        ("{folder}4/repo", "{folder}4/repo"),
        ("/repo /home nothing of the host", "/repo /home nothing of the host"),
    ],
)
def test_the_hosts_paths_become_those_inside(printed: str, shown: str) -> None:
    given_text, wanted = (text.format(folder=FOLDER, id=ID) for text in (printed, shown))
    assert PATHS.shown_text(given_text) == wanted
    stream = Stream(PATHS)
    one_by_one = b"".join(stream.add(bytes([each])) for each in given_text.encode())
    assert (one_by_one + stream.rest()).decode() == wanted


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_how_output_is_cut_into_pieces_makes_no_difference(pieces: list[str], cuts: list[int]) -> None:
    data = "".join(pieces).encode(errors="replace")
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    stream = Stream(PATHS)
    shown = b"".join(stream.add(data[start:end]) for start, end in itertools.pairwise(edges))
    assert shown + stream.rest() == PATHS.shown(data)


@given(st.binary(max_size=20_000))
def test_little_is_held_back(data: bytes) -> None:
    assert len(data) - len(Stream(PATHS).add(data)) <= PATHS.longest


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("cd /work/repo && make", "cd {folder}/repo && make"),
        ("/work/repo/a.py:3", "{folder}/repo/a.py:3"),
        ("--root=/work/repo -I/work/repo/include", "--root={folder}/repo -I{folder}/repo/include"),
        ("PATH=/work/home/bin:/work/repo/bin", "PATH={folder}/home/bin:{folder}/repo/bin"),
        ("/work/repository ./work/repo x/work/repo /work", "/work/repository ./work/repo x/work/repo /work"),
        ("https://host/work/repo", "https://host/work/repo"),
    ],
)
def test_without_isolation_commands_mean_the_hosts_paths(told: str, meant: str) -> None:
    assert PATHS.real(told) == meant.format(folder=FOLDER)
    assert Paths(FOLDER, is_host=False).real(told) == told
