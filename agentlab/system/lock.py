"""A lock on a directory: of two processes, or two runs in one process, exactly one gets it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
import stat
import threading
import warnings

from agentlab import errors
from agentlab.system import files
from agentlab.system.files import UnreadableError
from agentlab.system.folder import DIRECTORY, Folder

FILE = ".lock"
OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

HOLDER = re.compile(r"(\d{1,10})(?: ([\w.-]{1,255}))?\s*", re.ASCII)  # process and host, as the lock's file says them

_held: dict[tuple[int, int], tuple[int, ...]] = {}  # locked descriptors by the directory's identity, of this process
_guard = threading.Lock()  # of that table


class DirectoryLock:
    """Locks a directory until it is released or the process ends, however it ends.

    The lock is of the open file (`flock`), so that closing the file elsewhere in this process doesn't give it up. Processes
    that are forked from this one let go of it at once: they don't keep holding it when this one is gone.

    Args:
        folder: to hold; a file `.lock` in it names the process.

    Raises:
        UsageError: another process or run holds it.
        UnreadableError: `.lock` is a symbolic link, or no plain file.
        OSError: the directory can't be written.
    """

    def __init__(self, folder: Folder) -> None:
        self._key = folder.identity
        with _guard:
            if self._key in _held:
                raise _in_use(folder, _holder())
            _held[self._key] = _locked(folder)

    def release(self) -> None:
        """Releases the directory for others."""
        with _guard:
            descriptors = _held.pop(self._key, ())
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # of a process being forked just now, too
            os.close(descriptor)


def is_held(folder: Folder) -> bool:
    """Returns whether the process that last locked a directory may still hold it; of one on another host, nobody knows.

    Looking takes no lock, which another process might be about to take.
    """
    match = HOLDER.fullmatch(_read_holder(folder))
    if match is None:
        return False
    process, host = int(match[1]), match[2]
    if host != platform.node():
        return True
    if process == os.getpid():
        return folder.identity in _held
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user's
        return True
    return True


def _locked(folder: Folder) -> tuple[int, ...]:
    """Returns the descriptors of the directory, so that nobody gets in by removing its lock file, and of that file.

    Network file systems have no locks on directories.
    """
    # The directory is locked, not only a file in it, which anybody could remove.
    directory = os.open(".", DIRECTORY, dir_fd=folder.descriptor)
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                raise _in_use(folder, _read_holder(folder)) from error
        return directory, _locked_file(folder)
    except BaseException:
        os.close(directory)
        raise


def _read_holder(folder: Folder) -> str:
    try:
        with folder.open_file(FILE) as opened:
            return opened.read(300).decode("ascii", "replace")
    except UnreadableError:
        return ""


def _locked_file(folder: Folder) -> int:
    """Returns the descriptor of a locked file that no other directory has too."""
    while True:
        # Between opening and locking, the file may have been removed or replaced; then try again.
        descriptor = _opened(folder)
        try:
            if not _take(descriptor, folder):
                raise _in_use(folder, _read_holder(folder))
            if _is_named(descriptor, folder):
                if os.fstat(descriptor).st_nlink == 1:
                    _write(descriptor)
                    return descriptor
                folder.remove(FILE)  # a copy of the directory by hard links has it too: writing to it would write there
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(folder: Folder) -> int:
    try:
        descriptor = os.open(FILE, OPEN, 0o644, dir_fd=folder.descriptor)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise UnreadableError(files.reason(FILE, error)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError(f"{FILE} is not a plain file")
    return descriptor


def _take(descriptor: int, folder: Folder) -> bool:
    # Some network file systems know no locks: warn rather than refuse.
    """Returns whether the file's lock was free; it is this process's then, until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        if error.errno not in NO_LOCKS:
            raise
        warnings.warn(
            f"The file system of {str(folder.path)!r} has no locks ({error.strerror}): nothing keeps another process from "
            "resuming this run at the same time. Make sure that none does.",
            errors.RunWarning,
            stacklevel=6,
        )
    return True


def _is_named(descriptor: int, folder: Folder) -> bool:
    """Returns whether the directory's lock file is still this one."""
    try:
        named = os.stat(FILE, dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


def _write(descriptor: int) -> None:
    text = _holder().encode("ascii", "replace")
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def _holder() -> str:
    return f"{os.getpid()} {platform.node()}\n"


def _in_use(folder: Folder, holder: str) -> errors.UsageError:
    """Returns the error that names the process; what the file says is believed if it looks like a process and a host."""
    match = HOLDER.fullmatch(holder)
    process, host = match.groups() if match else ("unknown", None)
    return errors.UsageError(
        f"Directory {str(folder.path)!r} is in use by process {process}{f' on {host}' if host else ''}. "
        "Wait for it to end, or stop it."
    )


def _let_go() -> None:
    """In a forked process, closes what the parent holds: a lock lasts as long as any copy of its descriptor is open."""
    for descriptors in _held.values():
        for descriptor in descriptors:
            os.close(descriptor)
    _held.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_let_go)
