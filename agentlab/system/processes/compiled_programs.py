"""Keeps the programs that XLA compiles on disk, so that the next process of the same task need not compile them again.

TensorFlow writes and reads the files; it fails where one is damaged, as after a power failure. So a process seals the files
that it leaves behind, and after the next start of the machine whatever has no seal is removed. Files that were written since
then are whole, and other processes may be about to read them.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib import metadata

from agentlab import errors
from agentlab.system import files, machine

FOLDER = "AGENTLAB_COMPILED"  # the variable that names another folder for them, or is "off"
FLAGS = "TF_XLA_FLAGS"
OPTION = "--tf_xla_persistent_cache_directory="
PREFIX = "xla_compile_cache__"  # with which TensorFlow begins the names of its files
KEY = re.compile(r"[0-9a-f]{16}")  # the name of a folder, see `_key`
LIMIT = 2**28  # bytes of compiled programs, in all
ROOM = 2**28  # bytes that have to be free: TensorFlow ends a run whose program it can't write
SEAL = ".sha256"


def keep(threads: int) -> None:
    """Has TensorFlow keep what it compiles in a folder of this user's; to be called before TensorFlow is imported.

    Where there is no such folder, programs are compiled again, which only takes seconds. A folder that the user has named in
    TensorFlow's own flags is left alone.

    Args:
        threads: that an operation may use; 0 is TensorFlow's choice.

    Raises:
        UsageError: the user has named what can't be a folder for them.
    """
    flags = [flag for flag in os.environ.get(FLAGS, "").split() if not _is_ours(flag)]
    if "tensorflow" in sys.modules or any(flag.startswith(OPTION) for flag in flags):
        return
    home = _home()
    if home is None:
        return
    folder = home / _key(threads)
    with contextlib.suppress(OSError):
        _make_private(folder)
        _remove_unsealed(folder)
        _remove_oldest(home)
        if shutil.disk_usage(folder).free >= ROOM:
            os.environ[FLAGS] = " ".join([*flags, OPTION + str(folder)])
            atexit.register(functools.partial(_seal, folder, os.getpid()))
            return

    # A parent process may have left a folder of its own there.
    os.environ[FLAGS] = " ".join(flags)


def _is_ours(flag: str) -> bool:
    home = _home()
    return home is not None and flag.startswith(OPTION + str(home))


def _home() -> pathlib.Path | None:
    chosen = os.environ.get(FOLDER, "")
    if chosen == "off":
        return None
    if chosen and (not pathlib.Path(chosen).is_absolute() or not _fits_in_flags(chosen)):
        raise errors.UsageError(
            f"The environment variable {FOLDER} is {chosen[:100]!r}; expected the absolute path of a folder without spaces or "
            "quotes, or 'off'. Change it, or remove it."
        )
    cache = machine.cache_folder()
    whole = pathlib.Path(chosen) if chosen else cache / "compiled" if cache is not None else None
    return whole if whole is not None and _fits_in_flags(str(whole)) else None


def _fits_in_flags(path: str) -> bool:
    """Returns whether TensorFlow reads a path in its flags as it is: they are parted at spaces, but for what is quoted."""
    return not any(character.isspace() or character in "'\"\\" for character in path)


def _key(threads: int) -> str:
    """Returns a name for whatever besides the program itself decides what it is compiled to."""
    cpu = machine.cpu()
    described = [
        *(metadata.version("tensorflow"), platform.machine(), cpu.get("model name", ""), cpu.get("flags", "")),
        *(str(threads), str(os.cpu_count()), os.environ.get("XLA_FLAGS", ""), os.environ.get(machine.ONEDNN, "")),
    ]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]


def _make_private(folder: pathlib.Path) -> None:
    """Makes a folder of this user's alone, as what lies in it is executed.

    Raises:
        PermissionError: others may write to it, or it is a link.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    for place in (folder, folder.parent):
        status = place.stat()
        if folder.is_symlink() or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{place} can be written by others")


def _programs(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the files in a folder that TensorFlow wrote, and their seals: whatever else lies there is left alone."""
    if not KEY.fullmatch(folder.name) or folder.is_symlink():
        return
    for file in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # removed by another process
            if stat.S_ISREG(file.lstat().st_mode):
                yield file


def _remove_unsealed(folder: pathlib.Path) -> None:
    """Removes what may not have been written to its end, or has changed since."""
    start = machine.start_time()
    for file in _programs(folder):
        if file.suffix == SEAL:
            if not file.with_suffix("").exists():
                file.unlink(missing_ok=True)
        elif not _is_whole(file, start):
            file.unlink(missing_ok=True)
            _seal_of(file).unlink(missing_ok=True)


def _is_whole(file: pathlib.Path, start: float) -> bool:
    """Returns whether a file is as it was written; `start` is when the machine was started, in seconds since 1970.

    A file is read once after each start, and again if it has changed, not by every command.
    """
    seal, written = _seal_of(file), file.stat().st_mtime
    if not seal.exists():
        return written >= start
    if seal.stat().st_mtime > max(written, start):
        return True
    if _read_seal(file) != _digest(file):
        return False
    seal.touch()
    return True


def _remove_oldest(home: pathlib.Path) -> None:
    """Removes the oldest programs beyond the limit, those for other machines and versions included."""
    files_there = [file for folder in home.iterdir() for file in _programs(folder) if file.suffix != SEAL]
    programs = [(file.stat().st_mtime, file.stat().st_size, file) for file in files_there]
    left = LIMIT
    for _, size, file in sorted(programs, reverse=True):
        left -= size
        if left < 0:
            file.unlink(missing_ok=True)


def _seal(folder: pathlib.Path, process: int) -> None:
    """Puts what TensorFlow has written on disk, and a seal beside it."""
    if os.getpid() != process:  # a fork's exit is not this process's
        return
    with contextlib.suppress(OSError):  # what is not sealed is compiled again
        for file in _programs(folder):
            if file.suffix == ".pb" and not _seal_of(file).exists():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
                _seal_of(file).write_text(_digest(file))


def _seal_of(file: pathlib.Path) -> pathlib.Path:
    return file.with_name(file.name + SEAL)


def _read_seal(file: pathlib.Path) -> str:
    try:
        return files.read_text(_seal_of(file), limit=100)
    except files.UnreadableError:
        return ""


def _digest(file: pathlib.Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
