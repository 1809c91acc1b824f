"""Keras's process-wide settings, on which a named part must not depend."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Iterator
from typing import Any

from agentlab import errors

# What Keras and TensorFlow import where it is installed, for wrappers and pictures of theirs that nothing here uses: it takes
# two fifths of the time that importing them takes.
DISPENSABLE = ("IPython", "matplotlib", "pandas", "scipy", "sklearn")

DEFAULTS: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}

_lock = threading.Lock()
_depth = 0  # blocks of `keras_defaults` that are open, in all threads
_settings: dict[str, Any] = {}  # of the process, while there are any


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Gives Keras its own defaults inside the block, whatever the program or `keras.json` has set, and the settings back after.

    A part's name and settings are all that `config.json` records of it, so they alone decide which network is built, which loss
    is computed and how. The settings are the process's, the dtype policy is the thread's: Keras keeps them so.
    """
    import keras

    # A policy is Keras's own state of the thread, the other settings are the process's.
    policy = keras.config.dtype_policy()
    _open()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        _close()


def _open() -> None:
    global _depth
    with _lock:
        if _depth == 0:
            _settings.update(_current())
            _assign(DEFAULTS)
        _depth += 1


def _close() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth == 0:
            _assign(_settings)


def _current() -> dict[str, Any]:
    import keras

    return {name: getattr(keras.config, name)() for name in DEFAULTS}


def _assign(settings: dict[str, Any]) -> None:
    import keras

    for name, value in settings.items():
        getattr(keras.config, f"set_{name}")(value)


def dtype_settings(dtype: str) -> str:
    """Returns which of the process's settings make layers compute in `dtype`, as a sentence; "" if none does."""
    import keras

    policy = keras.config.dtype_policy()
    if policy.compute_dtype != dtype:
        return ""
    return f"Layers compute in {dtype} unless set otherwise, as Keras's dtype policy is {policy.name!r} in this process. "


def import_tensorflow_alone() -> None:
    """Imports TensorFlow, and with it Keras, as if nothing DISPENSABLE were installed; it can be imported afterwards.

    For processes of our own only: Keras's wrappers for scikit-learn and its pictures are not to be had in them.
    """
    absent = [name for name in DISPENSABLE if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment] # Python then says that there is no such module
    try:
        with _uncollected():
            import tensorflow  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps the garbage collector from what is made in the block, then and later: it would take a fifth of an import's time.

    Modules live as long as the process. The collector passes over their objects again and again while they become more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def importing_keras() -> Iterator[None]:
    """Names the setting where Keras can't be imported because of the backend that it is set to.

    Raises:
        UsageError: there is no such backend here.
    """
    try:
        yield
    except (
        ImportError,
        ValueError,
    ) as error:  # as Keras raises for a backend that is not installed, and for one it does not have
        config = sys.modules.get("keras.src.backend.config")
        backend = config.backend() if config is not None else "tensorflow"
        if backend == "tensorflow":
            raise
        raise wrong_backend(backend) from error


def check_backend() -> None:
    """Checks that Keras runs on TensorFlow.

    Raises:
        UsageError: it runs on another backend.
    """
    import keras

    if (backend := keras.backend.backend()) != "tensorflow":
        raise wrong_backend(backend)


def wrong_backend(backend: str) -> errors.UsageError:
    """Returns the error for a backend other than TensorFlow."""
    return errors.UsageError(
        f"Keras is set to the {backend!r} backend; agentlab needs 'tensorflow'. Set the environment variable "
        "KERAS_BACKEND=tensorflow, which overrides the file keras.json."
    )
