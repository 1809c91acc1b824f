"""Q-networks whose outputs represent the return of an action as a distribution over a support."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab.distribution import ActionValues
from agentlab.tensors.selection import selected
from agentlab.types import Tensor
from agentlab_dqn.returns import Returns


def projected(returns: Tensor, probabilities: Tensor, minimum: float, maximum: float) -> Tensor:
    """Returns probabilities `[N, Z]` of Z evenly spaced returns from `minimum` to `maximum` that stand for any others.

    What lies between two of them is shared out by nearness, and what lies outside counts for the nearest: the projection of
    Bellemare, Dabney and Munos (2017), arXiv:1707.06887, equation 7.

    Args:
        returns: `[N, Z]` float32.
        probabilities: `[N, Z]` float32, of those.
        minimum: the lowest of the spaced returns.
        maximum: the highest.
    """
    num_atoms = returns.shape[-1]
    place = (tf.clip_by_value(returns, minimum, maximum) - minimum) * ((num_atoms - 1) / (maximum - minimum))
    distance = tf.abs(place[:, None, :] - tf.range(num_atoms, dtype=tf.float32)[None, :, None])
    return tf.reduce_sum(tf.maximum(1.0 - distance, 0.0) * probabilities[:, None, :], axis=-1)


@attrs.frozen(eq=False, kw_only=True)
class ReturnDistributions(ActionValues):
    """Z outputs per action, the logits of Z evenly spaced returns; an action's value is the mean.

    Attributes:
        num_atoms: Z.
        minimum: the lowest return.
        maximum: the highest.
    """

    num_atoms: int
    minimum: float
    maximum: float

    @property
    def num_outputs(self) -> int:
        return self.num_values * self.num_atoms

    @property
    def preferences(self) -> Tensor:
        return tf.reduce_sum(tf.nn.softmax(self.by_action()) * self.support(), axis=-1)

    def by_action(self) -> Tensor:
        """Returns logits `[..., A, Z]`."""
        return tf.reshape(self.output, tf.concat([tf.shape(self.output)[:-1], [self.num_values, self.num_atoms]], axis=0))

    def support(self) -> Tensor:
        """Returns the returns `[Z]` that the outputs are about."""
        return tf.linspace(self.minimum, self.maximum, self.num_atoms)


@attrs.frozen
class Categorical(Returns):
    """The distribution of the return: C51 (Bellemare, Dabney and Munos 2017, arXiv:1707.06887).

    The loss is the cross-entropy. The error is the Kullback-Leibler divergence, by which Rainbow ranks transitions (Hessel et
    al. 2018, arXiv:1710.02298).

    Attributes:
        num_atoms: Z.
        minimum: the lowest return.
        maximum: the highest.
    """

    num_atoms: int
    minimum: float
    maximum: float

    def distribution(self, num_actions: int) -> ActionValues:
        return ReturnDistributions(num_values=num_actions, num_atoms=self.num_atoms, minimum=self.minimum, maximum=self.maximum)

    def compare(  # type: ignore[override]
        self,
        values: ReturnDistributions,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_values: ReturnDistributions,
        next_action: Tensor,
    ) -> tuple[Tensor, Tensor]:
        # [N, Z] probabilities of what follows the best next action, moved by the reward and projected.
        beyond = tf.nn.softmax(tf.gather(next_values.by_action(), next_action, batch_dims=1))
        returns = reward[:, None] + discount[:, None] * values.support()
        target = tf.stop_gradient(projected(returns, beyond, self.minimum, self.maximum))

        predicted = tf.nn.log_softmax(selected(values.by_action(), action))
        cross_entropy = -tf.reduce_sum(target * predicted, axis=-1)
        entropy = -tf.reduce_sum(tf.math.xlogy(target, target), axis=-1)
        return cross_entropy, tf.maximum(tf.stop_gradient(cross_entropy) - entropy, 0.0)
