"""Soft values: what a policy is worth with its entropy; estimated from one action, or summed up over all choices."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.bounds import bounds_of
from agentlab.algorithms.critics import total
from agentlab.distribution import Categorical, Distribution, SquashedNormal
from agentlab.spec import EnvironmentSpec, choices_of, describe, num_values_of
from agentlab.spec.environment_spec import MASK
from agentlab.tensors.selection import selected
from agentlab.trainer import Network
from agentlab.types import Nest, Seed, Tensor

Values = Callable[[Nest], Tensor]

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

    @abc.abstractmethod
    def log_sum(self, values: Values, policies: Sequence[Tensor], num_draws: int, seed: Seed) -> Tensor:
        """Returns the logarithm of the sum of `exp(Q)` over all actions, `[C, N]` float32; of numbers, of the integral.

        The integral is estimated by importance sampling: of actions drawn uniformly, and by policies (Kumar et al. 2020,
        arXiv:2006.04779, appendix F).

        Args:
            values: returns the outputs `[C, M, N, ..., K]` of critics for M actions each, `[M, N, *A]` as `draw` returns them.
            policies: outputs `[N, ..., K]` of policies, in whose direction actions are drawn too.
            num_draws: of each kind.
            seed: `[2]` int64.
        """


class Sampled(SoftValues):
    """For actions that are numbers within bounds: by one action of a squashed normal distribution.

    Args:
        spec: of the environment.
        algorithm: for messages.
    """

    def __init__(self, spec: EnvironmentSpec, algorithm: str) -> None:
        self._bounds = bounds_of(spec, algorithm)
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

    def log_sum(self, values: Values, policies: Sequence[Tensor], num_draws: int, seed: Seed) -> Tensor:
        # Uniform actions [M, N, *A] of density 1 / 2 in each element, from -1 to 1.
        shape, rows = self._unit.shape, policies[0].shape[0]
        drawn = [2.0 * seeds.uniform(seeds.child(seed, "uniform"), [num_draws, rows, *shape]) - 1.0]
        densities = [tf.fill([num_draws, rows], -math.log(2.0) * math.prod(shape))]

        # Those of the policies, and their log-densities [M, N].
        for index, output in enumerate(policies):
            many = tf.repeat(tf.stop_gradient(output), num_draws, axis=0)  # [N * M, ..., K]
            actions, density = self._unit.of(many).sample_with_log_probability(seeds.child(seed, f"policy {index}"))
            drawn.append(tf.reshape(actions, [rows, num_draws, *shape]))
            densities.append(tf.transpose(tf.reshape(density, [rows, num_draws])))
            drawn[-1] = tf.transpose(drawn[-1], [1, 0, *range(2, 2 + len(shape))])
        outputs = values(tf.concat(drawn, axis=0))
        worth = tf.reduce_sum(outputs, axis=list(range(3, outputs.shape.rank)))  # [C, M, N]
        weighed = worth - tf.concat(densities, axis=0)
        return tf.reduce_logsumexp(weighed, axis=1) - math.log(weighed.shape[1])


class Summed(SoftValues):
    """For one choice: by the probabilities of all values, of which every critic has an output (Christodoulou 2019).

    Args:
        spec: of the environment.
        num_values: that an action chooses from.
        algorithm: for messages.
    """

    def __init__(self, spec: EnvironmentSpec, num_values: int, algorithm: str) -> None:
        if choices_of(spec.action):
            raise errors.UsageError(
                f"{algorithm} needs one choice, or numbers within bounds; environment {spec.name!r} takes a "
                f"{describe(spec.action)}. Choose another trainer, or another environment."
            )
        self.distribution = self._choices = Categorical(num_values=num_values)
        self._has_mask = spec.has_mask
        self.critic = Network(num_values)
        self.target_entropy = SHARE_OF_LARGEST * math.log(num_values)

    def scaled(self, action: Nest) -> Nest:
        return ()

    def taken(self, outputs: Tensor, action: Nest) -> Tensor:
        chosen = tf.broadcast_to(tf.cast(action, tf.int64), outputs.shape[:2])  # [C, N]
        return selected(outputs, chosen)

    def draw(self, output: Tensor, observation: Nest, seed: Seed) -> tuple[Nest, Tensor]:
        policy = self._choices.of(output)
        allowed = policy.masked(observation[MASK]) if self._has_mask else policy
        return (), tf.nn.log_softmax(allowed.logits)  # [N, A]

    def value(self, log_probability: Tensor, outputs: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        probability = tf.exp(log_probability)  # [N, A]
        values = tf.reduce_min(outputs, axis=0)
        entropy = -tf.reduce_sum(probability * log_probability, axis=-1)
        return tf.reduce_sum(probability * values, axis=-1) + temperature * entropy, entropy

    def log_sum(self, values: Values, policies: Sequence[Tensor], num_draws: int, seed: Seed) -> Tensor:
        return tf.reduce_logsumexp(values(())[:, 0], axis=-1)


def soft_values_of(spec: EnvironmentSpec, algorithm: str) -> SoftValues:
    """Returns how values of policies are computed in an environment; the name of the algorithm is for messages.

    Raises:
        UsageError: its actions are neither one choice nor numbers within bounds.
    """
    num_values = num_values_of(spec.action)
    return Sampled(spec, algorithm) if num_values is None else Summed(spec, num_values, algorithm)
