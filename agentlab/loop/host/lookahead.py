"""Lookahead: draws exploration ahead of time, for many turns in one call."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from agentlab.loop.learner import Learner
from agentlab.spec import leaves_of
from agentlab.tensors.execution import compiled

TURNS = 512  # drawn at once


class Lookahead:
    """Draws exploration that needs no model output for many turns in one call; two draws take half of a small model's decision.

    Eagerly, where the model has a state, where its outputs are stored, or where the sampler can't tell what it explores, every
    turn draws for itself.

    Args:
        learner: acts.
        execution: "eager", "graph" or "xla".

    Attributes:
        signature: of what a compiled decision takes besides the observation: the step, and if known what is explored.
    """

    def __init__(self, learner: Learner, execution: str) -> None:
        self._policy = learner.policy
        self._seed = learner.policy_seed
        self._rows = learner.num_environments
        self._drawn: list[tuple[np.ndarray | None, tuple[np.ndarray, ...]]] = []
        self._begin = 0
        needs_model = bool(learner.request.keep) or bool(tf.nest.flatten(learner.policy.initial_state(1)))
        example = None if execution == "eager" or needs_model else self._explore(tf.constant(0, tf.int64))
        self.is_active = example is not None
        self.signature = [tf.TensorSpec([], tf.int64)]
        if example is not None:
            self._has_several = example.shape.num_elements() > 1  # where the only action explores, the model isn't asked
            if self._has_several:
                self.signature.append(tf.TensorSpec(example.shape, example.dtype))
            (space,) = leaves_of(self._policy.spec.action).values()
            self._dtype = space.dtype
            self._draw = compiled(self._draw_traceable, "xla")

    def at(self, step: int) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
        """Returns what was drawn ahead for the turn that begins at `step`.

        Returns:
            The actions `[B, ...]` if no row's depends on outputs, else None; and the arrays of the `signature`.
        """
        if not self.is_active:
            return None, (np.asarray(step),)
        # A step outside the window that was drawn, as after a resume, draws a new one.
        index = (step - self._begin) // self._rows
        if not 0 <= index < len(self._drawn):
            self._draw_from(step)
            index = 0
        return self._drawn[index]

    def forget(self) -> None:
        """Drops what it has drawn ahead, because the sampler's settings have changed."""
        self._drawn = []

    def _draw_from(self, step: int) -> None:
        # [TURNS, B, ...] explored actions, -1 where the model is asked.
        actions = self._draw(tf.constant(step, tf.int64)).numpy()
        steps = step + self._rows * np.arange(TURNS)
        self._drawn = []
        # Whether every row explores, so that no call is needed.
        settled = (actions >= 0).reshape(TURNS, -1).all(axis=1).tolist()
        taken = actions.astype(self._dtype)
        for turn in range(TURNS):
            arrays = (steps[turn, ...], actions[turn]) if self._has_several else (steps[turn, ...],)
            self._drawn.append((taken[turn] if settled[turn] else None, arrays))
        self._begin = step

    def _draw_traceable(self, step: tf.Tensor) -> tf.Tensor:
        steps = step + self._rows * tf.range(TURNS, dtype=tf.int64)
        return tf.map_fn(self._explore, steps, fn_output_signature=tf.int64)

    def _explore(self, step: tf.Tensor) -> tf.Tensor | None:
        return self._policy.explore(step, self._rows, self._seed(step))
