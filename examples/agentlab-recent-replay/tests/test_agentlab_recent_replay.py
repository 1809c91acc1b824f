"""The contract's tests, and batches that are known in advance."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import AgentlabError, Step, seeds
from agentlab.memory import Layout, Request
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import MemoryTests, TaskTests
from agentlab_recent_replay.memory import RecentReplay

SPEC = EnvironmentSpec("example", Array((1,)), Discrete(2))


class TestRecentReplay(MemoryTests):
    part = RecentReplay


class TestTask(TaskTests):
    name = "agentlab-recent-replay:identity-recent-replay"


def memory_of(count, **settings):
    """Returns a memory to which `count` steps of one environment were added, whose rewards are 0 to count - 1."""
    memory = RecentReplay(**settings)
    memory.build(Layout(SPEC, 1))
    observation, row = tf.zeros([count, 1]), tf.zeros([count], tf.int64)
    never = tf.zeros([count], tf.bool)
    memory.add(Step(observation, row, tf.range(float(count)), tf.ones([count]), observation, never, ~never), row)
    return memory


@pytest.mark.parametrize(("num_candidates", "share"), [(1, 0.5), (2, 0.75), (3, 0.875)])
def test_of_several_candidates_the_newest_is_handed_out(num_candidates, share):
    """With two, both would have to be of the older half."""
    memory = memory_of(100, batch_size=10_000, num_candidates=num_candidates)
    rewards = memory.sample(seeds.at(0, 0)).reward.numpy()
    np.testing.assert_allclose(np.mean(rewards >= 50), share, atol=5 * 0.5 / 10_000**0.5)


def test_the_oldest_steps_are_overwritten():
    rewards = memory_of(7, capacity=3).sample(seeds.at(0, 0)).reward.numpy()
    assert set(rewards) == {4.0, 5.0, 6.0}


def test_several_steps_are_refused():
    with pytest.raises(AgentlabError, match="single steps; the trainer learns from 3 in a row"):
        RecentReplay().build(Layout(SPEC, 1, Request(3)))
