"""What an update is made of and returns: a recorded pass, a loss, and metrics with priorities."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.types import Metrics, Nest, Tensor


@attrs.frozen(eq=False)
class Loss:
    """The loss of a batch.

    Attributes:
        value: `[N]` float32, the loss of each row; or a scalar, their mean, where all rows of the batch count alike.
        metrics: by name, each a scalar or `[N]`; reports show their means.
        priority: `[N]` float32, at least 0: the size of each row's error, for memories that draw rows by it; or `()`.
        weight: `[N]` float32, how much each row counts; `()` if all count alike. `Trainer.learn` uses the batch's weights.
    """

    value: Tensor
    metrics: Metrics = attrs.field(factory=dict)
    priority: Tensor = ()
    weight: Tensor = ()

    def weighted(self) -> Tensor:
        """Returns the loss of each row times its weight, float32.

        Raises:
            UsageError: rows have weights, but the loss is one number, which no row's weight can reach.
        """
        value = tf.cast(self.value, tf.float32)
        if isinstance(self.weight, tuple):
            return value
        if not value.shape.rank:
            raise errors.UsageError(
                "The loss is one number, the mean over a batch, but the rows of the batch have weights: some count more than "
                "others, or not at all. Return the loss of each row, [N]; a Keras loss does with reduction='none'."
            )
        return self.weight * value


@attrs.frozen(eq=False)
class Update:
    """The result of an update.

    Attributes:
        metrics: by name, one for each of `Trainer.metric_names`.
        place: that of the batch, if its rows have priorities.
        priority: `[N]` float32, see `Loss`; or `()`.
    """

    metrics: Metrics
    place: Nest = ()
    priority: Tensor = ()


@attrs.frozen(eq=False)
class Recording:
    """A recorded forward pass, for gradients of a loss.

    Attributes:
        tape: recorded the pass, and continues recording when it is entered.
        output: `[N, ..., K]`, of the acting network.
        added_losses: the sum of the losses that layers added in this pass, scalar.
    """

    tape: tf.GradientTape
    output: Tensor
    added_losses: Tensor
