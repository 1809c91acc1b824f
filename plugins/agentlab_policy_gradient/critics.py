"""Where values come from: a network of their own, or one more output of the network that acts."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.minibatches import merge_time
from agentlab.distribution import Distribution
from agentlab.model import as_network
from agentlab.schedules import Schedule
from agentlab.trainer import Loss, Network, Setup
from agentlab.types import Batch, Metrics, Seed, Tensor
from agentlab_policy_gradient.experience import Experience

if TYPE_CHECKING:
    from agentlab_policy_gradient.trainer import PolicyGradient

PolicyLoss = Callable[[Distribution, Experience], Loss]  # of rows [N]
ValueLoss = Callable[[Tensor, Experience], Tensor]  # from values [N] and rows to losses [N]


class Critic(abc.ABC):
    """Says which networks there are, what observations are worth, and improves policy and values."""

    @abc.abstractmethod
    def networks(self, policy: Network) -> dict[str, Network]:
        """Returns the networks to improve, the acting one first; `policy` has the outputs of the policy alone."""

    def check(self, setup: Setup) -> None:  # noqa: B027 - any model will do
        """Raises UsageError if the models can't be learned from."""

    @abc.abstractmethod
    def values(self, trainer: PolicyGradient, rollout: Batch) -> tuple[Tensor, Tensor]:
        """Returns the values of the observations of a rollout and of what the actions led to, `[B, T]` each; traceable."""

    @abc.abstractmethod
    def improve(
        self, trainer: PolicyGradient, experience: Experience, policy_loss: PolicyLoss, value_loss: ValueLoss, seed: Seed
    ) -> Metrics:
        """Makes one step along the gradients of both losses, and returns metrics; traceable."""


@attrs.frozen
class OwnNetwork(Critic):
    """Policy and values are two networks, each with an optimizer of its own.

    Attributes:
        learning_rate: of the values' optimizer; None for the trainer's.
    """

    learning_rate: float | Schedule | None

    def networks(self, policy: Network) -> dict[str, Network]:
        return {"policy": policy, "value": Network(1, learning_rate=self.learning_rate)}

    def check(self, setup: Setup) -> None:
        (model,) = setup.models["value"]
        if tf.nest.flatten(as_network(model).initial_state(1)):
            raise errors.UsageError(
                f"Model {model.name!r} carries a state from step to step, and a network of values can't. Set "
                "trainer.shared_torso=true, or choose another model for the values (models.value)."
            )

    def values(self, trainer: PolicyGradient, rollout: Batch) -> tuple[Tensor, Tensor]:
        def value(observation: Tensor) -> Tensor:
            outputs = trainer.trained["value"](trainer.spec.see(merge_time(observation)))
            return tf.reshape(last_output(outputs), rollout.reward.shape)

        return value(rollout.observation), value(rollout.next_observation)

    def improve(
        self, trainer: PolicyGradient, experience: Experience, policy_loss: PolicyLoss, value_loss: ValueLoss, seed: Seed
    ) -> Metrics:
        # Rows [M * L]; two networks, each with a loss and an optimizer of its own.
        rows = experience.rows()

        def of_policy() -> Loss:
            policy = trainer.policy_of(trainer.unroll(experience), rows.observation)
            return attrs.evolve(policy_loss(policy, rows), weight=rows.weight)

        def of_values() -> Loss:
            values = trainer.trained["value"](trainer.spec.see(rows.observation), training=True)
            return Loss(value_loss(last_output(values), rows), weight=rows.weight)

        # The norm over both networks, as if they were one.
        policy, _ = trainer.minimize("policy", of_policy, seed)
        value, _ = trainer.minimize("value", of_values, seeds.child(seed, "value"))
        norm = tf.sqrt(tf.square(policy["policy_gradient_norm"]) + tf.square(value["value_gradient_norm"]))
        return {**policy, **value, "gradient_norm": norm}


@attrs.frozen
class SharedTorso(Critic):
    """The network that acts has one more output, the value; both losses are minimised together.

    Attributes:
        weight: of the values' loss.
    """

    weight: float

    def networks(self, policy: Network) -> dict[str, Network]:
        return {"policy": attrs.evolve(policy, num_outputs=policy.num_outputs + 1)}

    def values(self, trainer: PolicyGradient, rollout: Batch) -> tuple[Tensor, Tensor]:
        see, network, shape = trainer.spec.see, trainer.acting.network, rollout.reward.shape

        # Next observations are valued with the state that the network had there.
        observation, next_observation, state = merge_time((rollout.observation, rollout.next_observation, rollout.state))
        _, after = network(see(observation), state)
        beyond, _ = network(see(next_observation), after)
        acted = merge_time(rollout.output)
        return tf.reshape(last_output(acted), shape), tf.reshape(last_output(beyond), shape)

    def improve(
        self, trainer: PolicyGradient, experience: Experience, policy_loss: PolicyLoss, value_loss: ValueLoss, seed: Seed
    ) -> Metrics:
        # Rows [M * L]; one network has both losses in one pass.
        rows = experience.rows()

        def of_both() -> Loss:
            outputs = trainer.unroll(experience)
            policy = policy_loss(trainer.policy_of(outputs, rows.observation), rows)
            value = value_loss(last_output(outputs), rows)
            metrics = {**policy.metrics, "value_loss": tf.reduce_mean(rows.weight * value)}
            return Loss(policy.value + self.weight * value, metrics, weight=rows.weight)

        metrics, _ = trainer.minimize("policy", of_both, seed)
        return {**metrics, "gradient_norm": metrics["policy_gradient_norm"]}


def last_output(outputs: Tensor) -> Tensor:
    """Returns the last of the outputs `[N, ..., K]`, `[N]`; where an action is several choices, its mean over them."""
    values = outputs[..., -1]
    return tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
