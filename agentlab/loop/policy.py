"""Policy: a model and a sampler; observations in, actions out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.checks.values import Numbers
from agentlab.model import RecurrentModel, forward, initial_state
from agentlab.sampler import Sampler, best_unless
from agentlab.spec import Discrete, EnvironmentSpec, conform
from agentlab.tensors import execution as executions
from agentlab.tensors import noise
from agentlab.types import Decision, TimeStep


class Policy:
    """A model and a sampler: observations in, actions out. Counts the actions drawn, which seed its draws.

    Args:
        model: from observations `[B, *O]` to outputs `[B, ..., K]`.
        sampler: draws the actions.
        spec: of the environment to act in.
        key: of the random stream to draw from, see `agentlab.seeds`.
        execution: "eager", "graph" or "xla", for calls from the host; acting alone is fastest as a graph, so "xla" runs as one.
        preferences: from outputs `[B, ..., K]` to what the sampler draws from, see `Trainer.preferences`.
        noisy: whether layers that explore by noise of their own do so, see `agentlab.tensors.noise`.
    """

    def __init__(
        self,
        model: keras.Model,
        sampler: Sampler,
        spec: EnvironmentSpec,
        key: int,
        execution: str = "graph",
        preferences: Callable[[Any], Any] = lambda output: output,
        noisy: bool = False,
    ) -> None:
        self.model = model
        self.sampler = sampler
        self.spec = spec
        self.steps = tf.Variable(0, dtype=tf.int64, name="steps")
        self._key = key
        self._preferences = preferences
        self._noisy = noisy
        self._is_eager = execution == "eager"
        self._numbers = Numbers(spec.observation, "observation")
        self._call: executions.GraphCall | None = None

    def decide(self, observation: Any, recurrent: Any = (), training: bool = False) -> Decision:
        """Makes one forward pass and one draw per row; traceable.

        Args:
            observation: `[B, *O]`.
            recurrent: the model's state `[B, ...]` before this step; `()` for a model without.
            training: whether layers such as dropout behave as in training.
        """
        step = self.steps.read_value()
        seed = seeds.at(self._key, step)
        output, following = self._forward(observation, recurrent, training, seed)
        action = self.sampler.sample(self._preferences(output), step, seed)
        self.steps.assign_add(tf.shape(observation, out_type=tf.int64)[0])
        return Decision(observation, tf.cast(action, self.spec.action.dtype), output, following)

    def explore(self, step: Any, rows: int) -> Any:
        """Returns the actions `[rows, ...]` that `decide` takes at `step` (int64 scalar) whatever the model says, and -1 where
        it takes the best; or None where the sampler can't tell, see `Sampler.explore`. Traceable."""
        if not isinstance(self.spec.action, Discrete):
            return None
        choices = (rows, *self.spec.action.choices)
        return self.sampler.explore(choices, self.spec.action.num_values, step, seeds.at(self._key, step))

    def decide_foreseen(self, observation: Any, step: Any, explored: Any = None) -> Any:
        """Returns the actions of `decide` at `step`; traceable. Counts no steps.

        Args:
            observation: `[B, *O]`.
            step: int64 scalar.
            explored: `[B, ...]` int64, what `explore` told of this step; None if that no row explores.
        """
        output, _ = self._forward(observation, (), False, seeds.at(self._key, step))
        preferences = self._preferences(output)
        action = tf.argmax(preferences, axis=-1) if explored is None else best_unless(explored, preferences)
        return tf.cast(action, self.spec.action.dtype)

    def _forward(self, observation: Any, recurrent: Any, training: bool, seed: Any) -> tuple[Any, Any]:
        with noise.drawn_from(seed if self._noisy else None):
            return forward(self.model, observation, recurrent, training)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in nothing of where a decision led: a policy alone does not learn."""

    def act(self, observation: Any) -> np.ndarray:
        """Returns the action for one observation `[*O]`, or the actions for a batch `[B, *O]`; choices are counted from 0.

        Raises:
            UsageError: the observation is not one of the environment's: its shape, dtype or numbers are others; or the model
                carries a state.
        """
        if isinstance(self.model, RecurrentModel):
            raise errors.UsageError(
                f"Model {self.model.name!r} carries a state from step to step, which 'act' doesn't keep. "
                "Call 'policy.respond(observation, state)', which takes and returns it, and counts choices from 0."
            )
        array = conform(observation, self.spec.observation, "The agent")
        batch = array if array.ndim > len(self.spec.observation.shape) else array[None]
        try:
            self._numbers.check(batch)
        except errors.EnvironmentFault as error:
            raise errors.UsageError(f"The agent can't act on its observation: {error}") from error
        action = self.decide(tf.constant(batch)).action if self._is_eager else self._compiled()(batch)[0]
        return action.numpy() if batch is array else action.numpy()[0]

    def respond(self, observation: np.ndarray, recurrent: Any = ()) -> Decision:
        """Decides for a batch of observations `[B, *O]` as one compiled call from the host; the results are eager tensors."""
        if self._is_eager:
            return self.decide(tf.constant(observation), recurrent)
        action, output, *following = self._compiled()(observation, *tf.nest.flatten(recurrent))
        return Decision(observation, action, output, tf.nest.pack_sequence_as(recurrent, following))

    def _compiled(self) -> executions.GraphCall:
        if self._call is None:
            self._call = self._compile()
        return self._call

    def _compile(self) -> executions.GraphCall:
        state = initial_state(self.model, 1)
        shown = self.spec.observation
        leaves = [tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype) for leaf in tf.nest.flatten(state)]

        def call(observation: Any, *flat: Any) -> Any:
            decision = self.decide(observation, tf.nest.pack_sequence_as(state, list(flat)))
            return (decision.action, decision.output, *tf.nest.flatten(decision.recurrent))

        return executions.GraphCall(call, [tf.TensorSpec([None, *shown.shape], shown.dtype), *leaves])
