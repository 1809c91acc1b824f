"""Environments that extras bring: MuJoCo's and Box2D's with Box actions, and vectors of the envpool package."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.spec import Array, random_values
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment

CONTINUOUS = {  # the shape of observations, the bounds of actions, the time limit
    "HalfCheetah-v5": ((17,), -1.0, 1.0, 1_000),
    "Hopper-v5": ((11,), -1.0, 1.0, 1_000),
    "Humanoid-v5": ((348,), -0.4, 0.4, 1_000),
    "BipedalWalker-v3": ((24,), -1.0, 1.0, 1_600),
    "CarRacing-v3": ((96, 96, 3), [-1.0, 0.0, 0.0], 1.0, 1_000),
}


@pytest.fixture(scope="module", autouse=True)
def _box2d() -> None:
    """Imports Box2D before warnings are errors: SWIG's module crashes where its deprecation warning is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import Box2D  # noqa: F401


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes warnings about models to a file there


@pytest.mark.slow
@pytest.mark.parametrize("id", list(CONTINUOUS))
def test_box_actions_reach_the_environment_as_they_are(id: str) -> None:
    """Twenty steps in two rows are those of two environments of Gymnasium's own."""
    shape, low, high, limit = CONTINUOUS[id]
    environment = GymnasiumEnvironment(id, 2)
    action = environment.spec.action
    assert environment.spec.observation.shape == shape
    assert isinstance(action, Array)
    np.testing.assert_array_equal(action.low, np.broadcast_to(np.array(low, np.float32), action.shape))
    np.testing.assert_array_equal(action.high, np.broadcast_to(np.array(high, np.float32), action.shape))
    assert environment.spec.max_episode_steps == limit

    theirs = [gymnasium.make(id) for _ in range(2)]
    observation = environment.reset(7).observation
    np.testing.assert_array_equal(observation, [single.reset(seed=7 + row)[0] for row, single in enumerate(theirs)])
    generator = np.random.default_rng(0)
    for _ in range(20):
        actions = random_values(action, 2, generator)
        timestep = environment.step(actions)
        expected = [single.step(actions[row]) for row, single in enumerate(theirs)]
        np.testing.assert_array_equal(timestep.final_observation, [result[0] for result in expected])
        np.testing.assert_array_equal(timestep.reward, np.array([result[1] for result in expected], np.float32))
    environment.close()


@pytest.mark.parametrize("id", ["Hopper-v5", "LunarLander-v3"])
def test_their_episodes_repeat(id: str) -> None:
    assert GymnasiumEnvironment(id).inexact() == ""


def test_lunar_lander_has_both_kinds_of_actions() -> None:
    assert GymnasiumEnvironment("LunarLander-v3").spec.action.num_values == 4  # type: ignore[union-attr]
    continuous = GymnasiumEnvironment("LunarLander-v3", arguments={"continuous": True})
    assert continuous.spec.action == Array((2,), minimum=-1.0, maximum=1.0)


SMALL = {"steps": 40, "execution": "eager", "memory": {"capacity": 64}, "evaluation": {"episodes": 1, "max_episode_steps": 20}}


@pytest.mark.slow
def test_a_task_runs_in_them(tmp_path: Any) -> None:
    for name, environment in {
        "lander": {"id": "LunarLander-v3"},
        "hopper": {"id": "Hopper-v5", "wrappers": [{"name": "DiscretizeAction", "bins": 2}]},
    }.items():
        run = agentlab.run("dqn", changes={**SMALL, "environment": environment}, run_dir=tmp_path / name)
        assert run.result["steps"] == 40


# ---- envpool ----------------------------------------------------------------------------------------------------------------


def pool(id: str = "CartPole-v1", rows: int = 4, **arguments: Any) -> GymnasiumEnvironment:
    return GymnasiumEnvironment(id, rows, vectorization="envpool", arguments=arguments)


@pytest.mark.slow
def test_a_pool_is_determined_by_its_seed_and_begins_anew_after_an_end() -> None:
    environment = pool()
    runs = []
    for seed in (1, 1, 2):
        timesteps = [environment.reset(seed)]
        timesteps += [environment.step(np.full(4, index % 3 // 2)) for index in range(100)]
        runs.append(timesteps)
    first, again, other = ([timestep.observation for timestep in run] for run in runs)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)

    acted, ended = (np.array([getattr(timestep, name) for timestep in runs[0][1:]]) for name in ("acted", "ended"))
    assert ended.sum() > 8
    np.testing.assert_array_equal(acted[1:], ~ended[:-1])  # the step after an end only resets
    begun = np.array([timestep.observation for timestep in runs[0][1:]])[~acted]
    assert (np.abs(begun) <= 0.05).all()
    environment.close()


def test_a_pool_has_gymnasiums_spaces_and_limit() -> None:
    for id in ("CartPole-v1", "LunarLander-v3", "Pendulum-v1"):
        ours, theirs = pool(id).spec, GymnasiumEnvironment(id).spec
        assert ours.max_episode_steps == theirs.max_episode_steps
        assert ours.observation.shape == theirs.observation.shape
        assert ours.action.shape == theirs.action.shape
    assert pool(max_episode_steps=9).spec.max_episode_steps == 9


def test_a_pool_shows_pictures_and_mappings() -> None:
    assert pool("Breakout-v5", 2).spec.observation == Array((4, 84, 84), "uint8", 0, 255)
    environment = pool("MiniGrid-Empty-5x5-v0", 2)
    assert set(environment.spec.observation) == {"direction", "image", "mission"}
    environment.reset(0)
    assert environment.step(np.zeros(2, np.int64)).observation["image"].shape == (2, 7, 7, 3)


@pytest.mark.slow
def test_a_task_runs_in_a_pool(tmp_path: Any) -> None:
    changes = {**SMALL, "environment": {"vectorization": "envpool"}, "num_environments": 4}
    with pytest.warns(errors.RunWarning, match="its own vector class keeps its state to itself"):
        run = agentlab.run("dqn", changes=changes, run_dir=tmp_path / "run")
    assert run.result["steps"] == 40


@pytest.mark.parametrize(
    ("id", "arguments", "sentence"),
    [
        ("CartPol-v1", {}, "No environment of envpool named 'CartPol-v1'. Known, among .* Did you mean 'CartPole-v"),
        ("CartPole-v1", {"colour": 1}, "No argument named 'colour'. Arguments of envpool: max_episode_steps, num_threads, "),
        ("CartPole-v1", {"base_path": "/"}, "No argument named 'base_path'"),
        ("CartPole-v1", {"num_threads": 10**6}, "Argument 'num_threads' is 1000000; expected 0 up to 1,024"),
        ("CartPole-v1", {"max_episode_steps": "a"}, "Argument 'max_episode_steps' is 'a'; expected 1 up to 2,147,483,647"),
    ],
)
def test_what_a_pool_refuses(id: str, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(errors.UsageError, match=sentence):
        pool(id, **arguments)


def test_a_missing_envpool_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "envpool" else find(name, *rest))
    with pytest.raises(errors.UsageError, match=r"needs a package that is not installed: pip install 'agentlab\[envpool"):
        pool()
