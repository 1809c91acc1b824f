"""Global state that no part may change: random generators, logging, signal handlers, environment variables and so on."""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from agentlab.registry import plugins
from agentlab.testing.checks.violation import expect

OF_PYTHON = frozenset(vars(builtins))


def snapshot() -> dict[str, Any]:
    """Returns global state by a name for messages; that of TensorFlow, Keras and NumPy only if they have been imported."""
    root = logging.getLogger()
    state: dict[str, Any] = {
        "Python's random state": random.getstate(),
        "the logging set-up": (root.level, list(root.handlers), root.manager.disable),
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "environment variables": dict(os.environ),
        "the working directory": os.getcwd(),  # noqa: PTH109 - a string to compare
        "sys.path": list(sys.path),
        "warning filters": list(warnings.filters),
        "sys.excepthook": sys.excepthook,
        "standard streams": (sys.stdin, sys.stdout, sys.stderr),
        "builtins": {name: id(value) for name, value in vars(builtins).items() if not _is_foreign(name)},
        "the recursion limit": sys.getrecursionlimit(),
    }

    # Asking must import nothing that the part has not imported.
    if "numpy" in sys.modules:
        state |= _of_numpy()
    if "tensorflow" in sys.modules:
        state |= _of_tensorflow()
    if "keras" in sys.modules:
        state |= _of_keras()
    return state


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Returns the names of what is different in two snapshots, of what both have."""
    return [name for name, value in before.items() if name in after and after[name] != value]


@contextlib.contextmanager
def untouched(what: str) -> Iterator[None]:
    """Raises a Violation if the block changes global state; `what` names its doings, such as "building the part"."""
    with observing() as changed:
        yield
    expect_untouched(what, changed)


@contextlib.contextmanager
def observing() -> Iterator[list[str]]:
    """Yields a list that has, after the block, the names of the global state that the block changed."""
    changed: list[str] = []
    with _fresh_random_states():
        allowed = {name: [value] for name, value in snapshot().items()}
        with _imports_excused(allowed):
            yield changed
        after = snapshot()
        changed += [name for name, values in allowed.items() if name in after and after[name] not in values]


@contextlib.contextmanager
def _imports_excused(allowed: dict[str, list[Any]]) -> Iterator[None]:
    """Adds to the `allowed` values of global state what libraries make of them when the block imports them.

    A part can't prevent that: scikit-learn, for instance, sets warning filters and environment variables. The part may undo it.
    Packages that offer parts are no libraries.
    """
    own = {offer.target.replace(":", ".").partition(".")[0] for offer in plugins.every()}
    importing = builtins.__import__
    is_outermost = True

    def excusing(name: str, *arguments: Any, **options: Any) -> Any:
        nonlocal is_outermost

        # A relative import, `from .module import name`, counts its dots as the level.
        level = arguments[3] if len(arguments) > 3 else options.get("level", 0)
        package = arguments[0]["__package__"] if level else None
        module = importlib.util.resolve_name("." * level + name, package)
        if not is_outermost or module in sys.modules or module.partition(".")[0] in own:
            return importing(name, *arguments, **options)

        # What the block itself had changed before stays a change.
        is_outermost, before = False, snapshot()
        try:
            return importing(name, *arguments, **options)
        finally:
            after, is_outermost = snapshot(), True
            for change in differences(before, after):
                if before[change] in allowed.get(change, ()):
                    allowed[change].append(after[change])

    builtins.__import__ = excusing
    try:
        yield
    finally:
        if builtins.__import__ is excusing:
            builtins.__import__ = importing


def expect_untouched(what: str, changed: list[str]) -> None:
    """Raises a Violation if global state was `changed`; `what` names the doings that did it."""
    expect(not changed, f"{what} to leave the state of the process as it was", f"changed: {', '.join(changed)}")


@contextlib.contextmanager
def _fresh_random_states() -> Iterator[None]:
    """Puts random states of its own in place: a part that seeds with 0 would not be seen where another did so before."""
    state = random.getstate()
    random.seed()
    try:
        with _fresh_numpy() if "numpy" in sys.modules else contextlib.nullcontext():
            yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def _fresh_numpy() -> Iterator[None]:
    import numpy as np

    state = np.random.get_state()
    np.random.seed()
    try:
        yield
    finally:
        np.random.set_state(state)


def _is_foreign(name: str) -> bool:
    """Returns whether a name among the builtins is a console's, or private to a library that keeps something there."""
    return name == "_" or (name.startswith("__") and name not in OF_PYTHON)


def _of_numpy() -> dict[str, Any]:
    import numpy as np

    state = dict(np.random.get_state(legacy=False))
    generator = {name: np.asarray(value).tobytes() for name, value in state.pop("state").items()}
    return {
        "NumPy's random state": (state, generator),
        "NumPy's error handling": np.geterr(),
        "NumPy's print options": np.get_printoptions(),
    }


def _of_tensorflow() -> dict[str, Any]:
    import tensorflow as tf

    return {
        "TensorFlow's global seed": tf.compat.v1.get_seed(0)[0],
        "TensorFlow's eager functions": tf.config.functions_run_eagerly(),
        "TensorFlow's threads": (
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        ),
    }


def _of_keras() -> dict[str, Any]:
    import keras

    policy = keras.config.dtype_policy().name
    return {"Keras's configuration": (keras.config.floatx(), policy, keras.config.image_data_format(), keras.config.epsilon())}
