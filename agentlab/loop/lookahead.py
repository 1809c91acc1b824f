"""Foresight: a host program knows where its agent will explore before it knows what it will observe there."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from agentlab.loop.policy import Policy
from agentlab.tensors.execution import compiled

TURNS = 512  # drawn at once


class Foresight:
    """Draws what needs no output of the model for many turns in one call: two draws are half of a small model's decision.

    Drawn eagerly or by a sampler that foresees nothing, every turn draws for itself.

    Args:
        policy: acts.
        rows: B, environments side by side.
        execution: "eager", "graph" or "xla".

    Attributes:
        signature: of what `Policy.decide_foreseen` is given besides the observation.
    """

    def __init__(self, policy: Policy, rows: int, execution: str) -> None:
        self._policy = policy
        self._rows = rows
        self._drawn: list[tuple[np.ndarray | None, tuple[np.ndarray, ...]]] = []
        self._begin = 0
        example = None if execution == "eager" else policy.explore(tf.constant(0, tf.int64), rows)
        self._foresees = example is not None
        self.signature: list[tf.TensorSpec] = []
        if example is not None:
            self._several = example.shape.num_elements() > 1  # where the only action explores, the model isn't asked
            told = [tf.TensorSpec(example.shape, example.dtype)] if self._several else []
            self.signature = [tf.TensorSpec([], tf.int64), *told]
            self._draw = compiled(self._draw_traceable, "xla")

    def at(self, step: int) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
        """Returns the actions `[B, ...]` of the turn that begins at `step`, if no row's depends on outputs, else None; and
        the arrays of the `signature`."""
        if not self._foresees:
            return None, ()
        index = (step - self._begin) // self._rows
        if not 0 <= index < len(self._drawn):
            self._draw_from(step)
            index = 0
        return self._drawn[index]

    def _draw_from(self, step: int) -> None:
        actions = self._draw(tf.constant(step, tf.int64)).numpy()
        steps = step + self._rows * np.arange(TURNS)
        self._drawn = []
        settled = (actions >= 0).reshape(TURNS, -1).all(axis=1).tolist()
        taken = actions.astype(self._policy.spec.action.dtype)
        for turn in range(TURNS):
            given = (steps[turn, ...], actions[turn]) if self._several else (steps[turn, ...],)
            self._drawn.append((taken[turn] if settled[turn] else None, given))
        self._begin = step

    def _draw_traceable(self, step: tf.Tensor) -> tf.Tensor:
        steps = step + self._rows * tf.range(TURNS, dtype=tf.int64)
        return tf.map_fn(lambda at: self._policy.explore(at, self._rows), steps, fn_output_signature=tf.int64)
