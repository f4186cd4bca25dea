"""The folder of cached repositories: `<installation>/<name>-<digest>.git`, each with a lock file next to it.

    12/acme-greeter-4f1c….git     the repository
    12/acme-greeter-4f1c….lock    held by whoever works on it; its time is that of the last use
    12/acme-greeter-4f1c….gone    evicted, being deleted
    pack-…/                       a pack on its way into a sandbox

Lock files stay when their repository goes: to delete one that another process is about to lock would let two in.
"""

import asyncio
import fcntl
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from app.core.errors import RepoError

LOCK_POLL_S: Final = 0.05
MAX_PACKS: Final = 50
MAX_LEFTOVER_AGE_S: Final = 86_400

log = logging.getLogger(__name__)


@asynccontextmanager
async def locked(cache: Path, timeout_s: float) -> AsyncIterator[None]:
    """Hold the repository alone, among all tasks and all processes of this machine, and count that as a use.

    Raises:
        RepoError: somebody else held it all the time.
    """
    cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(cache).open("a") as lock:
        try:
            async with asyncio.timeout(timeout_s):
                while not _try_lock(lock.fileno()):  # noqa: ASYNC110 - a file's lock rings no bell
                    await asyncio.sleep(LOCK_POLL_S)
        except TimeoutError as error:
            words = "Another job has held this repository's cache for too long; try again."
            raise RepoError(words, is_passing=True) from error
        mark_used(cache)
        yield


def mark_used(cache: Path) -> None:
    """Let the repository count as just used."""
    _lock(cache).touch()


def tidy(cache: Path, max_bytes: int) -> None:
    """Remove what a killed git left behind (we hold the lock, so nobody else does), or all that has grown too large."""
    packs = cache / "objects" / "pack"
    for stale in [*cache.glob("*.lock"), *cache.glob("refs/**/*.lock"), *packs.glob("tmp_*"), *packs.glob("*.lock")]:
        stale.unlink(missing_ok=True)
    sizes = [file.stat().st_size for file in packs.glob("*.pack")]
    if sum(sizes) > max_bytes or len(sizes) > MAX_PACKS:
        shutil.rmtree(cache)


def evict(root: Path, max_bytes: int, *, keep: Path) -> None:
    """Delete the least recently used repositories until all together are within `max_bytes`.

    `keep` and those that somebody holds stay, even when that is too much.
    """
    for gone in root.glob("*/*.gone"):
        shutil.rmtree(gone, ignore_errors=True)
    sizes = {cache: _size(cache) for cache in root.glob("*/*.git")}
    total = sum(sizes.values())
    for cache in sorted(sizes, key=_used_at):
        if total <= max_bytes:
            return
        if cache != keep and _delete(cache):
            total -= sizes[cache]
            log.info("repository evicted from the cache", extra={"cache": cache.stem, "bytes": sizes[cache]})
    if total > max_bytes:
        log.warning("the cache is larger than it may be, and all of it in use", extra={"bytes": total})


def forget_leftovers(root: Path) -> None:
    """Remove the packs of workers that were killed."""
    for folder in root.glob("pack-*"):
        if time.time() - folder.stat().st_mtime > MAX_LEFTOVER_AGE_S:
            shutil.rmtree(folder, ignore_errors=True)


def _delete(cache: Path) -> bool:
    """Delete a repository that nobody holds. Renamed first, so that no half of it is ever taken for a whole."""
    with _lock(cache).open("a") as lock:
        if not _try_lock(lock.fileno()):
            return False
        gone = cache.with_suffix(".gone")
        with suppress(FileNotFoundError):
            cache.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        return True


def _lock(cache: Path) -> Path:
    return cache.with_suffix(".lock")


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _used_at(cache: Path) -> int:
    try:
        return _lock(cache).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _size(cache: Path) -> int:
    """Bytes in a folder that others may be changing."""
    total = 0
    for folder, _, names in os.walk(cache):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).lstat().st_size
    return total
