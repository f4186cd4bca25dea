"""Whether there is room on the worker's disk."""

import os
from pathlib import Path

import pytest

from app.adapters.disk import DiskRoom


def test_there_is_room_where_enough_is_free(tmp_path: Path) -> None:
    room = DiskRoom(tmp_path, 1)
    assert (room.why_none_to_begin(), room.why_none_to_go_on()) == ("", "")


def test_a_full_disk_is_told_with_what_is_free_and_needed(tmp_path: Path) -> None:
    room = DiskRoom(tmp_path, 1 << 40)
    assert room.why_none_to_begin().startswith("The worker's disk is full: ")
    assert room.why_none_to_begin().endswith("MiB are free, 1,099,511,627,776 are needed.")
    assert room.why_none_to_go_on() == room.why_none_to_begin()


def test_a_run_that_has_begun_needs_less(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    free_mib = found.f_bavail * found.f_frsize // (1 << 20)
    room = DiskRoom(tmp_path, 2 * free_mib)
    assert room.why_none_to_begin() != ""
    assert room.why_none_to_go_on() == ""


@pytest.mark.parametrize("folder", ["absent", "file/within"])
def test_a_folder_that_cannot_be_used_has_no_room(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    assert "cannot be used" in DiskRoom(tmp_path / folder, 1).why_none_to_begin()


def test_zero_does_not_look(tmp_path: Path) -> None:
    assert DiskRoom(tmp_path / "absent", 0).why_none_to_begin() == ""
