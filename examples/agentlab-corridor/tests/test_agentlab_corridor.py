"""The contracts' tests, steps worked out by hand, and that the two corridors are one."""

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.testing import DeviceEnvironmentTests, HostEnvironmentTests, TaskTests
from agentlab_corridor.device import Corridor
from agentlab_corridor.host import HostCorridor


class TestCorridor(DeviceEnvironmentTests):
    part = Corridor


class TestHostCorridor(HostEnvironmentTests):
    part = HostCorridor


class TestTask(TaskTests):
    name = "agentlab-corridor:corridor"


def test_both_ends_terminate_and_the_right_one_pays():
    environment = Corridor(length=3, slip=0.0)
    state, action = tf.constant([1, 1, 3, 2], tf.int64), tf.constant([0, 1, 1, 1], tf.int64)
    state, reward, terminated, _ = environment.transition(state, action, seeds.at(0, 1))
    assert state.numpy().tolist() == [0, 2, 4, 3]
    assert reward.numpy().tolist() == [0.0, 0.0, 1.0, 0.0]
    assert terminated.numpy().tolist() == [True, False, True, False]
    assert environment.observe(state).numpy()[1].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_the_two_corridors_are_one():
    """With one place to begin at and no slipping, nothing is left to chance."""
    device = HostedEnvironment(Corridor(1, 0.0, 7), 3)
    host = HostCorridor(3, 1, 0.0, 7)
    actions = np.random.default_rng(0).integers(0, 2, (30, 3))
    timesteps = [(one.reset(0), *(one.step(action) for action in actions)) for one in (device, host)]
    for one, other in zip(*timesteps, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_slipping_is_as_frequent_as_said():
    host = HostCorridor(num_environments=2_000, length=1_001, slip=0.25)
    before = host.reset(0).observation.argmax(1)
    after = host.step(np.ones(2_000, np.int64)).final_observation.argmax(1)
    assert abs((after < before).mean() - 0.25) < 5 * (0.25 * 0.75 / 2_000) ** 0.5
