"""A lock on a directory: of two processes, or two runs in one process, exactly one goes on."""

from __future__ import annotations

import os
import pathlib

from agentlab import errors

_HELD: set[str] = set()  # in this process, which the system's lock does not keep from itself


class DirectoryLock:
    """Holds a directory until it is released or the process ends, however it ends.

    A record lock, since workers that the process forks must not keep holding it when the process is gone.

    Args:
        directory: to hold; a file `.lock` in it names the process.

    Raises:
        UsageError: somebody else holds it.
        OSError: the directory can't be written.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._key = str(directory.resolve())
        self._file = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        if self._key in _HELD or not _take(self._file):
            holder = os.read(self._file, 20).decode("ascii", "replace").strip() or "unknown"
            if self._key not in _HELD:  # closing any descriptor of the file gives a record lock of this process up
                os.close(self._file)
            raise errors.UsageError(
                f"Run directory {str(directory)!r} is in use by process {holder}. Wait for it to end, or stop it."
            )
        _HELD.add(self._key)
        try:
            os.truncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Lets others have the directory."""
        if self._key in _HELD:
            _HELD.discard(self._key)
            os.close(self._file)


def _take(descriptor: int) -> bool:
    """Returns whether the file's lock was free; it is this process's then, until the descriptor is closed."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
