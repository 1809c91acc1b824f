"""Advantage actor-critic."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import keras
import tensorflow as tf

from agentlab import errors
from agentlab.spec import Discrete, EnvironmentSpec
from agentlab.tensors.parameters import Updater
from agentlab.trainer import Trainer, fraction, positive
from agentlab.types import Horizon, Transition


def policy_loss(output: Any, action: Any, advantage: Any) -> tuple[Any, Any]:
    """Returns `-log pi(action) * advantage` and the policy's entropy, `[N]` each, for logits `[N, A]`."""
    log_policy = tf.nn.log_softmax(output)
    entropy = -tf.reduce_sum(tf.exp(log_policy) * log_policy, axis=-1)
    return -tf.gather(log_policy, action, batch_dims=1) * tf.stop_gradient(advantage), entropy


@attrs.define(slots=False, eq=False)
class ActorCritic(Trainer):
    """Advantage actor-critic (Sutton and Barto 2018, section 13.5; Mnih et al. 2016, arXiv:1602.01783).

    The model's outputs are the logits of a policy, to be drawn from by the sampler "temperature". The critic, a network of the
    trainer's own, learns the value of an observation; the advantage is `reward + discount * value(next) - value`. With memory
    "latest" that is one step at a time; with "rollout", the reward is the sum of several.

    Attributes:
        discount: discount factor of the return, 0 to 1.
        entropy_weight: what an even policy is worth, in units of the return; 0 or greater.
        critic_units: units of the critic's two hidden layers.
        critic_learning_rate: of the critic's Adam.
    """

    metric_names: ClassVar[tuple[str, ...]] = (*Trainer.metric_names, "entropy", "critic_loss")
    on_policy: ClassVar[bool] = True

    discount: float = fraction(0.99)
    entropy_weight: float = attrs.field(default=0.01, validator=attrs.validators.ge(0))
    critic_units: int = positive(64)
    critic_learning_rate: float = positive(3e-3)

    def num_outputs(self, spec: EnvironmentSpec) -> int:
        if not isinstance(spec.action, Discrete) or spec.action.shape:
            raise errors.UsageError(
                f"A policy gradient here needs one choice per step; environment {spec.name!r} takes a {spec.action}. "
                "Choose another trainer or an environment with such actions."
            )
        return spec.action.num_values

    def horizon(self) -> Horizon:
        return Horizon(1, self.discount)  # by which a rollout sums rewards up

    def build(self, model: keras.Model, spec: EnvironmentSpec) -> None:
        super().build(model, spec)
        shown = keras.Input(spec.observation.shape, dtype=spec.observation.dtype)
        hidden = keras.layers.Flatten()(shown)
        for _ in range(2):  # their weights are drawn from the run's seed, as the model's are
            hidden = keras.layers.Dense(self.critic_units, activation="tanh")(hidden)
        self.critic = keras.Model(shown, keras.layers.Dense(1, kernel_initializer="zeros")(hidden))
        self._critic_updater = Updater(keras.optimizers.Adam(self.critic_learning_rate), self.critic.trainable_variables)

    def values(self, observation: Any) -> Any:
        """Returns the critic's values `[N]` of observations `[N, *O]`."""
        return self.critic(observation)[:, 0]

    def targets(self, batch: Transition) -> Any:
        """Returns what the values `[N]` should have been; nothing lies beyond a terminated episode."""
        return batch.reward + self.discount * batch.discount * tf.stop_gradient(self.values(batch.next_observation))

    def loss(self, output: Any, batch: Transition, seed: Any) -> tuple[Any, dict[str, Any]]:
        advantage = self.targets(batch) - self.values(batch.observation)
        loss, entropy = policy_loss(output, batch.action, advantage)
        return loss - self.entropy_weight * entropy, {"entropy": tf.reduce_mean(entropy)}

    def learn_from(self, tape: tf.GradientTape, output: Any, batch: Transition, seed: Any) -> dict[str, Any]:
        metrics = super().learn_from(tape, output, batch, seed)
        targets = self.targets(batch)
        with tf.GradientTape() as critic_tape:
            critic_loss = tf.reduce_mean(tf.square(targets - self.values(batch.observation)))
        variables = [variable.value for variable in self.critic.trainable_variables]
        self._critic_updater.apply(critic_tape.gradient(critic_loss, variables))
        return {**metrics, "critic_loss": critic_loss}

    def variables(self) -> dict[str, Any]:
        critic = {f"critic/{index:03d}": variable.value for index, variable in enumerate(self.critic.variables)}
        optimizer = {f"critic_optimizer/{name}": variable for name, variable in self._critic_updater.variables().items()}
        return {**super().variables(), **critic, **optimizer}
