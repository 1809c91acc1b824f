"""Recurrent replay: DQN of a model that carries a state, from sequences."""

from __future__ import annotations

import attrs
import keras
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.minibatches import begins, merge_time
from agentlab.fields import fraction, positive
from agentlab.memory import Request
from agentlab.model import as_network
from agentlab.spec import EnvironmentSpec
from agentlab.tensors import noise
from agentlab.tensors.added_losses import sum_of_losses
from agentlab.trainer import Loss, Recording
from agentlab.types import Batch, Nest, Seed, Tensor
from agentlab_dqn.returns import Rescaled, sums_ahead
from agentlab_dqn.trainer import DQN


@attrs.define(slots=False, eq=False)
class R2D2(DQN):
    """DQN from sequences of a model that carries a state: R2D2 (Kapturowski et al. 2019, openreview.net/forum?id=r1lyTjAqYX).

    A sequence begins with the state that the model had there when it acted. The first `burn_in` steps warm it up: both networks
    see them, and nothing is learned from them. Where an episode begins within a sequence, the state is reset. Returns are of
    `num_steps` steps, fewer at the end of a sequence.

    Attributes:
        sequence_length: steps of a sequence that are learned from.
        burn_in: steps before them.
        priority_mix: eta, 0 to 1: the priority of a sequence is eta times its largest error plus 1 - eta times their mean.
        rescaled: learn h(Q) with h(x) = sign(x) (sqrt(|x| + 1) - 1) + 0.001 x, which makes large returns small (Pohlen et al.
            2018, arXiv:1805.11593); not with `num_atoms`.
    """

    sequence_length: int = positive(20)
    burn_in: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    priority_mix: float = fraction(0.9)
    rescaled: bool = False

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.rescaled and self.num_atoms is not None:
            raise ValueError("'rescaled' is for expected values, and 'num_atoms' for distributions of them: leave one out")
        if self.rescaled:
            self._returns = Rescaled(self.huber_delta)

    def request(self, spec: EnvironmentSpec) -> Request:
        length = self.burn_in + self.sequence_length
        return Request(1, self.discount, length, self.burn_in, keep=("state",), priority=True)

    def check_model(self, model: keras.Model) -> None:
        if self.burn_in and not tf.nest.flatten(as_network(model).initial_state(1)):
            raise errors.UsageError(
                f"trainer.burn_in={self.burn_in} is for models that carry a state from step to step; model {model.name!r} "
                "doesn't. Leave it out, or choose model 'lstm' or 'gru'."
            )

    def forward(self, batch: Batch, seed: Seed) -> Recording:
        # [N, T, *O] observations, and [N, T] where episodes begin.
        sequences, state = (self.spec.see(batch.observation), begins(batch.ended)), _first(batch.state)
        network, outputs = self.acting.network, []

        # The burn-in is outside the tape: no gradient goes back into it.
        if self.burn_in:
            seen, begun = tf.nest.map_structure(lambda leaf: leaf[:, : self.burn_in], sequences)
            warm, state = network.unroll(seen, state, begun)
            outputs.append(warm)
        seen, begun = tf.nest.map_structure(lambda leaf: leaf[:, self.burn_in :], sequences)
        with tf.GradientTape() as tape, noise.drawn_from(seed):
            output, _ = network.unroll(seen, state, begun, training=True)
            return Recording(tape, tf.concat([*outputs, output], axis=1), sum_of_losses(self.model))

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        # [N, T] sums of rewards up to n steps ahead, and the place in the sequence of the last of those steps.
        reward, discount, last = sums_ahead(batch.reward, batch.discount, batch.ended, self.discount, self.num_steps)
        beyond = (batch.next_observation, *self._next_outputs(batch, seed))
        beyond = tf.nest.map_structure(lambda leaf: tf.gather(leaf, last, batch_dims=1), beyond)

        # [N * T] transitions as of DQN, then [N, T] errors.
        observation, action = batch.observation, batch.action
        leaves = merge_time((output, observation, action, reward, discount, *beyond))
        output, observation, action, reward, discount, next_observation, next_output, chooser = leaves
        rows = attrs.evolve(
            batch, observation=observation, action=action, reward=reward, discount=discount, next_observation=next_observation
        )
        loss = self.compare(output, rows, next_output, chooser)
        value, error = (tf.reshape(leaf, batch.reward.shape) for leaf in (loss.value, loss.priority))
        return Loss(value, {**loss.metrics, "error": error}, priority=self.priority(error, batch.weight))

    def _next_outputs(self, batch: Batch, seed: Seed) -> tuple[Tensor, Tensor]:
        """Returns the outputs `[N, T, K]` for what steps led to: the target network's, and those that choose an action."""
        see, begun, state = self.spec.see, begins(batch.ended), _first(batch.state)
        sequences = (see(batch.observation), see(batch.next_observation), state, begun)
        with noise.drawn_from(seeds.child(seed, "target")):
            _, next_output = self.target.unroll_onward(*sequences)
        if not self.double:
            return next_output, next_output
        with noise.drawn_from(seeds.child(seed, "chooser")):
            return next_output, self.acting.network.unroll_onward(*sequences)[1]

    def priority(self, error: Tensor, weight: Tensor) -> Tensor:
        """Returns the priorities `[N]` of sequences of absolute errors `[N, T]`; steps of weight 0 don't count."""
        counts = tf.cast(weight > 0.0, tf.float32)
        mean = tf.reduce_sum(counts * error, axis=1) / tf.maximum(tf.reduce_sum(counts, axis=1), 1.0)
        return self.priority_mix * tf.reduce_max(counts * error, axis=1) + (1.0 - self.priority_mix) * mean


def _first(state: Nest) -> Nest:
    """Returns the states `[N, ...]` before the first steps of sequences, of those before every step `[N, T, ...]`."""
    return tf.nest.map_structure(lambda leaf: leaf[:, 0], state)
