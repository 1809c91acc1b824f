"""Epochs of shuffled minibatches over one set of rows, as policy gradients learn from a rollout."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from agentlab import errors, seeds
from agentlab.tensors.execution import repeat
from agentlab.types import Metrics, Nest, Seed, Tensor


def merge_time(values: Nest) -> Nest:
    """Returns sequences `[N, T, ...]` as rows `[N * T, ...]`."""
    return tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [-1, *leaf.shape[2:]]), values)


def epochs_over(
    data: Nest, num_epochs: int, num_minibatches: int, seed: Seed, update: Callable[[Nest, Seed], Metrics]
) -> Metrics:
    """Calls `update(minibatch, seed)` for every minibatch of every epoch, and returns the means of its metrics; traceable.

    Each epoch shuffles the rows again and divides them into minibatches. It is a loop of the graph: the number of epochs and
    minibatches does not change what there is to compile.

    Args:
        data: leaves `[R, ...]`.
        num_epochs: how often to go over the data.
        num_minibatches: of each epoch; R is a multiple of it.
        seed: `[2]` int64.
        update: makes an update and returns scalar metrics, of the same names at every call.

    Raises:
        UsageError: R is no multiple of the number of minibatches.
    """
    rows = tf.nest.flatten(data)[0].shape[0]
    if rows % num_minibatches:
        raise errors.UsageError(
            f"{rows} rows can't be divided into {num_minibatches} minibatches of the same size; expected a number that divides "
            f"{rows}. Set trainer.num_minibatches so, or change num_environments or the length of the rollout."
        )
    size = rows // num_minibatches
    total = num_epochs * num_minibatches

    def minibatch(index: Tensor) -> Nest:
        # [R] an order of its own for each epoch, of which the minibatch is a slice [size].
        epoch = tf.cast(index // num_minibatches, tf.int64)
        order = tf.argsort(seeds.uniform(seeds.branch(seeds.child(seed, "epochs"), epoch), [rows]), stable=True)
        places = tf.slice(order, [(index % num_minibatches) * size], [size])
        return tf.nest.map_structure(lambda leaf: tf.gather(leaf, places), data)

    def body(carry: tuple[Tensor, Metrics]) -> tuple[Tensor, Metrics]:
        index, sums = carry
        metrics = update(minibatch(index), seeds.branch(seeds.child(seed, "minibatches"), index))
        return index + 1, {name: sums[name] + metrics[name] for name in sums}

    first = update(minibatch(tf.constant(0)), seeds.branch(seeds.child(seed, "minibatches"), 0))
    _, sums = repeat(body, (tf.constant(1), first), tf.constant(total - 1, tf.int64))
    return {name: value / total for name, value in sums.items()}
