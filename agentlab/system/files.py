"""Files: written as a whole or not at all, and read without trusting whoever wrote them."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import shutil
import stat
from typing import Any, BinaryIO

TEXT_LIMIT = 16 * 2**20  # bytes of a config or manifest


class UnreadableError(Exception):
    """A file is missing, is not a plain file, or holds something else than it should; the message says what."""


def open_plain(path: pathlib.Path) -> BinaryIO:
    """Opens a file for reading.

    Raises:
        UnreadableError: it is missing, or a symbolic link, which may lead out of its directory, a device or a pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise UnreadableError(_reason(path, error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError(f"{path.name or path} is not a plain file")
    return os.fdopen(descriptor, "rb")


def read_text(path: pathlib.Path, limit: int = TEXT_LIMIT) -> str:
    """Returns the UTF-8 text of a plain file of at most `limit` bytes.

    Raises:
        UnreadableError: it is no such file.
    """
    with open_plain(path) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > limit:
            raise UnreadableError(f"{path.name} has {size:,} bytes; expected at most {limit:,}")
        try:
            return opened.read(limit).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableError(_reason(path, error)) from error


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        UnreadableError: it holds no object, names a key twice, is nested too deep, or is no JSON (which has no NaN).
    """
    try:
        found = json.loads(read_text(path), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise UnreadableError(f"{path.name} is nested too deep") from error
    except ValueError as error:
        raise UnreadableError(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableError(f"{path.name} holds a {type(found).__name__}; expected an object")
    return found


def write_new_json(path: pathlib.Path, data: dict[str, Any]) -> None:
    """Writes an object as JSON to a file that nobody looks for yet, and puts it on disk."""
    with path.open("wb") as opened:
        opened.write((json.dumps(data, indent=1) + "\n").encode())
        sync(opened)


def write_json(path: pathlib.Path, data: dict[str, Any]) -> None:
    """Writes an object as JSON, in the place of what was there before, as a whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    try:
        write_new_json(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync(opened: Any) -> None:
    """Has the system put on disk what was written to an open file."""
    opened.flush()
    os.fsync(opened.fileno())


def sync_directory(path: pathlib.Path) -> None:
    """Has the system put a directory's own entries on disk, without which a new name may be gone after a power failure."""
    if os.name != "posix":  # elsewhere a directory can't be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: pathlib.Path) -> None:
    """Removes a file or a directory with all that is in it; not what a symbolic link leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _reason(path: pathlib.Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path.name} is missing"
    if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.EMLINK):
        return f"{path.name} is a symbolic link, which is not followed"
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"{path.name[:100]} can't be read: {reason}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} is there twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
