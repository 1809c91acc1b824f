"""Where texts come from: a file or folder of one's own, or a corpus that can be had everywhere."""

from __future__ import annotations

import ast
import hashlib
import os
import pathlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable

from agentlab import errors
from agentlab.system import source_text

FOLDER = "AGENTLAB_DATA"
PREFIX = "corpus:"
NIETZSCHE = "nietzsche.txt"
NIETZSCHE_URL = "https://s3.amazonaws.com/text-datasets/nietzsche.txt"
NIETZSCHE_SHA256 = "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647"
TIMEOUT = 30.0  # seconds


def read(path: str) -> bytes:
    """Returns the bytes of a text: of a corpus, a file, or a folder's files one after another.

    Args:
        path: "corpus:nietzsche" or "corpus:python-docs"; a file; or a folder, whose files are read in the order of their paths,
            those below it included and hidden ones left out.

    Raises:
        UsageError: there is no such text, or it cannot be had.
    """
    if path.startswith(PREFIX):
        name = path.removeprefix(PREFIX)
        if name not in CORPORA:
            raise errors.UsageError(errors.unknown("corpus", name, CORPORA))
        return CORPORA[name]()
    place = pathlib.Path(path)
    return b"".join(_read(file) for file in _files(place)) if place.is_dir() else _read(place)


def decoded(data: bytes, name: str) -> str:
    """Returns UTF-8 bytes as text, without a byte order mark; `name` is for messages.

    Raises:
        UsageError: they are no text; with the offset of the first byte that shows it.
    """
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise errors.UsageError(
            f"Text {name} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start:,}. "
            "Convert it, or set environment.units=bytes."
        ) from error
    if "\0" in text:
        raise errors.UsageError(
            f"Text {name} is binary: it has a zero byte at offset {data.index(0):,}. "
            "Name a text file, or set environment.units=bytes."
        )
    return text


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path.relative_to(folder))]
    if not files:
        raise errors.UsageError(f"Folder {str(folder)!r} has no files to read; put a text into it, or name another.")
    return files


def _is_hidden(path: pathlib.Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read(file: pathlib.Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise errors.UsageError(
            f"Text {str(file)!r} can't be read: {error.strerror}. Set environment.path to a UTF-8 file or a folder of such."
        ) from error


def _nietzsche() -> bytes:
    """Returns the text of Keras's character-level LSTM example, from the user's data folder, the cache, or the network."""
    folder = os.environ.get(FOLDER)
    places = [pathlib.Path(folder, NIETZSCHE)] if folder else []
    cached = cache() / NIETZSCHE
    for place in (*places, cached):
        if place.is_file():
            return _verified(_read(place), str(place))
    data = _verified(_download(NIETZSCHE_URL), NIETZSCHE_URL)
    _keep(data, cached)
    return data


def cache() -> pathlib.Path:
    """Returns the folder where downloads are kept: `agentlab` in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return pathlib.Path(home) / "agentlab" if home else pathlib.Path.home() / ".cache" / "agentlab"


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
            return answer.read()
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
    tree = ast.parse(_read(pathlib.Path(file)))
    topics = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    return "\n".join(text for _, text in sorted(ast.literal_eval(topics).items())).encode()


CORPORA: dict[str, Callable[[], bytes]] = {"nietzsche": _nietzsche, "python-docs": _python_docs}
