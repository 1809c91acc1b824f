"""Wrappers of Gymnasium by name: what they do, in which order, from where they are set, and what is refused."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.program.cli import main
from agentlab.spec import Array, Discrete
from agentlab_envs.gymnasium import wrapping
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment

LIMIT = {"name": "TimeLimit", "max_episode_steps": 7}
STACK = {"name": "FrameStackObservation", "stack_size": 3}


def made(*wrappers: Any, id: str = "CartPole-v1", **settings: Any) -> GymnasiumEnvironment:
    return GymnasiumEnvironment(id, wrappers=wrappers, **settings)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_wrappers_are_put_around_every_row_in_order(vectorization: str) -> None:
    environment = made(STACK, {"name": "FlattenObservation"}, LIMIT, num_environments=2, vectorization=vectorization)
    assert environment.spec.observation.shape == (12,)
    assert environment.spec.max_episode_steps == 7
    timestep = environment.reset(0)
    for step in range(1, 8):
        before, timestep = timestep, environment.step(np.array([0, 1]))
        np.testing.assert_array_equal(timestep.final_observation[:, :8], before.observation[:, 4:])
        assert timestep.truncated.all() == (step == 7)
    environment.close()
    assert made({"name": "FlattenObservation"}, STACK).spec.observation.shape == (3, 4)


def test_actions_and_rewards_are_wrapped() -> None:
    pendulum = made({"name": "DiscretizeAction", "bins": 5}, {"name": "ClipReward", "max_reward": -1.0}, id="Pendulum-v1")
    assert pendulum.spec.action == Discrete(5)
    pendulum.reset(0)
    assert max(pendulum.step(np.array([2])).reward[0] for _ in range(50)) == -1.0
    scaled = made({"name": "RescaleAction", "min_action": [-0.5], "max_action": [0.5]}, id="Pendulum-v1")
    assert scaled.spec.action == Array((1,), minimum=-0.5, maximum=0.5)


SETTINGS: dict[str, dict[str, Any]] = {  # of wrappers that need some, or another environment than CartPole
    "AddRenderObservation": {"render_mode": "rgb_array", "id": "CartPole-v1"},
    "AddWhiteNoise": {"render_mode": "rgb_array", "probability_of_noise_per_pixel": 0.5},
    "ClipAction": {"id": "Pendulum-v1"},
    "ClipReward": {"max_reward": 0.5},
    "DelayObservation": {"delay": 2},
    "DiscretizeAction": {"bins": [3], "id": "Pendulum-v1"},
    "DtypeObservation": {"dtype": "float64"},
    "FilterObservation": {"filter_keys": [0, 2], "id": "Blackjack-v1"},
    "FrameStackObservation": {"stack_size": 2, "padding_type": "zero"},
    "MaxAndSkipObservation": {"skip": 2},
    "ObstructView": {"render_mode": "rgb_array", "obstructed_pixels_ratio": 0.1, "obstruction_width": 3},
    "RepeatAction": {"num_repeats": 2},
    "RescaleAction": {"min_action": -1.0, "max_action": 1.0, "id": "Pendulum-v1"},
    "RescaleObservation": {"min_obs": [-1.0, -1.0, -1.0], "max_obs": 1.0, "id": "Pendulum-v1"},
    "ReshapeObservation": {"shape": [2, 2]},
    "StickyAction": {"repeat_action_probability": 0.5, "repeat_action_duration": [1, 3]},
    "TimeLimit": {"max_episode_steps": 5},
    "DiscretizeObservation": {"bins": 3, "id": "Pendulum-v1"},
}
OF_PICTURES = {"AtariPreprocessing", "GrayscaleObservation", "ResizeObservation"}


@pytest.mark.parametrize("name", [name for name in wrapping.ALLOWED if name not in OF_PICTURES])
def test_every_wrapper_works_by_its_name(name: str) -> None:
    arguments = dict(SETTINGS.get(name, {}))
    settings = {key: arguments.pop(key) for key in ("id", "render_mode") if key in arguments}
    environment = made({"name": name, **arguments}, **settings)
    timestep = environment.reset(0)
    action = np.zeros((1, *environment.spec.action.shape), environment.spec.action.dtype)
    for _ in range(5):
        timestep = environment.step(action)
    assert timestep.reward.shape == (1,)
    environment.close()


def test_the_table_names_all_that_gymnasium_has() -> None:
    assert {*wrapping.ALLOWED, *wrapping.REFUSED} == {*gymnasium.wrappers.__all__} - {"vector"}
    assert not set(wrapping.ALLOWED) & set(wrapping.REFUSED)


def test_no_wrapper_of_the_table_takes_a_function_or_a_path() -> None:
    for name in wrapping.ALLOWED:
        annotations = getattr(gymnasium.wrappers, name).__init__.__annotations__
        assert not [text for text in map(str, annotations.values()) if "Callable" in text or "Path" in text], name
        assert not [key for key in annotations if "folder" in key or "path" in key or "file" in key], name


SMALL = [
    "--steps",
    "40",
    "--set",
    "execution=eager",
    "--set",
    "evaluation.episodes=1",
    "--set",
    "memory.capacity=64",
    "--quiet",
]


@pytest.mark.slow
def test_they_are_set_on_the_command_line_in_a_file_and_in_python(tmp_path: pathlib.Path, capsys: Any) -> None:
    """The episodes of an evaluation are as long as the time limit, also when the run is evaluated from its config.json."""
    table = '[{name = "TimeLimit", max_episode_steps = 7}]'
    (tmp_path / "limited.toml").write_text(f"[environment]\nwrappers = {table}\n")
    line, file, python = (tmp_path / name for name in ("line", "file", "python"))
    assert main(["run", "dqn", *SMALL, "--run-dir", str(line), "--set", f"environment.wrappers={table}"]) == 0
    assert main(["run", "dqn", *SMALL, "--run-dir", str(file), "--config", str(tmp_path / "limited.toml")]) == 0
    changes = {"environment": {"wrappers": [LIMIT]}, "evaluation": {"episodes": 1}, "memory": {"capacity": 64}}
    agentlab.run("dqn", 0, {**changes, "steps": 40, "execution": "eager"}, run_dir=python)
    results = [json.loads((path / "result.json").read_text()) for path in (line, file, python)]
    assert [result["evaluation"] for result in results] == [results[0]["evaluation"]] * 3
    assert results[0]["evaluation"]["episode_length_mean"] == 7.0
    assert main(["evaluate", str(file), "--episodes", "1"]) == 0
    assert "return 7.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrapper", "sentence"),
    [
        (
            {"name": "TimeLimits"},
            "No wrapper named 'TimeLimits'. Known, among 28: .* Did you mean 'TimeLimit'\\? They are those of",
        ),
        ({"name": "vector"}, "No wrapper named 'vector'"),
        ({"name": "__builtins__"}, "No wrapper named '__builtins__'"),
        ({"max_episode_steps": 7}, "expected a table with the name of a wrapper, such as {name="),
        ({"name": 7}, "expected a table with the name of a wrapper"),
        (
            {"name": "TimeLimit", "max_steps": 7},
            "No argument named 'max_steps'. Arguments of wrapper 'TimeLimit': max_episode_steps",
        ),
        ({"name": "FlattenObservation", "env": 1}, "Wrapper 'FlattenObservation' takes no arguments, but has 'env'"),
        ({"name": "TimeLimit"}, "Wrapper 'TimeLimit' needs 'max_episode_steps'"),
        (
            {"name": "ClipReward", "max_reward": {"a": 1}},
            "'max_reward' of wrapper 'ClipReward' is {'a': 1}; expected a num",
        ),
        (
            {"name": "ClipReward", "max_reward": print},
            "'max_reward' of wrapper 'ClipReward' is <built-in function print>",
        ),
        (
            {"name": "FrameStackObservation", "stack_size": 10**9},
            "'stack_size' of .* is 1000000000; expected at most 1,000",
        ),
        ({"name": "ReshapeObservation", "shape": [10**6, 1]}, "'shape' of wrapper .* is 1000000; expected at most 4,096"),
        (
            {"name": "RepeatAction", "num_repeats": float("nan")},
            "'num_repeats' of wrapper 'RepeatAction' is nan",
        ),
        ({"name": "FilterObservation", "filter_keys": [0] * 2_000}, "a list of at most 1,000 of these"),
        ({"name": "DtypeObservation", "dtype": "U999999999"}, "No dtype named 'U999999999'"),
        ({"name": "ClipAction"}, "ClipAction can't wrap CartPole-v1: "),
        ({"name": "TimeLimit", "max_episode_steps": -1}, "TimeLimit can't wrap CartPole-v1: "),
        (
            {"name": "RecordVideo", "video_folder": "/tmp"},
            "'RecordVideo' can't be a setting: it writes files; 'agentlab play RUN",
        ),
        *[({"name": name}, f"Wrapper '{name}' can't be a setting: ") for name in wrapping.REFUSED],
    ],
)
def test_what_is_refused(wrapper: Any, sentence: str) -> None:
    with pytest.raises(errors.UsageError, match=sentence) as failure:
        made(wrapper)
    assert "\n" not in str(failure.value)


def test_no_more_than_a_hundred_wrappers_and_none_for_native_vectors() -> None:
    with pytest.raises(errors.UsageError, match=r"environment\.wrappers has 101 elements; expected at most 100"):
        made(*[LIMIT] * 101)
    with pytest.raises(errors.UsageError, match="wrappers can't be set with vectorization 'native'; use 'sync' or 'async'"):
        made(LIMIT, vectorization="native")


def test_a_package_that_a_wrapper_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(errors.UsageError, match=r"needs a package that is not installed: .*opencv"):
        made({"name": "AddRenderObservation"}, {"name": "ResizeObservation", "shape": [4, 4]}, render_mode="rgb_array")


def test_too_many_symbols_to_be_one_hot_are_refused() -> None:
    with pytest.raises(errors.UsageError, match="Pendulum-v1 shows one of 1,000,000,000,000 symbols"):
        made({"name": "DiscretizeObservation", "bins": 10_000}, id="Pendulum-v1")


def test_episodes_repeat_unless_a_wrapper_carries_something_over() -> None:
    assert made(LIMIT, STACK, {"name": "StickyAction", "repeat_action_probability": 0.3}).inexact() == ""
    assert "it shows something else than it did in the run" in made({"name": "NormalizeObservation"}).inexact()
