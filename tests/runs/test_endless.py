"""A warning where no episode ends in an environment that has no time limit."""

import pathlib
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import agentlab
from agentlab import errors
from agentlab.runs.trackers import endless
from agentlab.runs.trackers.endless import EndlessEpisodes
from agentlab.spec import Array, EnvironmentSpec
from agentlab.spec import Discrete as Choices
from agentlab.tracker import TrackedRun

OBSERVATION = Array((1,))


def warned_steps(spec, reports, begin=0):
    """Returns the steps at which reports `(step, episodes)` are warned of, with two environments."""
    watch, steps = EndlessEpisodes(spec, 2), []
    watch.begin(TrackedRun({}, pathlib.Path(), 10**6, begin))
    for step, episodes in reports:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watch.line({"step": step, "episodes": episodes})
        steps += [step] * len(caught)
    return steps


UNLIMITED = EnvironmentSpec("endless", OBSERVATION, Choices(2))


def test_a_warning_comes_once_after_5000_steps_of_each_environment():
    assert warned_steps(UNLIMITED, [(step, 0) for step in range(2_000, 40_000, 2_000)]) == [10_000]
    assert warned_steps(UNLIMITED, [(38_000, 0), (40_000, 0), (42_000, 0)], begin=30_000) == [40_000]


def test_there_is_no_warning_once_an_episode_has_ended():
    assert warned_steps(UNLIMITED, [(2_000, 1), *((step, 0) for step in range(4_000, 40_000, 2_000))]) == []


@pytest.mark.parametrize(
    "spec",
    [
        EnvironmentSpec("limited", OBSERVATION, Choices(2), 10**6),
        EnvironmentSpec("data", OBSERVATION, Choices(2), None, Choices(2)),
    ],
)
def test_environments_with_a_limit_or_with_right_answers_are_left_out(spec):
    assert warned_steps(spec, [(10**5, 0)]) == []


class Endless(gymnasium.Env):
    observation_space, action_space = Box(-1.0, 1.0, (1,)), Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.slow
def test_a_run_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(endless, "LONGEST", 20)
    changes = {"steps": 60, "report_period": 10, "evaluation": {"episodes": 1, "max_episode_steps": 5}, "execution": "eager"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agentlab.run("dqn", changes={**changes, "memory": {"capacity": 64}}, environment=Endless, run_dir=tmp_path / "run")
    (sentence,) = [str(one.message) for one in caught if "time limit" in str(one.message)]
    assert issubclass(caught[0].category, errors.RunWarning)
    assert sentence.startswith(
        "The environment 'Endless' has no time limit, and no episode has ended after 20 steps, so no returns"
    )
