"""Epochs of minibatches: every row once an epoch, in another order each time, and an early end."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.minibatches import epochs_over, sequences_of
from agentlab.tensors import execution as executions

SEED = seeds.at(3, 0)
ROWS, EPOCHS, MINIBATCHES = 12, 3, 4
NAMES = ("row", "minibatch")


def seen(compiled, stop=None):
    """Returns the rows of the minibatches in order, -1 where none was, the mean of their numbers, and the draws made."""
    log = tf.Variable(-tf.ones([EPOCHS * MINIBATCHES, ROWS // MINIBATCHES], tf.int64))
    draws = tf.Variable(tf.zeros([EPOCHS * MINIBATCHES]))
    count = tf.Variable(0)

    def update(minibatch, seed):
        place = count.read_value()
        log.scatter_nd_update([[place]], minibatch["row"][None])
        draws.scatter_nd_update([[place]], seeds.uniform(seed, [1]))
        count.assign_add(1)
        return {"row": tf.reduce_mean(tf.cast(minibatch["row"], tf.float32)), "minibatch": tf.cast(place, tf.float32)}

    def run():
        return epochs_over({"row": tf.range(ROWS, dtype=tf.int64)}, EPOCHS, MINIBATCHES, SEED, update, NAMES, stop)

    metrics = compiled(run)()
    return log.numpy(), {name: float(value) for name, value in metrics.items()}, draws.numpy()


def test_every_row_is_in_one_minibatch_of_each_epoch(compiled):
    rows, metrics, draws = seen(compiled)
    epochs = rows.reshape(EPOCHS, ROWS)
    assert [sorted(epoch) for epoch in epochs.tolist()] == [list(range(ROWS))] * EPOCHS
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == EPOCHS
    assert metrics == {"row": 5.5, "minibatch": 5.5}
    assert len(set(draws.tolist())) == EPOCHS * MINIBATCHES


@pytest.mark.parametrize("last", [0, 6])
@pytest.mark.quick("eager-*", "graph-*")
def test_an_early_end(compiled, last):
    """No minibatch after the one that says so, and the metrics are the means of those that there were."""
    whole, _, _ = seen(compiled)
    rows, metrics, _ = seen(compiled, lambda metrics: metrics["minibatch"] >= last)
    np.testing.assert_array_equal(rows[: last + 1], whole[: last + 1])
    assert (rows[last + 1 :] == -1).all()
    assert metrics["minibatch"] == last / 2
    assert metrics["row"] == pytest.approx(whole[: last + 1].mean())


def test_rows_that_cannot_be_divided_are_refused():
    with pytest.raises(errors.UsageError, match="12 rows can't be divided into 5 minibatches"):
        epochs_over({"row": tf.range(ROWS)}, 1, 5, SEED, lambda minibatch, seed: {}, ())


def test_metrics_of_other_names_are_refused():
    with pytest.raises(errors.UsageError, match=r"returns the metrics \['loss'\]; expected \['error'\]"):
        epochs_over({"row": tf.range(ROWS)}, 1, 4, SEED, lambda minibatch, seed: {"loss": tf.constant(1.0)}, ["error"])


def test_the_update_of_a_minibatch_is_compiled_once():
    """However many there are: what is traced twice is compiled twice."""
    traces = []

    def update(minibatch, seed):
        traces.append(minibatch["row"].shape)
        return {"row": tf.reduce_mean(tf.cast(minibatch["row"], tf.float32))}

    executions.compiled(lambda: epochs_over({"row": tf.range(ROWS)}, EPOCHS, MINIBATCHES, SEED, update, ["row"]), "graph")()
    assert len(traces) == 1


def test_sequences_follow_each_other():
    rollout = tf.reshape(tf.range(2 * 6 * 3), [2, 6, 3])
    np.testing.assert_array_equal(sequences_of(rollout, 2), rollout.numpy().reshape(6, 2, 3))
