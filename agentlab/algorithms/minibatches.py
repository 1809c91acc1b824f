"""Epochs of shuffled minibatches over one set of rows, as policy gradients learn from a rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from agentlab import errors, seeds
from agentlab.tensors.execution import repeat
from agentlab.tensors.shuffle import shuffled
from agentlab.types import Metrics, Nest, Seed, Tensor


def merge_time(values: Nest) -> Nest:
    """Returns sequences `[N, T, ...]` as rows `[N * T, ...]`."""
    return tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [-1, *leaf.shape[2:]]), values)


def sequences_of(values: Nest, length: int) -> Nest:
    """Returns sequences `[N, T, ...]` cut into ones of `length`, `[N * T / length, length, ...]`, in order."""
    return tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [-1, length, *leaf.shape[2:]]), values)


def begins(ended: Tensor) -> Tensor:
    """Returns where episodes begin within sequences, `[N, T]` bool: after each step that `ended` one, `[N, T]` bool.

    The first step is none: the state that is stored with it is reset already.
    """
    return tf.concat([tf.zeros_like(ended[:, :1]), ended[:, :-1]], axis=1)


def check_division(rows: int, num_minibatches: int, remedy: str) -> None:
    """Checks that all minibatches can have the same size.

    Args:
        rows: of an epoch.
        num_minibatches: of an epoch.
        remedy: what to change, the end of a sentence.

    Raises:
        UsageError: they can't.
    """
    if rows % num_minibatches:
        raise errors.UsageError(
            f"{rows} rows can't be divided into {num_minibatches} minibatches of the same size; expected a number that divides "
            f"{rows}. {remedy}"
        )


def epochs_over(
    data: Nest,
    num_epochs: int,
    num_minibatches: int,
    seed: Seed,
    update: Callable[[Nest, Seed], Metrics],
    metric_names: Sequence[str],
    stop: Callable[[Metrics], Tensor] | None = None,
) -> Metrics:
    """Calls `update(minibatch, seed)` for every minibatch of every epoch, and returns the means of its metrics; traceable.

    Each epoch shuffles the rows again and divides them into minibatches. It is a loop of the graph that contains `update` once:
    the number of epochs and minibatches does not change what there is to compile.

    Args:
        data: leaves `[R, ...]`.
        num_epochs: how often to go over the data.
        num_minibatches: of each epoch; R is a multiple of it.
        seed: `[2]` int64.
        update: makes an update and returns scalar metrics, float32.
        metric_names: of the metrics that `update` returns.
        stop: returns, from the metrics of a minibatch, whether it is the last one (a bool scalar); None to see all of them.

    Raises:
        UsageError: R is no multiple of the number of minibatches, or the metrics have other names.
    """
    rows = tf.nest.flatten(data)[0].shape[0]
    remedy = "Set trainer.num_minibatches so, or change num_environments or the length of the rollout."
    check_division(rows, num_minibatches, remedy)
    size = rows // num_minibatches

    orders = _orders(num_epochs, rows, seeds.child(seed, "epochs"))  # of which a minibatch is a slice [size]

    def minibatch(index: Tensor) -> Nest:
        places = tf.slice(orders, [index * size], [size])
        return tf.nest.map_structure(lambda leaf: tf.gather(leaf, places), data)

    def body(carry: tuple[Tensor, Metrics, Tensor]) -> tuple[Tensor, Metrics, Tensor]:
        index, sums, _ = carry
        metrics = update(minibatch(index), seeds.branch(seeds.child(seed, "minibatches"), index))
        _check_names(metrics, metric_names)
        is_last = tf.constant(False) if stop is None else stop(metrics)
        return index + 1, {name: sums[name] + metrics[name] for name in sums}, is_last

    # The sums have to be known before the loop, and so the names of the metrics.
    carry = (tf.constant(0, tf.int64), {name: tf.constant(0.0) for name in metric_names}, tf.constant(False))
    total = tf.constant(num_epochs * num_minibatches, tf.int64)
    count, sums, _ = repeat(body, carry, total, stop=lambda carry: carry[2])
    return {name: value / tf.cast(count, tf.float32) for name, value in sums.items()}


def _orders(num_epochs: int, rows: int, seed: Seed) -> Tensor:
    """Returns the rows `[E * R]` int64 of all epochs in the order in which they are seen, each epoch in another."""
    # XLA takes 1,020 us to sort random numbers for four epochs of 1,024 rows, and 385 us for this.
    places = tf.range(num_epochs * rows, dtype=tf.int64)
    key = seeds.integers(seed, [], 2**62)
    return shuffled(places % rows, rows, key, epoch=places // rows)


def _check_names(metrics: Metrics, names: Sequence[str]) -> None:
    if set(metrics) != set(names):
        raise errors.UsageError(
            f"The update of a minibatch returns the metrics {sorted(metrics)}; expected {sorted(names)}, as its 'metric_names' "
            "says. Make them the same."
        )
