"""The repository's own conventions, from its base branch only: what a pull request brings along instructs nobody."""

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Final

from app.core.repo_config import INSTRUCTION_FILES
from app.core.sanitize import disarm
from app.runs.work import Work

MAX_FOLDERS: Final = 12
MAX_FILES: Final = 12
FILE_CHARS: Final = 32_768
ALL_CHARS: Final = 65_536


async def read_conventions(work: Work, paths: Collection[str] = ()) -> tuple[tuple[str, str], ...]:
    """Path and text of the files of conventions in the folders of these paths, and at the root.

    The nearest first: of each name the deepest folder's. Those that come late are left out when there are too many.
    """
    job, left = work.run.job, ALL_CHARS
    found: list[tuple[str, str]] = []
    for name in INSTRUCTION_FILES:
        for folder in _folders(paths):
            path = (folder / name).as_posix()
            raw = await work.ports.repos.read(job.installation_id, job.repo, work.run.base_sha, path)
            if raw is None or len(found) == MAX_FILES or not left:
                continue
            text = disarm(raw.decode("utf-8", "replace")[: min(left, FILE_CHARS)])
            left = max(0, left - len(text))
            found.append((path, text))
    return tuple(found)


def _folders(paths: Collection[str]) -> list[PurePosixPath]:
    """The folders that the paths lie in, deepest first, the root last and always. A path that ends with `/` is one."""
    folders = {PurePosixPath(path.removeprefix("./"), *("_",) * path.endswith("/")).parent for path in paths}
    inside = {folder for folder in folders if not folder.is_absolute() and ".." not in folder.parts}
    nested = {each for folder in inside for each in (folder, *folder.parents)} - {PurePosixPath()}
    deepest = sorted(nested, key=lambda folder: (-len(folder.parts), folder.as_posix()))
    return [*deepest[:MAX_FOLDERS], PurePosixPath()]
