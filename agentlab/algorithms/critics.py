"""Critics: networks that value actions, and what they bootstrap from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import tensorflow as tf

from agentlab import seeds
from agentlab.algorithms.minibatches import merge_time
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.model import as_network
from agentlab.tensors import noise
from agentlab.trainer import TrainedNetwork
from agentlab.types import Nest, Tensor

Inputs = Callable[[Nest, Nest], Nest]
AnyNetwork = TypeVar("AnyNetwork")


class Critics:
    """Critics under training, with target networks or without.

    Each draws its own noise, such as dropout, and so does each target network.

    Args:
        trained: the networks.
        inputs: from observations `[N, *O]` and actions `[N, *A]` to what the networks see.
        target_update_rate: how far the target networks move to the critics after each update, 0 to 1; None for no target
            networks: the critics bootstrap from themselves (CrossQ; Bhatt et al. 2024, arXiv:1902.05605).
    """

    def __init__(self, trained: TrainedNetwork, inputs: Inputs, target_update_rate: float | None) -> None:
        self._trained = trained
        self._networks = [as_network(model) for model in trained.models]
        self._inputs = inputs
        self._targets: list[TargetNetwork] = []
        if target_update_rate is not None:
            self._targets = [TargetNetwork(model, 1, target_update_rate) for model in trained.models]

    def values(self, observation: Nest, action: Nest, training: bool = False, count: int | None = None) -> Tensor:
        """Returns what critics answer, `[C, N, ..., K]`, for observations `[N, *O]` and actions `[N, *A]`.

        Args:
            observation: `[N, *O]`.
            action: `[N, *A]`, as critics see it.
            training: whether layers such as batch normalization behave as in training.
            count: C, of the first critics only; None for all.
        """
        seen = self._inputs(observation, action)
        return _stacked("critic", self._networks[:count], lambda network: network(seen, training=training)[0])

    def target_values(self, observation: Nest, action: Nest) -> Tensor:
        """Returns what the target networks answer, `[C, N, ..., K]`, from which nothing is learned."""
        seen = self._inputs(observation, action)
        return tf.stop_gradient(_stacked("target", self._targets, lambda target: target.output(seen)))

    def values_and_next(
        self, observation: Nest, action: Nest, next_observation: Nest, next_action: Nest
    ) -> tuple[Tensor, Tensor]:
        """Returns what the critics answer in training, and what to bootstrap from for what followed; both `[C, N, ..., K]`.

        Without target networks both go through the critics together, so that batch normalization takes its statistics from
        both; the critics don't learn from the second.
        """
        if self._targets:
            next_values = self.target_values(next_observation, next_action)
            return self.values(observation, action, training=True), next_values

        # [C, 2 N, ..., K], first the rows of the batch, then what followed them.
        observations, actions = tf.nest.map_structure(
            lambda now, later: tf.concat([now, later], axis=0), (observation, action), (next_observation, next_action)
        )
        values, next_values = tf.split(self.values(observations, actions, training=True), 2, axis=1)
        return values, tf.stop_gradient(next_values)

    def values_of_many(self, observation: Nest, actions: Nest) -> Tensor:
        """Returns what the critics answer in training, `[C, M, N, ..., K]`, for M actions `[M, N, *A]` of each observation.

        Without actions, `()`, M is 1.
        """
        # [M * N, ...] observations and actions as rows, and what the critics answer as it was asked.
        leaves = tf.nest.flatten(actions)
        many = leaves[0].shape[0] if leaves else 1
        seen = tf.nest.map_structure(lambda leaf: tf.tile(leaf, [many, *[1] * (leaf.shape.rank - 1)]), observation)
        outputs = self.values(seen, merge_time(actions), training=True)
        return tf.reshape(outputs, [outputs.shape[0], many, -1, *outputs.shape[2:]])

    def follow(self) -> None:
        """Moves the target networks, after an update of the critics; traceable."""
        for target in self._targets:
            target.follow()


def total(outputs: Tensor) -> Tensor:
    """Returns the values `[C, N]` of critics with one output `[C, N, ..., 1]` for each row of an action's elements."""
    return tf.reduce_sum(outputs, axis=list(range(2, outputs.shape.rank)))


def _stacked(name: str, networks: Sequence[AnyNetwork], call: Callable[[AnyNetwork], Tensor]) -> Tensor:
    """Returns the results `[C, ...]` of calling networks, each with noise of its own if there is any."""
    seed = noise.present_seed()
    results = []
    for index, network in enumerate(networks):
        with noise.drawn_from(None if seed is None else seeds.child(seed, f"{name} {index}")):
            results.append(call(network))
    return tf.stack(results)
