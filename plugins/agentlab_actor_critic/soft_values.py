"""Soft values: what a policy is worth with its entropy; estimated from one action, or summed up over all choices."""

from __future__ import annotations

import abc
import math

import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.distribution import Categorical, Distribution, SquashedNormal
from agentlab.spec import EnvironmentSpec, choices_of, describe, num_values_of
from agentlab.spec.environment_spec import MASK
from agentlab.trainer import Network
from agentlab.types import Nest, Seed, Tensor
from agentlab_actor_critic.bounds import bounds_of
from agentlab_actor_critic.critics import total

SHARE_OF_LARGEST = 0.98  # of the entropy of uniform choices: the target of Christodoulou (2019), arXiv:1910.07207


class SoftValues(abc.ABC):
    """How the value of a policy is computed for one kind of actions (Haarnoja et al. 2018, arXiv:1812.05905, equation 3).

    Attributes:
        distribution: what the policy's outputs stand for.
        critic: what one critic sees, and how many outputs it has.
        target_entropy: of the policy by default, in nats; where actions are numbers, of actions scaled to -1 to 1.
    """

    distribution: Distribution
    critic: Network
    target_entropy: float

    @abc.abstractmethod
    def scaled(self, action: Nest) -> Nest:
        """Returns what critics see of the environment's actions `[N, *A]`."""

    @abc.abstractmethod
    def taken(self, outputs: Tensor, action: Nest) -> Tensor:
        """Returns the values `[C, N]` of actions `[N, *A]` by the outputs `[C, N, ..., K]` of critics that saw them."""

    @abc.abstractmethod
    def draw(self, output: Tensor, observation: Nest, seed: Seed) -> tuple[Nest, Tensor]:
        """Returns what the critics are to value of a policy, and the logarithms of its probabilities that go with it.

        Args:
            output: `[N, ..., K]`, of the policy.
            observation: `[N, *O]`, which it is for.
            seed: `[2]` int64.
        """

    @abc.abstractmethod
    def value(self, log_probability: Tensor, outputs: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the value of a policy, `E[min Q(a) - temperature * log p(a)]`, and its entropy; both `[N]` float32.

        Args:
            log_probability: as `draw` returned it.
            outputs: `[C, N, ..., K]`, of critics that saw what `draw` returned.
            temperature: what a nat is worth, scalar.
        """


class Sampled(SoftValues):
    """For actions that are numbers within bounds: by one action of a squashed normal distribution.

    Args:
        spec: of the environment.
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._bounds = bounds_of(spec, "SAC")
        shape = self._bounds.low.shape
        self.distribution = SquashedNormal(shape=shape, low=self._bounds.low, high=self._bounds.high)

        # Entropies are of actions scaled to -1 to 1, so that units don't change the temperature.
        ones = np.ones(shape, np.float32)
        self._unit = SquashedNormal(shape=shape, low=-ones, high=ones)
        self.critic = Network(1, inputs=("observation", "action"))
        self.target_entropy = -float(math.prod(shape))

    def scaled(self, action: Nest) -> Nest:
        return self._bounds.to_unit(action)

    def taken(self, outputs: Tensor, action: Nest) -> Tensor:
        return total(outputs)

    def draw(self, output: Tensor, observation: Nest, seed: Seed) -> tuple[Nest, Tensor]:
        return self._unit.of(output).sample_with_log_probability(seed)

    def value(self, log_probability: Tensor, outputs: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        values = tf.reduce_min(total(outputs), axis=0)
        return values - temperature * log_probability, -log_probability


class Summed(SoftValues):
    """For one choice: by the probabilities of all values, of which every critic has an output (Christodoulou 2019).

    Args:
        spec: of the environment.
        num_values: that an action chooses from.
    """

    def __init__(self, spec: EnvironmentSpec, num_values: int) -> None:
        if choices_of(spec.action):
            raise errors.UsageError(
                f"SAC needs one choice, or numbers within bounds; environment {spec.name!r} takes a {describe(spec.action)}. "
                "Choose another trainer, or another environment."
            )
        self.distribution = self._choices = Categorical(num_values=num_values)
        self._has_mask = spec.has_mask
        self.critic = Network(num_values)
        self.target_entropy = SHARE_OF_LARGEST * math.log(num_values)

    def scaled(self, action: Nest) -> Nest:
        return ()

    def taken(self, outputs: Tensor, action: Nest) -> Tensor:
        chosen = tf.broadcast_to(tf.cast(action, tf.int64), outputs.shape[:2])  # [C, N]
        return tf.gather(outputs, chosen, batch_dims=2)

    def draw(self, output: Tensor, observation: Nest, seed: Seed) -> tuple[Nest, Tensor]:
        policy = self._choices.of(output)
        allowed = policy.masked(observation[MASK]) if self._has_mask else policy
        return (), tf.nn.log_softmax(allowed.logits)  # [N, A]

    def value(self, log_probability: Tensor, outputs: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        probability = tf.exp(log_probability)  # [N, A]
        values = tf.reduce_min(outputs, axis=0)
        entropy = -tf.reduce_sum(probability * log_probability, axis=-1)
        return tf.reduce_sum(probability * values, axis=-1) + temperature * entropy, entropy


def soft_values_of(spec: EnvironmentSpec) -> SoftValues:
    """Returns how values of policies are computed in an environment.

    Raises:
        UsageError: its actions are neither one choice nor numbers within bounds.
    """
    num_values = num_values_of(spec.action)
    return Sampled(spec) if num_values is None else Summed(spec, num_values)
