"""Where texts come from: a file or folder of your own, or a corpus that is available everywhere."""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import pathlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import BinaryIO

from agentlab import errors, seeds
from agentlab.checks import limits
from agentlab.system import files, free_memory, machine, source_text
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder
from agentlab_envs.text.problems import PROBLEMS

FOLDER = "AGENTLAB_DATA"
PREFIX = "corpus:"
NIETZSCHE = "nietzsche.txt"
NIETZSCHE_URL = "https://s3.amazonaws.com/text-datasets/nietzsche.txt"
NIETZSCHE_SHA256 = "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647"
TIMEOUT = 30.0  # seconds
EXAMPLES = 20_000  # of a problem, in a corpus of worked examples
DOWNLOAD_LIMIT = 2**24  # bytes; the text has 600,901


def read(path: str) -> bytes:
    """Returns the bytes of a text, as of `contents`, the files of a folder one after another."""
    return b"".join(contents(path).values())


def contents(path: str, scale: int = 1) -> dict[str, bytes]:
    """Returns the bytes of a text by the name of where they are from: a corpus, a file, or the files of a folder.

    Args:
        path: "corpus:nietzsche" or "corpus:python-docs", or "corpus:sort-digits" or another problem's, worked examples of it; a
            file; or a folder, whose files are read in the order of their paths, those below it included and hidden ones left
            out. A symbolic link in it, which may lead anywhere, is refused.
        scale: bytes of memory that a byte of it will take.

    Raises:
        UsageError: there is no such text, or it cannot be had, or takes more memory than is free.
    """
    if path.startswith(PREFIX):
        name = path.removeprefix(PREFIX)
        if name not in CORPORA:
            raise errors.UsageError(errors.unknown("corpus", name, CORPORA))
        return {path: CORPORA[name]()}

    # A file or all files of a folder, read once and without following links out of it.
    limits.check_path(path)
    reader, place = _Reader(scale), pathlib.Path(path)
    try:
        if not place.is_dir():
            reader.add(files.open_plain(place, follow=True), path)
        else:
            reader.add_folder(Folder.open(place), path)
    except (OSError, ValueError, UnreadableError) as error:
        raise _unreadable(path, error) from error
    if not reader.contents:
        raise errors.UsageError(f"Folder {path!r} has no files to read; put a text into it, or name another.")
    return reader.contents


def decoded(data: bytes, name: str) -> str:
    """Returns UTF-8 bytes as text, without a byte order mark; `name` is for messages.

    Raises:
        UsageError: they are no text; with the offset of the first byte that shows it.
    """
    try:
        text = files.decoded(data, f"Text {name}")
    except UnreadableError as error:
        raise errors.UsageError(f"{error}. Convert it, or set environment.units=bytes.") from error
    if "\0" in text:
        raise errors.UsageError(
            f"Text {name} is binary: it has a zero byte at offset {data.index(0):,}. "
            "Name a text file, or set environment.units=bytes."
        )
    return text


class _Reader:
    """Reads files as long as their contents, as numbers, fit into memory together.

    Args:
        scale: bytes of memory for a byte of text.
    """

    def __init__(self, scale: int) -> None:
        self.contents: dict[str, bytes] = {}
        self._scale = scale
        self._size = 0

    def add_folder(self, folder: Folder, path: str) -> None:
        """Adds the files in a folder and in those below it, by their paths; raises UnreadableError for a symbolic link."""
        for name in sorted(name for name in folder.names() if not name.startswith(".")):
            place = os.path.join(path, name)  # noqa: PTH118 - as text, for messages
            if folder.is_folder(name):
                self.add_folder(folder.folder(name), place)
            else:
                self.add(folder.open_file(name), place)

    def add(self, opened: BinaryIO, path: str) -> None:
        """Adds an open file, which is closed; raises UsageError if there is not enough memory for it."""
        with opened:
            size = os.fstat(opened.fileno()).st_size
            self._size += size
            free_memory.check_free(self._size * self._scale, f"Text {path!r}", "text")
            self.contents[path] = files.read_opened(opened, path, size)


def _unreadable(path: str, error: Exception) -> errors.UsageError:
    reason = getattr(error, "strerror", None) or getattr(error.__cause__, "strerror", None) or error
    return errors.UsageError(
        f"Text {path!r} can't be read: {reason}. Set environment.path to a UTF-8 file or a folder of such, without links."
    )


def _read(file: pathlib.Path) -> bytes:
    return b"".join(contents(str(file)).values())


def _nietzsche() -> bytes:
    """Returns the text of Keras's character-level LSTM example, from the user's data folder, the cache, or the network."""
    folder = os.environ.get(FOLDER)
    path = pathlib.Path(folder or "", NIETZSCHE)
    place = path if folder and path.is_file() else cache() / NIETZSCHE
    if place.is_file():
        return _verified(_read(place), str(place))
    data = _verified(_download(NIETZSCHE_URL), NIETZSCHE_URL)
    _keep(data, place)
    return data


def cache() -> pathlib.Path:
    """Returns the folder where downloads are kept: `agentlab` in the user's cache.

    Raises:
        UsageError: the user has no home.
    """
    folder = machine.cache_folder()
    if folder is None:
        raise errors.UsageError(
            "There is no home directory to keep a download in. Set XDG_CACHE_HOME to a folder that can be written, or HOME."
        )
    return folder


def _verified(data: bytes, where: str) -> bytes:
    digest = hashlib.sha256(data).hexdigest()
    if digest != NIETZSCHE_SHA256:
        raise errors.UsageError(
            f"{where!r} has the sha256 {digest[:16]}..., expected {NIETZSCHE_SHA256[:16]}...: it is not the known text. "
            "Remove it, or set environment.path to the file if it is what you want."
        )
    return data


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return answer.read(DOWNLOAD_LIMIT)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise errors.UsageError(
            f"{url} can't be downloaded: {reason}. Set {FOLDER} to a folder that holds {NIETZSCHE}, set environment.path "
            "to a text of your own, or run char-rnn-docs, which needs no network."
        ) from error


def _keep(data: bytes, file: pathlib.Path) -> None:
    """Writes a file as a whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            whole = pathlib.Path(folder, file.name)
            whole.write_bytes(data)
            whole.replace(file)
    except OSError as error:
        raise errors.UsageError(
            f"Download {str(file)!r} can't be kept: {error.strerror}. Set XDG_CACHE_HOME to a folder that can be written."
        ) from error


def _python_docs() -> bytes:
    """Returns the Python reference texts that every Python brings along for `help()`, read as data: nothing is executed."""
    module = "pydoc_data.topics"
    file = source_text.locate(module)
    if file is None or not file.endswith(".py"):
        raise errors.UsageError(
            f"This Python has no source file of {module}; set environment.path to a text of your own, such as a UTF-8 file."
        )

    # The one assignment in the module is a dictionary of texts.
    tree = ast.parse(_read(pathlib.Path(file)))
    topics = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    return "\n".join(text for _, text in sorted(ast.literal_eval(topics).items())).encode()


def _worked_examples(name: str) -> bytes:
    """Returns examples of a problem and its answers, drawn from a seed of their own."""
    return PROBLEMS[name]().examples(seeds.at(seeds.stream(0, f"examples of {name}"), 0), EXAMPLES).encode()


CORPORA: dict[str, Callable[[], bytes]] = {
    "nietzsche": _nietzsche,
    "python-docs": _python_docs,
    **{name: functools.partial(_worked_examples, name) for name in PROBLEMS},
}
