"""Episode statistics and means of metrics, against sums done by hand."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors
from agentlab.loop.statistics import MOST_WAITING, EpisodeStatistics, Means, WaitingStatistics
from agentlab.types import TimeStep, all_true, any_true

REWARDS = np.array([[1, 10], [2, 20], [3, 30], [4, 40]], np.float32)
ENDED = np.array([[0, 0], [0, 1], [1, 0], [0, 1]], np.float32)
FIELDS = ("running_return", "running_length", "episodes", "return_sum", "length_sum")


@pytest.fixture(params=["numpy", "eager", "graph", "xla"])
def after(request):
    """Returns `EpisodeStatistics.after` on NumPy arrays or, by each execution, on tensors."""
    plain = EpisodeStatistics.after
    if request.param == "numpy":
        return plain
    step = plain if request.param == "eager" else tf.function(plain, jit_compile=request.param == "xla")

    def on_tensors(statistics, *arrays):
        tensors = (tf.nest.map_structure(tf.constant, statistics), *(tf.constant(array, tf.float64) for array in arrays))
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), step(*tensors))

    return on_tensors


def values(statistics):
    return {name: getattr(statistics, name).tolist() for name in FIELDS}


def test_two_rows_by_hand(after):
    statistics = EpisodeStatistics.start(2)
    assert statistics.summary() == {"episodes": 0, "return_mean": None, "episode_length_mean": None}
    for reward, ended in zip(REWARDS[:2], ENDED[:2], strict=True):
        statistics = after(statistics, reward, ended)
    assert values(statistics) == {
        "running_return": [3, 0],
        "running_length": [2, 0],
        "episodes": [0, 1],
        "return_sum": [0, 30],
        "length_sum": [0, 2],
    }
    for reward, ended in zip(REWARDS[2:], ENDED[2:], strict=True):
        statistics = after(statistics, reward, ended)
    assert values(statistics) == {
        "running_return": [4, 0],
        "running_length": [1, 0],
        "episodes": [1, 2],
        "return_sum": [6, 100],
        "length_sum": [3, 4],
    }
    assert statistics.summary() == {"episodes": 3, "return_mean": 106 / 3, "episode_length_mean": 7 / 3}


def test_a_report_forgets_ended_episodes_and_keeps_running_ones(after):
    statistics = EpisodeStatistics.start(2)
    for reward, ended in zip(REWARDS[:3], ENDED[:3], strict=True):
        statistics = after(statistics, reward, ended)
    statistics = statistics.reported()
    assert statistics.summary() == {"episodes": 0, "return_mean": None, "episode_length_mean": None}
    statistics = after(statistics, REWARDS[3], ENDED[3])
    assert statistics.summary() == {"episodes": 1, "return_mean": 70.0, "episode_length_mean": 2.0}
    assert values(statistics)["running_return"] == [4, 0]


def test_a_row_that_is_being_reset_takes_no_step(after):
    statistics = after(EpisodeStatistics.start(2), np.float32([5, 5]), np.float32([1, 1]), np.float32([1, 1]))
    statistics = after(statistics, np.float32([0, 5]), np.float32([0, 0]), np.float32([0, 1]))
    assert values(statistics)["running_length"] == [0, 1]
    assert values(statistics)["length_sum"] == [1, 1]


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_steps_that_wait_come_to_the_same_bits(rows):
    generator = np.random.default_rng(rows)
    statistics, waiting = EpisodeStatistics.start(rows), WaitingStatistics(EpisodeStatistics.start(rows))
    for step in range(2 * MOST_WAITING + 7):
        terminated, truncated = generator.random((2, rows)) < 0.3 / MOST_WAITING  # some episodes are longer than may wait
        reward, acted = generator.normal(size=rows).astype(np.float32), generator.random(rows) < 0.9
        timestep = TimeStep(None, reward, terminated, truncated, None, acted=acted)
        statistics = statistics.after(reward, timestep.ended, acted)
        waiting.add(timestep)
        if step % 97 == 0:
            assert values(waiting.settled()) == values(statistics)
    assert waiting.collect() == statistics.summary()
    assert values(waiting.settled()) == values(statistics.reported())


@pytest.mark.parametrize("flags", [[], [False], [True], [False, True], [True, True], [[False, True], [False, False]]])
def test_flags_are_looked_at_as_numpy_does(flags):
    array = np.array(flags, np.bool_)
    assert (any_true(array), all_true(array)) == (bool(array.any()), bool(array.all()))
    assert any_true(array[::-1].T) == bool(array.any())  # whatever its memory looks like


def test_means_by_hand(compiled):
    means = Means(["loss", "gradient_norm"])
    assert means.collect() == {}
    add = compiled(lambda loss, norm: means.add({"gradient_norm": norm, "loss": loss}))
    for loss, norm in [(1.0, 10.0), (2.0, 20.0), (6.0, 0.0)]:
        add(tf.constant(loss), tf.constant(norm, tf.float64))
    assert means.collect() == {"loss": 3.0, "gradient_norm": 10.0}
    assert means.collect() == {}
    add(tf.constant(4.0), tf.constant(5.0, tf.float64))
    assert means.collect() == {"loss": 4.0, "gradient_norm": 5.0}


@pytest.mark.parametrize("wrong", [{"loss": 1.0}, {"loss": 1.0, "q_mean": 1.0, "entropy": 1.0}, {}])
def test_wrong_names_are_told(wrong):
    means = Means(["loss", "q_mean"])
    with pytest.raises(errors.UsageError) as failure:
        means.add(wrong)
    assert str(failure.value) == (
        f"An update returned the metrics {sorted(wrong)}; expected ['loss', 'q_mean']: name them in the trainer's metric_names."
    )


def test_no_metrics_at_all():
    means = Means([])
    means.add({})
    assert means.collect() == {}
