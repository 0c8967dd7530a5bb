"""Files are written whole, after killed processes and on file systems that sync no folder."""

import errno
import os
import stat

import pytest

from slotnorm.atomic_files import write_whole


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the operating system refuse to write folders to disk."""
    sync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_folder_is_no_error(tmp_path, monkeypatch, number):
    failing(monkeypatch, number)
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_folder_that_is_not_on_disk_is_an_error(tmp_path, monkeypatch):
    failing(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_whole(tmp_path / "file", b"new")


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    (tmp_path / "file.tmp").write_bytes(b"half of some")
    write_whole(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}
