"""Files: read without trusting their author, and JSON that is written within the limits of its reader."""

from __future__ import annotations

import codecs
import collections
import errno
import json
import math
import os
import pathlib
import stat
from collections.abc import Iterable, Mapping
from typing import IO, Any, BinaryIO

TEXT_LIMIT = 16 * 2**20  # bytes of a config, a manifest, a TOML file or the header of an array file
BLOCK = 2**24  # bytes of a large file that are written, hashed, read or looked through at once
REASONS = 5  # of many in one sentence
OTHER_ENCODINGS = {  # the longer marks first: one of UTF-32 begins with one of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class UnreadableError(Exception):
    """A file is missing, is not a plain file, or has unexpected contents; the message says what is wrong."""


class UnwritableError(Exception):
    """Data can't be written so that it can be read back; the message says why."""


def open_plain(path: str | pathlib.Path, within: int | None = None, follow: bool = False) -> BinaryIO:
    """Opens a file for reading, without waiting for anybody and without touching a device.

    Args:
        path: of the file.
        within: the descriptor of the directory that a relative path starts from; by default the current directory.
        follow: whether a symbolic link is followed, as for a file that the user named; one in a directory that
            somebody may have sent is not.

    Raises:
        UnreadableError: it is missing, is a link that is not followed, or is a directory, a device or a pipe.
    """
    # No waiting for a pipe's other end, no controlling terminal, and no link out of the directory.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        _check_plain(path, os.stat(path, dir_fd=within, follow_symlinks=follow))  # opening some devices does something
        descriptor = os.open(path, flags, dir_fd=within)
    except (OSError, ValueError) as error:
        raise UnreadableError(reason(path, error)) from error

    # Once more, of what was opened: the name may stand for another file by now.
    try:
        _check_plain(path, os.fstat(descriptor))
    except UnreadableError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_opened(opened: BinaryIO, name: str, limit: int = TEXT_LIMIT) -> bytes:
    """Returns the bytes of an open file of at most `limit` bytes, which is compared with its size before any is read.

    Raises:
        UnreadableError: it has more bytes, or can't be read.
    """
    size = os.fstat(opened.fileno()).st_size
    if size > limit:
        raise UnreadableError(f"{name} has {size:,} bytes; expected at most {limit:,}")
    try:
        return opened.read(limit)
    except OSError as error:
        raise UnreadableError(reason(name, error)) from error


def read_bytes(path: pathlib.Path, limit: int = TEXT_LIMIT, follow: bool = False) -> bytes:
    """Returns the bytes of a plain file of at most `limit` bytes.

    Raises:
        UnreadableError: it is no such file.
    """
    with open_plain(path, follow=follow) as opened:
        return read_opened(opened, path.name, limit)


def read_text(path: pathlib.Path, limit: int = TEXT_LIMIT, follow: bool = False) -> str:
    """Returns the UTF-8 text of a plain file of at most `limit` bytes, without a byte order mark.

    Raises:
        UnreadableError: it is no such file.
    """
    return decoded(read_bytes(path, limit, follow), path.name)


def decoded(data: bytes, name: str) -> str:
    """Returns UTF-8 bytes as text, without a byte order mark; `name` is for messages.

    Raises:
        UnreadableError: they are in another encoding, or no text; with the offset of the first byte that shows it.
    """
    # The marks of UTF-16 and UTF-32 make a better message than the first byte that is no UTF-8.
    for mark, encoding in OTHER_ENCODINGS.items():
        if data.startswith(mark):
            raise UnreadableError(f"{name} can't be read: it is {encoding}; expected UTF-8")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start + len(data) - len(error.object)
        raise UnreadableError(
            f"{name} can't be read: it is not UTF-8: byte {data[offset]:#04x} at offset {offset:,}"
        ) from error


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        UnreadableError: the file can't be read, or `parse_json` refuses what is in it.
    """
    return parse_json(read_text(path), path.name)


def parse_json(text: str, name: str) -> dict[str, Any]:
    """Returns the object in a JSON text; `name` is for messages.

    Raises:
        UnreadableError: it holds no object, names a key twice, is nested too deep, or is no JSON (which has no NaN).
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise UnreadableError(f"{name} is nested too deep") from error
    except ValueError as error:
        raise UnreadableError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise UnreadableError(f"{name} holds a {type(data).__name__}; expected an object")
    return data


def json_bytes(data: Mapping[str, Any], name: str, indent: int | None = 1) -> bytes:
    """Returns an object as JSON that `parse_json` reads back, and a line end; `name` is for messages.

    Raises:
        UnwritableError: there is a number in it that is not finite, a key that is no text, or something that JSON doesn't
            know; or it is nested too deep, or larger than what is read.
    """
    # Read back at once: what can't be read again must not replace what can.
    try:
        written = (json.dumps(_plain(data), indent=indent, allow_nan=False) + "\n").encode("ascii")
        parse_json(written.decode("ascii"), name)
    except (TypeError, ValueError, UnreadableError) as error:
        raise UnwritableError(f"{name} can't hold it: {error}") from error
    except RecursionError as error:
        raise UnwritableError(f"{name} would be nested too deep") from error
    if len(written) > TEXT_LIMIT:
        raise UnwritableError(f"{name} would have {len(written):,} bytes; expected at most {TEXT_LIMIT:,}")
    return written


def with_nulls(value: object) -> Any:
    """Returns a value with None for each number in it that is not finite, which JSON doesn't know."""
    if isinstance(value, Mapping):
        return {key: with_nulls(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_nulls(item) for item in value]
    value = _plain_number(value)
    return with_nulls(value) if isinstance(value, list) else _null_unless_finite(value)


def some(reasons: Iterable[str]) -> str:
    """Returns reasons in one clause: the first ones, and how many more there are."""
    listed = list(reasons)
    more = f"; and {len(listed) - REASONS:,} more" if len(listed) > REASONS else ""
    return "; ".join(listed[:REASONS]) + more


def sync(opened: IO[Any]) -> None:
    """Has the system put on disk what was written to an open file."""
    opened.flush()
    os.fsync(opened.fileno())


def reason(path: str | pathlib.Path, error: Exception) -> str:
    """Returns a clause that says why a file can't be opened."""
    name = os.path.basename(path)[:100] or str(path)  # noqa: PTH119 - of a name that may be no path at all
    if isinstance(error, FileNotFoundError):
        return f"{name} is missing"
    if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.EMLINK):
        return f"{name} is a symbolic link, which is not followed"
    return f"{name} can't be read: {error.strerror if isinstance(error, OSError) else error}"


def _check_plain(path: str | pathlib.Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise UnreadableError(reason(path, OSError(errno.ELOOP, "")))
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(f"{os.path.basename(path) or path} is not a plain file")  # noqa: PTH119


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        (name, _), *_ = collections.Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name[:60]!r} is there twice")
    return table


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _plain(value: object) -> Any:
    """Returns a value with Python's own numbers and lists for NumPy's; raises TypeError for a key that is no text."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {str(key)[:60]!r} is a {type(key).__name__}; expected a text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _plain_number(value)


def _plain_number(value: object) -> Any:
    """Returns the Python number, or lists of them, for a NumPy scalar or array; anything else as it is."""
    return value.tolist() if hasattr(value, "dtype") and hasattr(value, "tolist") else value


def _null_unless_finite(value: object) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
