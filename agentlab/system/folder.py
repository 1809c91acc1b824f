"""Open folders: their files are read and written even if the folder is moved, and no symbolic link in them is followed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
import stat
import weakref
from collections.abc import Iterable
from typing import Any, BinaryIO

from agentlab.system import files
from agentlab.system.files import UnreadableError

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """A directory held open by a descriptor, so that another directory of the same name can't take its place.

    Whatever is written goes to a new file, so that neither a symbolic nor a hard link in it leads a write elsewhere.

    Args:
        descriptor: of the directory; closed when nobody refers to the folder any more.
        path: by which it was opened.
    """

    def __init__(self, descriptor: int, path: pathlib.Path) -> None:
        self.descriptor = descriptor
        self._path = path
        weakref.finalize(self, os.close, descriptor).atexit = False

    @classmethod
    def open(cls, path: pathlib.Path, follow: bool = True) -> Folder:
        """Opens the directory that a user named; a link in its place is followed by default.

        Raises:
            OSError: there is none, or it can't be opened.
        """
        return cls(os.open(path, DIRECTORY | (0 if follow else os.O_NOFOLLOW)), path)

    @property
    def path(self) -> pathlib.Path:
        """Where it is now: by the path that it was opened by, unless it was moved and the system knows where to."""
        held = os.fstat(self.descriptor)
        with contextlib.suppress(OSError):
            if os.path.samestat(self._path.stat(), held):
                return self._path
        if held.st_nlink:  # it was moved, not removed
            with contextlib.suppress(OSError):
                return pathlib.Path(f"/proc/self/fd/{self.descriptor}").readlink()
        return self._path

    @property
    def identity(self) -> tuple[int, int]:
        """What tells it from every other directory of the system."""
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino

    def names(self) -> list[str]:
        """Returns the names of what is in it."""
        return os.listdir(self.descriptor)  # noqa: PTH208 - by its descriptor

    def has(self, name: str) -> bool:
        """Returns whether there is anything of this name, be it a link that leads nowhere."""
        return self._status(name) is not None

    def is_folder(self, name: str) -> bool:
        """Returns whether there is a directory of this name; a link to one doesn't count."""
        status = self._status(name)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def version(self, name: str) -> tuple[int, int, int] | None:
        """Returns what differs once a file is replaced or written to; None if there is no plain file of this name."""
        status = self._status(name)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def folder(self, name: str) -> Folder:
        """Opens a directory in it.

        Raises:
            UnreadableError: it is missing, a symbolic link, or no directory.
        """
        try:
            descriptor = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=self.descriptor)
        except NotADirectoryError as error:
            link = stat.S_ISLNK(getattr(self._status(name), "st_mode", 0))
            what = "a symbolic link, which is not followed" if link else "not a directory"
            raise UnreadableError(f"{name} is {what}") from error
        except OSError as error:
            raise UnreadableError(files.reason(name, error)) from error
        return Folder(descriptor, self._path / name)

    def make_folder(self, name: str) -> Folder:
        """Opens a directory in it, a new one if there is none of this name.

        Raises:
            OSError: it can't be made.
            UnreadableError: it is a symbolic link, or no directory.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=self.descriptor)
        return self.folder(name)

    def make_temporary(self, prefix: str) -> str:
        """Makes a new directory of a name that nobody can predict, and returns that name.

        Raises:
            OSError: it can't be made.
        """
        name = f"{prefix}{secrets.token_hex(8)}"
        os.mkdir(name, dir_fd=self.descriptor)
        return name

    def open_file(self, name: str) -> BinaryIO:
        """Opens a plain file in it for reading; raises UnreadableError as `files.open_plain`."""
        return files.open_plain(name, within=self.descriptor)

    def read_json(self, name: str) -> dict[str, Any]:
        """Returns the object in a JSON file in it; raises UnreadableError as `files.read_json`."""
        with self.open_file(name) as opened:
            return files.parse_json(files.decoded(files.read_opened(opened, name), name), name)

    def create(self, name: str) -> BinaryIO:
        """Opens a new file for writing, in the place of whatever has this name.

        Raises:
            OSError: it can't be made.
        """
        self.remove(name)
        return os.fdopen(os.open(name, NEW, 0o666, dir_fd=self.descriptor), "wb")

    def replace(self, name: str, pieces: Iterable[bytes]) -> BinaryIO:
        """Writes a new file that takes the place of what has this name once it is on disk, or not at all.

        Returns:
            The new file, open at its end.

        Raises:
            OSError: it can't be written; what was there before is untouched.
        """
        # Whole and on disk before it takes the name; the directory is synced so that the name lasts.
        temporary = f".{name}"
        opened = self.create(temporary)
        try:
            for piece in pieces:
                opened.write(piece)
            files.sync(opened)
            self.rename(temporary, self, name)
            self.sync()
        except BaseException:
            with contextlib.suppress(OSError):  # what went wrong is raised already; a full disk is reported at closing too
                self.remove(temporary)
                opened.close()
            raise
        return opened

    def rename(self, name: str, other: Folder, new_name: str) -> None:
        """Moves what has a name in it to another folder of the same file system; a link is moved, not what it leads to."""
        os.rename(name, new_name, src_dir_fd=self.descriptor, dst_dir_fd=other.descriptor)

    def remove(self, name: str) -> None:
        """Removes what has a name in it, a directory with all that is in it, a link without what it leads to.

        Raises:
            OSError: it can't be removed.
        """
        status = self._status(name)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(name, dir_fd=self.descriptor)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.descriptor)

    def sync(self) -> None:
        """Has the system put its entries on disk, without which a new name may be gone after a power failure."""
        os.fsync(self.descriptor)

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
