"""Named arrays in safetensors files: written without a copy in memory, verified as they are read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pathlib
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import attrs
import ml_dtypes  # noqa: F401 - tells NumPy of bfloat16
import numpy as np

from agentlab.system import files
from agentlab.system.files import UnreadableError, UnwritableError
from agentlab.system.verified_bytes import FileBytes, VerifiedBytes

DTYPES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
}  # fmt: skip
DTYPE_OF = {name: dtype for dtype, name in DTYPES.items()}
HEADER_LENGTH = 8  # bytes that hold the length of the header
AXES = 32  # of an array, at most
NOTHING_BESIDE: Mapping[str, Entry] = types.MappingProxyType({})


class ArrayLike(Protocol):
    """Anything with a shape and a dtype: an array, a variable, or a description of either."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...


def header(arrays: Mapping[str, ArrayLike]) -> bytes:
    """Returns the beginning of a file of arrays, or of variables, by name.

    Raises:
        UnwritableError: the file could not be read back: an array has a dtype that safetensors doesn't know or too many
            axes, or there are too many arrays.
    """
    # One entry for each array, their bytes one behind the other.
    entries, offset = {}, 0
    for name, array in arrays.items():
        dtype, shape = _dtype_of(array), [int(size) for size in array.shape]
        if dtype.name not in DTYPES or len(shape) > AXES:
            raise UnwritableError(f"{name} is an array of {dtype} and shape {tuple(shape)}; expected {', '.join(DTYPES)}")
        end = offset + math.prod(shape) * dtype.itemsize
        entries[str(name)] = {"dtype": DTYPES[dtype.name], "shape": shape, "data_offsets": [offset, end]}
        offset = end

    # Padded so that the arrays begin at a multiple of 8 bytes.
    head = json.dumps(entries).encode()
    head += b" " * (-len(head) % HEADER_LENGTH)
    if len(head) > files.TEXT_LIMIT or len(entries) != len(arrays):
        raise UnwritableError(
            f"{len(arrays):,} arrays have names of {len(head):,} bytes; expected {files.TEXT_LIMIT:,} at most"
        )
    return len(head).to_bytes(HEADER_LENGTH, "little") + head


def write(opened: BinaryIO, arrays: Mapping[str, np.ndarray]) -> tuple[int, str]:
    """Writes arrays by name to a new file and puts it on disk; returns its size in bytes and its sha256.

    Raises:
        UnwritableError: they are not what `header` takes.
        OSError: the file can't be written.
    """
    digest, size = hashlib.sha256(), 0
    for piece in (memoryview(header(arrays)), *(bytes_of(array) for array in arrays.values())):
        for begin in range(0, len(piece), files.BLOCK):
            opened.write(piece[begin : begin + files.BLOCK])
            digest.update(piece[begin : begin + files.BLOCK])
        size += len(piece)
    files.sync(opened)
    return size, digest.hexdigest()


@attrs.frozen
class Entry:
    """The dtype and shape of an array, and from which to which of some bytes it lies."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int
    source: VerifiedBytes


@attrs.frozen
class _Like:
    """The dtype and shape of an array."""

    dtype: np.dtype
    shape: tuple[int, ...]


class ArrayFile:
    """An open safetensors file: hashed when it is opened, and each block hashed again when it is read.

    So what is read is what was verified, whatever others do to the file in the meantime. It is not mapped into memory,
    where a file that is shortened ends the program.

    Args:
        opened: the file; closed with this, or when nobody refers to this any more.
        name: for messages.
        size: in bytes that it has to have; None for any.
        beside: arrays that belong to it and lie elsewhere, by name.

    Attributes:
        sha256: of the file.

    Raises:
        UnreadableError: it has another size, or is no safetensors file.
    """

    def __init__(
        self, opened: BinaryIO, name: str, size: int | None = None, beside: Mapping[str, Entry] = NOTHING_BESIDE
    ) -> None:
        self.name = name
        self._opened = opened
        weakref.finalize(self, opened.close).atexit = False

        # Its size is compared before it is read.
        there = os.fstat(opened.fileno()).st_size
        if size not in (None, there):
            raise UnreadableError(f"{name} has {there:,} bytes instead of {size:,}")
        self._bytes = FileBytes(opened, name)
        self.sha256 = self._bytes.sha256
        own = self._read_entries()
        if doubled := sorted(own.keys() & beside.keys()):
            raise UnreadableError(f"{name} has {', '.join(doubled[:5])} twice")
        self._entries = {**own, **beside}

    @classmethod
    def open(cls, path: pathlib.Path) -> ArrayFile:
        """Opens a file by its path."""
        return cls(files.open_plain(path), path.name)

    def close(self) -> None:
        """Closes the file."""
        self._opened.close()

    def num_weights(self) -> int:
        """Returns how many weights the arrays can be together: of single bytes, four make up one."""
        sizes = {1: 4}
        entries = self._entries.values()
        return sum((entry.end - entry.begin) // sizes.get(entry.dtype.itemsize, entry.dtype.itemsize) for entry in entries)

    def likes(self, is_meant: Callable[[str], bool] = lambda _: True) -> dict[str, ArrayLike]:
        """Returns the dtypes and shapes of the arrays whose names `is_meant`, by default all, as `check` takes them."""
        return {name: _Like(entry.dtype, entry.shape) for name, entry in self._entries.items() if is_meant(name)}

    def check(self, expected: Mapping[str, ArrayLike], short: bool = False, prefix: str = "") -> None:
        """Compares names, shapes and dtypes with those of the `expected` variables or arrays; reads no array.

        Args:
            expected: by name.
            short: whether an array may have fewer rows, as `without_zeros` leaves it.
            prefix: how the names begin of the arrays that are compared; by default all are.

        Raises:
            UnreadableError: something is different.
        """
        # The same names, then for each the same shape and dtype.
        differing = sorted({name for name in self._entries if name.startswith(prefix)} ^ set(expected))
        if differing:
            raise UnreadableError(f"{self.name} doesn't fit this agent: {', '.join(differing[:5])} on one side only")
        for name, like in expected.items():
            entry, shape, dtype = self._entries[name], tuple(like.shape), _dtype_of(like)
            fewer = short and entry.shape[1:] == shape[1:] and 0 < len(entry.shape) == len(shape) and entry.shape[0] < shape[0]
            if not (entry.shape == shape or fewer) or entry.dtype != dtype:
                held = f"{DTYPES[entry.dtype.name]} {entry.shape}"
                raise UnreadableError(f"{self.name} has {name} as {held}; expected {dtype.name} {shape}")

    def check_rows(self, expected: Mapping[str, ArrayLike], rows: int) -> None:
        """Compares names, dtypes and shapes as `check`; the first axis may have any length unless it is expected to be `rows`.

        Raises:
            UnreadableError: something is different.
        """
        self.check({name: _Like(_dtype_of(like), self._with_own_rows(name, like, rows)) for name, like in expected.items()})

    def _with_own_rows(self, name: str, like: ArrayLike, rows: int) -> tuple[int, ...]:
        shape = tuple(like.shape)
        own = self._entries[name].shape if name in self._entries else shape
        return own[:1] + shape[1:] if shape and own and shape[0] != rows else shape

    def read(self, name: str, like: ArrayLike, rows: range | None = None) -> np.ndarray:
        """Returns an array that `check` has approved of, or some of its rows; those that `without_zeros` left out are zeros.

        Args:
            name: of the array.
            like: the variable or array that `check` compared it with.
            rows: which; None for all.

        Raises:
            UnreadableError: the file was changed since it was opened.
        """
        entry = self._entries[name]
        if entry.shape == tuple(like.shape) and rows is None:
            return self._array(name, entry.shape, entry.begin)

        # Rows that were left out are zeros.
        selected = range(like.shape[0]) if rows is None else rows
        end = max(selected.start, min(selected.stop, entry.shape[0]))
        row_bytes = math.prod(entry.shape[1:]) * entry.dtype.itemsize
        whole = np.zeros((len(selected), *entry.shape[1:]), entry.dtype)
        stored = (end - selected.start, *entry.shape[1:])
        whole[: stored[0]] = self._array(name, stored, entry.begin + selected.start * row_bytes)
        return whole

    def read_all(self) -> dict[str, np.ndarray]:
        """Returns the arrays, whatever their names and shapes; they take as much memory as the file takes room.

        Raises:
            UnreadableError: the file was changed since it was opened.
        """
        return {name: self._array(name, entry.shape, entry.begin) for name, entry in self._entries.items()}

    def _array(self, name: str, shape: tuple[int, ...], begin: int) -> np.ndarray:
        array = np.empty(shape, self._entries[name].dtype)
        flat = array.reshape(-1).view(np.uint8)  # [bytes]

        # Piece by piece, each checked against its hash.
        place = 0
        for piece in self._entries[name].source.pieces(begin, begin + array.nbytes):
            flat[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
            place += len(piece)
        if array.dtype == np.bool_ and flat.size and flat.max() > 1:
            raise UnreadableError(f"{self.name} has bytes in {name} that are neither true nor false")
        return array

    def _read_entries(self) -> dict[str, Entry]:
        """Returns where the arrays of the file lie, by name; raises UnreadableError if its header doesn't say so."""
        size = self._bytes.size
        head = b"".join(self._bytes.pieces(0, min(HEADER_LENGTH, size)))
        length = int.from_bytes(head, "little")
        begin = HEADER_LENGTH + length
        if len(head) < HEADER_LENGTH or length > files.TEXT_LIMIT or begin > size:
            raise UnreadableError(f"{self.name} can't be read: it is not a safetensors file")
        text = files.decoded(b"".join(self._bytes.pieces(HEADER_LENGTH, begin)), self.name)
        header = files.parse_json(text, f"{self.name} can't be read: its header")
        return _entries(header, begin, self._bytes)


def _entries(header: dict[str, Any], begin: int, source: FileBytes) -> dict[str, Entry]:
    """Returns where the arrays of a file lie, one after the other from `begin` to its end, by name."""
    described = [key for key in header if key != "__metadata__"]
    arrays = {key: entry for key in described if (entry := _entry(header[key], begin, source)) is not None}
    place = begin
    for entry in sorted(arrays.values(), key=lambda entry: (entry.begin, entry.end)):
        place = entry.end if entry.begin == place else -1
    if place != source.size or len(arrays) != len(described):
        raise UnreadableError(f"{source.name} can't be read: its header doesn't describe what is in it")
    return arrays


def _entry(value: object, start: int, source: FileBytes) -> Entry | None:
    """Returns the entry of an array in a header, its bytes counted from `start`; None if it is malformed."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        return None

    # A header is untrusted: type and size of every field are checked before it is used.
    kind, offsets = kind_of(value["dtype"], value["shape"]), value["data_offsets"]
    if kind is None or not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        return None
    dtype, shape = kind
    begin, end = offsets
    if not 0 <= begin <= end or math.prod(shape) * dtype.itemsize != end - begin:
        return None
    return Entry(dtype, shape, start + begin, start + end, source)


def kind_of(dtype: object, shape: object) -> tuple[np.dtype, tuple[int, ...]] | None:
    """Returns the dtype and shape that a file's author wrote, as safetensors names them; None if there are none such."""
    if not isinstance(shape, list) or len(shape) > AXES or not all(type(size) is int and size >= 0 for size in shape):
        return None
    if not isinstance(dtype, str) or dtype not in DTYPE_OF:
        return None
    return np.dtype(DTYPE_OF[dtype]), tuple(shape)


def _dtype_of(array: ArrayLike) -> np.dtype:
    return np.dtype(getattr(array.dtype, "as_numpy_dtype", array.dtype))


def bytes_of(array: np.ndarray) -> memoryview:
    """Returns the bytes of an array, not copied if they lie one after the other."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
