"""Forked processes: TensorFlow's threads don't survive a fork, so the child would wait for them forever."""

from __future__ import annotations

import os

import tensorflow as tf

from agentlab import errors

_in_use_before = False  # in the process that this one was forked from, or one before that


def check() -> None:
    """Checks that TensorFlow works in this process.

    Raises:
        UsageError: the process was forked from one in which TensorFlow was in use.
    """
    if _in_use_before:
        raise errors.UsageError(
            "This process was forked after TensorFlow had been used, so TensorFlow would hang. Start it by "
            "multiprocessing.get_context('spawn') or 'forkserver', or before TensorFlow is used."
        )


def _is_in_use() -> bool:
    """Whether TensorFlow has started its threads: from then on, their number can't be set."""
    # TensorFlow refuses to change its threads once it has started them, which nothing else tells.
    count = tf.config.threading.get_intra_op_parallelism_threads()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count + 1)
    except RuntimeError:
        return True
    tf.config.threading.set_intra_op_parallelism_threads(count)
    return False


def _look() -> None:
    global _in_use_before
    _in_use_before = _in_use_before or _is_in_use()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look)
