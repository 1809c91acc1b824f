"""Labelled data sets: from `.npz` files, NumPy arrays, a folder, Keras or scikit-learn; checked, and loaded once."""

from __future__ import annotations

import lzma
import math
import os
import pathlib
import struct
import weakref
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.checks import limits
from agentlab.system import files, free_memory
from agentlab.system.files import UnreadableError
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.tensors.shuffle import shuffled

KEYS = ("x_train", "y_train", "x_test", "y_test")
FOLDER = "AGENTLAB_DATA"
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    AttributeError,
    KeyError,
    SyntaxError,
    OverflowError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)  # fmt: skip - what NumPy and zipfile raise over bytes that are no archive of arrays
KERAS_DATASETS = ("mnist", "fashion_mnist", "cifar10", "cifar100")
DIGITS_TEST = 360  # of scikit-learn's 1,797 digits, a fifth
WAYS = (
    f"Set {FOLDER} to a folder that holds {{name}}.npz, or environment.data to an .npz file with {', '.join(KEYS)}; "
    "environment.data=digits needs neither network nor files."
)


@attrs.frozen(eq=False)
class Samples:
    """Inputs and their labels, shared on the device by all environments that read them.

    Attributes:
        inputs: `[N, P]` uint8 or float32, a row per sample whatever its shape: XLA gathers rows of a matrix twice as fast.
        labels: `[N]` int64.
    """

    inputs: Any
    labels: Any


@attrs.frozen(eq=False, slots=False)
class Dataset:
    """Labelled samples for training and for testing.

    Attributes:
        name: for messages.
        train: to learn from; validation samples are taken off its end.
        test: to be judged by.
        shape: of one sample.
        unit: the stored value that stands for 1: 255 for pixels of 8 bits.
        num_classes: labels are 0 to `num_classes - 1`.
    """

    name: str
    train: Samples
    test: Samples
    shape: tuple[int, ...]
    unit: float
    num_classes: int


_HELD: weakref.WeakValueDictionary[tuple, Dataset] = weakref.WeakValueDictionary()


def load(data: object, num_classes: int | None = None) -> Dataset:
    """Returns a data set; the same object for the same file or name, as long as anybody holds it.

    Args:
        data: "digits"; a name, for `NAME.npz` in the folder AGENTLAB_DATA or one of Keras's data sets; the path of an `.npz`
            file; or the arrays by name. Files and arrays have x_train, y_train, x_test and y_test.
        num_classes: by default one more than the largest label of the training samples.

    Raises:
        UsageError: there is no such data, or it is damaged or not labelled images.
    """
    if not isinstance(data, (str, os.PathLike)):
        return _checked("the arrays given", _arrays_of(data), num_classes)
    return _load_named(os.fspath(data), num_classes)


def _load_named(name: str, num_classes: int | None) -> Dataset:
    limits.check_path(name)
    file = _file_of(name)
    if file is not None:
        return _load_file(file, name, num_classes)
    if name != "digits" and name not in KERAS_DATASETS:
        raise errors.UsageError(errors.unknown("data set", name, ("digits", *KERAS_DATASETS)) + " " + WAYS.format(name=name))
    return _held((name, num_classes), lambda: _checked(name, _digits() if name == "digits" else _from_keras(name), num_classes))


def _file_of(name: str) -> pathlib.Path | None:
    """Returns the file that a name stands for: its path, or NAME.npz in the user's folder if there is one."""
    if name.endswith(".npz"):
        return pathlib.Path(name)
    folder = os.environ.get(FOLDER)
    file = pathlib.Path(folder or "", f"{name}.npz")
    return file if folder and file.is_file() else None


def _load_file(file: pathlib.Path, name: str, num_classes: int | None) -> Dataset:
    """Returns the data set in a file; a changed file is another data set."""
    try:
        opened = files.open_plain(file, follow=True)
    except UnreadableError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise errors.UsageError(f"Data file {str(file)!r} can't be read: {reason}. {WAYS.format(name='NAME')}") from error
    with opened:
        # A file that was rewritten is another data set, though its path is the same.
        status = os.fstat(opened.fileno())
        version = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        return _held((*version, num_classes), lambda: _checked(name, _read(opened, str(file)), num_classes))


def _held(key: tuple, make: Callable[[], Dataset]) -> Dataset:
    held = _HELD.get(key)
    if held is None:
        held = _HELD[key] = make()
    return held


def _read(opened: BinaryIO, path: str) -> dict[str, np.ndarray]:
    """Returns the arrays of an `.npz` file; what would have to be unpickled is refused, since unpickling runs code."""
    try:
        with zipfile.ZipFile(opened) as archive:
            members = {key: archive.getinfo(f"{key}.npy") for key in KEYS if f"{key}.npy" in archive.NameToInfo}
            _check_sizes(archive, members)
            return {key: _array(archive, info) for key, info in members.items()}
    except DAMAGED as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise errors.UsageError(
            f"Data file {path!r} is damaged or not an .npz file of plain arrays: {reason}. Write it again with numpy.savez."
        ) from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_sizes(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> None:
    """Raises ValueError if an array is not what its header declares, or all of them are more than the memory has room for.

    A few kilobytes can unpack to terabytes, and a header can declare any shape.
    """
    # Headers only, so that nothing large is read before its size is known.
    needed = 0
    for key, info in members.items():
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
            if dtype.hasobject or member.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
                raise ValueError(f"{info.filename} declares {dtype} {shape}, which is not what it holds")
        needed += math.prod(shape) * _bytes_per_number(key, dtype)
    free = free_memory.free_bytes()
    if free is not None and needed > free:
        raise ValueError(f"its arrays take {needed:,} bytes, of which {free:,} are free")


def _bytes_per_number(key: str, dtype: np.dtype) -> int:
    """Returns what a number takes at most: as it is stored, checked, converted, and once more on the device."""
    converted = 8 if key.startswith("y") else 1 if dtype == np.uint8 else 4
    return dtype.itemsize + 1 + 2 * converted


def _arrays_of(data: object) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise errors.UsageError(
            f"The setting 'data' is a {type(data).__name__}; expected a name, the path of an .npz file, or a dict of the "
            f"arrays {', '.join(KEYS)}."
        )
    return {name: np.asarray(array) for name, array in data.items()}


def _from_keras(name: str) -> dict[str, np.ndarray]:
    """Returns one of Keras's data sets, from its cache or, the first time, the network."""
    try:
        with keras_defaults():  # it gives pictures the order of axes that the process has set
            (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain Exception where a download fails
        reason = str(error).split("\n")[0]
        raise errors.UsageError(f"Data set {name!r} can't be downloaded: {reason}. {WAYS.format(name=name)}") from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _digits() -> dict[str, Any]:
    """Returns scikit-learn's 1,797 digits of 8 x 8 pixels from 0 to 16, a fixed random fifth of them to test with."""
    from sklearn.datasets import load_digits

    images, labels = (np.asarray(array) for array in (lambda data: (data.images, data.target))(load_digits()))
    order = shuffled(tf.range(len(images), dtype=tf.int64), len(images), 0, 0).numpy()
    train, test = order[DIGITS_TEST:], order[:DIGITS_TEST]
    arrays = {"x_train": images[train], "x_test": images[test]}
    pixels = {name: array.astype(np.uint8) for name, array in arrays.items()}
    return {**pixels, "y_train": labels[train], "y_test": labels[test], "unit": 16.0}


def _checked(name: str, arrays: Mapping[str, Any], num_classes: int | None) -> Dataset:
    # Every array is there, and training and test samples fit together.
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        raise errors.UsageError(f"Data set {name!r} lacks {', '.join(missing)}; expected the arrays {', '.join(KEYS)}.")
    x_train, x_test = (_inputs(name, key, arrays[key]) for key in ("x_train", "x_test"))
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise errors.UsageError(
            f"Data set {name!r} has x_train as {x_train.dtype} {x_train.shape} but x_test as {x_test.dtype} {x_test.shape}; "
            "expected samples of one shape and dtype."
        )

    # [N] labels from 0 to classes - 1.
    y_train, y_test = (_labels(name, key, arrays[key], len(x)) for key, x in (("y_train", x_train), ("y_test", x_test)))
    classes = num_classes or max(2, int(y_train.max()) + 1)
    for key, labels in (("y_train", y_train), ("y_test", y_test)):
        _check_range(name, key, labels, classes)

    # Samples are flattened, [N, F]: a gather of rows is then one copy.
    train, test = (
        Samples(tf.constant(x.reshape(len(x), -1)), tf.constant(y)) for x, y in ((x_train, y_train), (x_test, y_test))
    )
    unit = arrays.get("unit", 255.0 if x_train.dtype == np.uint8 else 1.0)
    return Dataset(name, train, test, x_train.shape[1:], unit, classes)


def _inputs(name: str, key: str, array: np.ndarray) -> np.ndarray:
    """Returns samples `[N, ...]` as they are stored; images without a channel axis get one."""
    if array.dtype.kind not in "uif" or array.ndim < 2 or array.size == 0:
        raise errors.UsageError(
            f"Data set {name!r} has {key} as {array.dtype} {array.shape}; expected numbers, [samples, ...], at least one."
        )

    # One number that is not finite makes every weight nan.
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise errors.UsageError(
            f"Data set {name!r} has a value that is not finite in {key}, sample {row}; fix or remove such samples."
        )

    # Bytes stay bytes, a quarter of the memory; they are scaled when they are shown.
    whole = array.dtype.kind in "ui" and array.min() >= 0 and array.max() <= 255
    return np.ascontiguousarray(array[..., None] if array.ndim == 3 else array, np.uint8 if whole else np.float32)


def _labels(name: str, key: str, array: np.ndarray, rows: int) -> np.ndarray:
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.dtype.kind not in "ui" or labels.shape != (rows,):
        raise errors.UsageError(
            f"Data set {name!r} has {key} as {array.dtype} {array.shape}; expected one whole number per sample, [{rows}]."
        )
    return labels.astype(np.int64)


def _check_range(name: str, key: str, labels: np.ndarray, num_classes: int) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise errors.UsageError(
            f"Data set {name!r} has the label {labels[wrong[0]]} in {key}, sample {wrong[0]}; expected 0 to {num_classes - 1}. "
            "Fix the labels or set environment.num_classes."
        )
