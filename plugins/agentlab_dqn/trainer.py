"""The DQN trainer: temporal-difference learning of action values, with a target network."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import keras
import tensorflow as tf

from agentlab import errors
from agentlab.parameters import flatten, unflatten
from agentlab.spec import Discrete, EnvironmentSpec
from agentlab.trainer import Trainer, fraction, optional_positive, positive
from agentlab.types import Transition


def td_targets(reward: Any, discount: Any, next_values: Any, next_actions: Any) -> Any:
    """Returns `reward + discount * next_values[next_actions]` `[N]`: what the value of the action taken should have been.

    Args:
        reward: `[N]` float32.
        discount: `[N]` float32, 0 where nothing lies beyond, else the discount factor.
        next_values: `[N, A]` float32, values of the next observation's actions.
        next_actions: `[N]` int, which of them to bootstrap from: the best by these values (DQN), or by another network's
            (double DQN; van Hasselt, Guez and Silver 2016, arXiv:1509.06461).
    """
    return reward + discount * tf.gather(next_values, next_actions, batch_dims=1)


def huber(error: Any, delta: float) -> Any:
    """Returns `error**2 / 2` where `|error| <= delta`, else `delta * (|error| - delta / 2)` (Huber 1964)."""
    size = tf.abs(error)
    return tf.where(size <= delta, 0.5 * tf.square(error), delta * (size - 0.5 * delta))


@attrs.define(slots=False, eq=False)
class DQN(Trainer):
    """Deep Q-network (Mnih et al. 2015, doi:10.1038/nature14236).

    A truncated episode bootstraps from its final observation; a terminated one does not (Pardo et al. 2018, arXiv:1712.00378).

    Attributes:
        discount: discount factor of the return, 0 to 1.
        huber_delta: error beyond which the loss grows linearly; None for half the squared error.
        double: choose the next action with the model, value it with the target network.
        target_update_period: updates from one change of the target network to the next.
        target_update_rate: how far the target network then moves to the model: 1, a copy; less, Polyak averaging.
    """

    metric_names: ClassVar[tuple[str, ...]] = (*Trainer.metric_names, "q_mean")

    learning_starts: int = attrs.field(default=1_000, validator=attrs.validators.ge(0))
    update_period: int = positive(4)
    discount: float = fraction(0.99)
    huber_delta: float | None = optional_positive(1.0)
    double: bool = True
    target_update_period: int = positive(500)
    target_update_rate: float = attrs.field(default=1.0, validator=[attrs.validators.gt(0), attrs.validators.le(1)])

    def num_outputs(self, spec: EnvironmentSpec) -> int:
        if not isinstance(spec.action, Discrete):
            raise errors.UsageError(
                f"DQN needs discrete actions; environment {spec.name!r} takes a {spec.action}. "
                "Choose another trainer or an environment with discrete actions."
            )
        return spec.action.num_values

    def build(self, model: keras.Model, spec: EnvironmentSpec) -> None:
        super().build(model, spec)
        self._updates = tf.Variable(0, dtype=tf.int64, name="target_updates")
        self._target = tf.Variable(flatten(self._weights()), trainable=False, name="target")

    def target_values(self, observation: Any) -> Any:
        """Returns the target network's action values `[N, A]`."""
        variables = self.model.trainable_variables
        with keras.StatelessScope(list(zip(variables, unflatten(self._target, variables), strict=True))):
            return self.model(observation, training=False)

    def loss(self, output: Any, batch: Transition, seed: Any) -> tuple[Any, dict[str, Any]]:
        next_values = self.target_values(batch.next_observation)
        chooser = self.model(batch.next_observation, training=False) if self.double else next_values
        targets = td_targets(batch.reward, self.discount * batch.discount, next_values, tf.argmax(chooser, axis=-1))
        values = tf.gather(output, batch.action, batch_dims=1)
        error = tf.stop_gradient(targets) - values
        loss = 0.5 * tf.square(error) if self.huber_delta is None else huber(error, self.huber_delta)
        return loss, {"q_mean": tf.reduce_mean(values)}

    def learn_from(self, tape: tf.GradientTape, output: Any, batch: Transition, seed: Any) -> dict[str, Any]:
        metrics = super().learn_from(tape, output, batch, seed)
        self._updates.assign_add(1)
        due = tf.equal(self._updates.read_value() % self.target_update_period, 0)
        moved = self._target + self.target_update_rate * (flatten(self._weights()) - self._target)
        if self.target_update_rate == 1.0:
            moved = flatten(self._weights())
        self._target.assign(tf.where(due, moved, self._target))
        return metrics

    def variables(self) -> dict[str, Any]:
        return {**super().variables(), "target": self._target, "target_updates": self._updates}

    def _weights(self) -> list[Any]:
        return [variable.value for variable in self.model.trainable_variables]
