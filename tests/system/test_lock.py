"""A run's directory has one holder, whatever is opened, closed, copied or forked."""

import contextlib
import errno
import fcntl
import os
import pathlib
import platform
import shutil
import threading

import pytest

from agentlab import errors
from agentlab.system import lock
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder
from agentlab.system.lock import DirectoryLock


@pytest.fixture
def folder(tmp_path):
    return Folder.open(tmp_path)


def open_descriptors():
    return len(list(pathlib.Path("/proc/self/fd").iterdir()))


def exit_code_of(function):
    """Returns the exit code of a forked process: 0 if the function returned, 7 if somebody else holds the directory."""
    child = os.fork()
    if child == 0:
        try:
            function()
        except errors.UsageError:
            os._exit(7)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


forking = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def open_and_close(path):
    (path / ".lock").read_bytes()


@forking
@pytest.mark.parametrize(
    "meanwhile",
    [open_and_close, lambda path: shutil.copytree(path, path.parent / "copy"), lambda path: exit_code_of(lambda: None)],
    ids=["opened and closed", "copied", "forked"],
)
def test_a_lock_is_held_whatever_else_this_process_does(folder, tmp_path, meanwhile):
    held = DirectoryLock(folder)
    meanwhile(tmp_path)
    assert exit_code_of(lambda: DirectoryLock(Folder.open(tmp_path))) == 7
    held.release()
    assert exit_code_of(lambda: DirectoryLock(Folder.open(tmp_path))) == 0


@forking
def test_removing_the_lock_file_lets_nobody_in(folder, tmp_path):
    held = DirectoryLock(folder)
    (tmp_path / ".lock").unlink()
    assert exit_code_of(lambda: DirectoryLock(Folder.open(tmp_path))) == 7
    held.release()


@forking
def test_a_forked_process_that_lives_on_holds_nothing(folder):
    held = DirectoryLock(folder)
    gate, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(gate, 1)  # until the parent is done
        os._exit(0)
    held.release()
    DirectoryLock(folder).release()
    os.close(writer)
    os.close(gate)
    os.waitpid(child, 0)


def test_the_holder_is_named_with_its_host(folder):
    held = DirectoryLock(folder)
    with pytest.raises(errors.UsageError, match=rf"in use by process {os.getpid()} on {platform.node()}\. Wait"):
        DirectoryLock(folder)
    held.release()


def test_of_many_threads_one_gets_it_and_no_descriptor_is_left(tmp_path):
    before = open_descriptors()
    for _ in range(50):
        taken, start = [], threading.Barrier(4)

        def attempt(taken=taken, start=start):
            folder = Folder.open(tmp_path)
            start.wait()
            with contextlib.suppress(errors.UsageError):
                taken.append(DirectoryLock(folder))

        threads = [threading.Thread(target=attempt) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(taken) == 1
        taken[0].release()
        del attempt
    assert open_descriptors() <= before + 1


@pytest.mark.parametrize("code", lock.NO_LOCKS)
def test_a_file_system_without_locks_is_told_of_and_gone_on_with(folder, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(errors.RunWarning, match=r"has no locks .* nothing keeps another process from"):
        held = DirectoryLock(folder)
    with pytest.raises(errors.UsageError, match="in use by process"):  # of this process at least
        DirectoryLock(folder)
    held.release()


def test_a_lock_that_fails_otherwise_is_an_error_and_leaves_no_descriptor(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = open_descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            DirectoryLock(folder)
    DirectoryLock(folder).release()
    assert open_descriptors() == before


@pytest.mark.parametrize("text", ["", "\033[31m12", "1 2 3", "x" * 400, "\udcff", "12 host; rm"])
def test_what_a_stranger_wrote_as_the_holder_is_not_believed(folder, tmp_path, text):
    (tmp_path / ".lock").write_text(text, errors="surrogateescape")
    other = os.open(tmp_path / ".lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(errors.UsageError, match=r"in use by process unknown\. Wait"):
        DirectoryLock(folder)
    os.close(other)


def test_a_lock_file_that_is_a_link_a_pipe_or_a_directory_is_refused(folder, tmp_path):
    (tmp_path / "target").write_text("mine")
    for make in (
        lambda path: path.symlink_to(tmp_path / "target"),
        lambda path: path.symlink_to(tmp_path / "nothing"),
        os.mkfifo,
    ):
        make(tmp_path / ".lock")
        with pytest.raises(UnreadableError, match=r"symbolic link|not a plain file"):
            DirectoryLock(folder)
        (tmp_path / ".lock").unlink()
    assert (tmp_path / "target").read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_a_lock_file_that_another_directory_has_too_is_left_to_that(tmp_path):
    for name in ("run", "copy"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / ".lock").write_text("mine")
    os.link(tmp_path / "run" / ".lock", tmp_path / "copy" / ".lock")
    one, other = (DirectoryLock(Folder.open(tmp_path / name)) for name in ("copy", "run"))
    assert (tmp_path / "copy" / ".lock").stat().st_ino != (tmp_path / "run" / ".lock").stat().st_ino
    one.release()
    other.release()
