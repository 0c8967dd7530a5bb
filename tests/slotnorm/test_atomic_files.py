"""Files are written whole by several processes at once, after killed ones, and on file systems that sync no folder."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from slotnorm.atomic_files import write_whole
from tests.helpers.paths import ROOT


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


def test_two_processes_do_not_write_to_one_unfinished_file(tmp_path, monkeypatch):
    path, sync = tmp_path / "file", os.fsync
    program = "import pathlib, sys; from slotnorm.atomic_files import write_whole; "
    program += "write_whole(pathlib.Path(sys.argv[1]), b'other')"

    def wait_for_the_other(descriptor: int) -> None:
        """Let another process write the same file when this one is about to finish."""
        monkeypatch.setattr(os, "fsync", sync)
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, cwd=ROOT)
        assert path.read_bytes() == b"other"
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", wait_for_the_other)
    write_whole(path, b"own")
    assert path.read_bytes() == b"own"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f"file.{dead.pid}.tmp").touch()
    others = {f"other.{dead.pid}.tmp", f"file.{dead.pid}", "file.old.tmp", "file.tmp"}
    for name in others:
        (tmp_path / name).touch()
    write_whole(tmp_path / "file", b"new")
    assert {path.name for path in tmp_path.iterdir()} == others | {"file"}
