"""Named arrays in safetensors files: written without a copy in memory, read only as far as name, shape and dtype are right."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from agentlab.system import files
from agentlab.system.files import UnreadableError

DTYPES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
DTYPE_OF = {name: dtype for dtype, name in DTYPES.items()}
BLOCK = 2**24  # bytes written, hashed or looked through at once


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> tuple[int, str]:
    """Writes arrays by name and puts them on disk; returns the file's size in bytes and its sha256."""
    header, offset = {}, 0
    for name, array in arrays.items():
        dtype, end = DTYPES[array.dtype.name], offset + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as opened:
        pieces = [memoryview(len(head).to_bytes(8, "little")), memoryview(head), *(_bytes(array) for array in arrays.values())]
        for piece in pieces:
            for begin in range(0, len(piece), BLOCK):
                opened.write(piece[begin : begin + BLOCK])
                digest.update(piece[begin : begin + BLOCK])
            size += len(piece)
        files.sync(opened)
    return size, digest.hexdigest()


def without_zeros(array: np.ndarray) -> np.ndarray:
    """Returns `array` without the trailing rows that are zeros bit by bit, such as a replay has that is not full yet."""
    if array.ndim == 0 or not array.nbytes:
        return array
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)
    end, step, most = len(rows), 1, max(1, BLOCK // rows.shape[1])
    while end:  # a ring that is full is seen to be so by its last row
        begin = max(0, end - step)
        used = np.flatnonzero(rows[begin:end].any(axis=1))
        if len(used):
            return array[: begin + int(used[-1]) + 1]
        end, step = begin, min(step * 8, most)
    return array[:0]


def sha256(path: pathlib.Path, size: int) -> str:
    """Returns the sha256 of a plain file of exactly `size` bytes.

    Raises:
        UnreadableError: it is no such file.
    """
    digest = hashlib.sha256()
    with files.open_plain(path) as opened:
        found = os.fstat(opened.fileno()).st_size
        if found != size:
            raise UnreadableError(f"{path.name} has {found:,} bytes instead of {size:,}")
        try:
            while piece := opened.read(BLOCK):
                digest.update(piece)
        except OSError as error:
            raise UnreadableError(f"{path.name} can't be read: {error.strerror}") from error
    return digest.hexdigest()


def check(path: pathlib.Path, expected: Mapping[str, Any]) -> None:
    """Compares names, shapes and dtypes in a file with those of the `expected` variables or arrays; reads no array.

    Raises:
        UnreadableError: something is different, or it is no safetensors file.
    """
    _opened(path, lambda found: _check(path.name, found, expected))


def read_one(path: pathlib.Path, name: str, like: Any, rows: range | None = None) -> np.ndarray:
    """Returns an array that `check` has approved of, or some of its rows; those that `without_zeros` left out are zeros.

    Each call opens the file anew: what was read of it stays in memory as long as it is open.

    Args:
        path: of the file.
        name: of the array.
        like: the variable or array that `check` compared it with.
        rows: which; None for all.

    Raises:
        UnreadableError: it is no safetensors file.
    """

    def take(found: Any) -> np.ndarray:
        if rows is None:
            return _with_zeros(found.get_tensor(name), tuple(like.shape))
        saved = found.get_slice(name)
        end = min(rows.stop, saved.get_shape()[0])
        if end <= rows.start:
            return np.zeros((len(rows), *like.shape[1:]), DTYPE_OF[saved.get_dtype()])
        return _with_zeros(saved[rows.start : end], (len(rows), *like.shape[1:]))

    return _opened(path, take)


def read_all(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a file, whatever their names and shapes; they take as much memory as the file takes room.

    Raises:
        UnreadableError: it is no safetensors file.
    """
    return _opened(path, lambda found: {name: found.get_tensor(name) for name in found.keys()})  # noqa: SIM118 - no mapping


def _opened(path: pathlib.Path, use: Callable[[Any], Any]) -> Any:
    files.open_plain(path).close()
    try:
        with safe_open(path, framework="numpy") as found:
            return use(found)
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise UnreadableError(f"{path.name} can't be read: {str(error).splitlines()[0]}") from error


def _check(file: str, found: Any, expected: Mapping[str, Any]) -> None:
    names = set(found.keys())
    if names != set(expected):
        differing = sorted(names ^ set(expected))
        raise UnreadableError(f"{file} doesn't fit this agent: {', '.join(differing[:5])} on one side only")
    for name, like in expected.items():
        saved = found.get_slice(name)
        shape, dtype = tuple(saved.get_shape()), saved.get_dtype()
        wanted, wanted_dtype = tuple(like.shape), np.dtype(getattr(like.dtype, "as_numpy_dtype", like.dtype)).name
        fits = shape == wanted or (shape[1:] == wanted[1:] and 0 < len(shape) == len(wanted) and shape[0] < wanted[0])
        if not fits or dtype != DTYPES.get(wanted_dtype):
            raise UnreadableError(f"{file} has {name} as {dtype} {shape}; expected {wanted_dtype} {wanted}")


def _with_zeros(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape == shape:
        return array
    whole = np.zeros(shape, array.dtype)
    whole[: len(array)] = array
    return whole


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
