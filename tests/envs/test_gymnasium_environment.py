"""GymnasiumEnvironment: three autoreset modes and three vectorizations, one contract; faults come out as sentences."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import os
import pathlib
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import attrs
import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Sequence, Text, Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from agentlab import errors
from agentlab.spec import Array
from agentlab.spec import Discrete as DiscreteSpec
from agentlab.types import Decision, Step, TimeStep
from agentlab_envs.gymnasium.environment import MODES, GymnasiumEnvironment

ENDINGS = [(True, False), (False, True), (True, True)]  # (terminated, truncated), episode after episode
UNLIMITED = Box(-np.inf, np.inf, (3,), np.float32)


def length_of(row: int, episode: int) -> int:
    """Steps of an episode: rows end at different steps, and some episodes after one step only."""
    return 1 + (2 * row + episode) % 4


class Counting(gymnasium.Env):
    """Shows [row, episode, step], all in one array that it overwrites; the reward is 100 episode + 10 step + action.

    Seeded with 1000 + row; the seeds of later episodes are no such numbers. `fault` names what goes wrong in row 1 at
    the third call of `step`.
    """

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = UNLIMITED
    action_space = Discrete(3)

    def __init__(self, render_mode: str | None = None, fault: str = "") -> None:
        self.render_mode = render_mode
        self.fault = fault
        self.buffer = np.zeros(3, np.float32)
        self.row, self.episode, self.calls = 0, -1, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        if seed is not None and seed < 2000:
            self.row, self.episode, self.calls = seed - 1000, -1, 0
        self.episode += 1
        self.count = 0
        return self.show(), {}

    def show(self) -> np.ndarray:
        self.buffer[:] = (self.row, self.episode, self.count)
        return self.buffer

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self.count += 1
        self.calls += 1
        reward = 100.0 * self.episode + 10.0 * self.count + float(action)
        ends = self.count == length_of(self.row, self.episode)
        terminated, truncated = ENDINGS[self.episode % 3] if ends else (False, False)
        if self.fault and self.row == 1 and self.calls == 3:
            return self.go_wrong(reward)
        return self.show(), reward, terminated, truncated, {"unread": object()}

    def go_wrong(self, reward: float) -> Any:
        observation: Any = np.arange(3, dtype=np.float32)
        match self.fault:
            case "raise":
                raise KeyError("lost")
            case "unpicklable":
                raise RuntimeError(lambda: None)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "four values":
                return observation, reward, False, {}
            case "shape":
                observation = np.zeros((4,), np.float32)
            case "scalar":
                observation = np.float32(1)
            case "text":
                observation = np.array(["a", "b", "c"])
            case "nan":
                observation[2] = np.nan
            case "infinite":
                observation[0] = -np.inf
            case "final nan":
                observation[1] = np.nan
                return observation, reward, True, False, {}
            case "reward":
                reward = float("nan")
            case "huge reward":
                reward = 1e39
            case "no reward":
                reward = None
        return observation, reward, False, False, {}

    def render(self) -> Any:
        return np.full((2, 4, 3), self.count, np.uint8)


class CountingVector(VectorEnv):
    """The same, as a native vector class; hands out the very arrays that it overwrites later."""

    def __init__(self, num_envs: int, max_episode_steps: int, mode: Any = AutoresetMode.SAME_STEP, fault: str = "") -> None:
        self.metadata = {"autoreset_mode": mode}
        self.num_envs, self.mode, self.fault = num_envs, mode, fault
        self.single_observation_space, self.single_action_space = UNLIMITED, Discrete(3)
        self.observation_space = batch_space(UNLIMITED, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rows = [Counting() for _ in range(num_envs)]
        self.buffer = np.zeros((num_envs, 3), np.float32)
        self.reward = np.zeros(num_envs, np.float32)
        self.terminated, self.truncated = np.zeros((2, num_envs), np.bool_)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        for index in np.flatnonzero(mask):
            self.begin(index, None if seed is None else seed + int(index))
        return self.buffer, {}

    def begin(self, index: int, seed: int | None = None) -> None:
        self.buffer[index] = self.rows[index].reset(seed=seed)[0]
        self.terminated[index] = self.truncated[index] = False

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        finals = np.full(self.num_envs, None, dtype=object)
        previously_ended = self.terminated | self.truncated
        for index, row in enumerate(self.rows):
            if self.mode is AutoresetMode.NEXT_STEP and previously_ended[index]:
                self.begin(index)
                self.reward[index] = 0
                continue
            outcome = row.step(actions[index])
            self.buffer[index] = outcome[0]
            self.reward[index], self.terminated[index], self.truncated[index] = outcome[1:4]
            if self.mode is AutoresetMode.SAME_STEP and (outcome[2] or outcome[3]):
                finals[index] = outcome[0].copy()
                if self.fault == "final nan" and index == 1:
                    finals[index][1] = np.nan
                self.buffer[index] = row.reset()[0]
        if self.fault == "shape":
            return self.buffer[:, :2], self.reward, self.terminated, self.truncated, {}
        if self.fault == "flags":
            return self.buffer, self.reward, self.terminated[:1], self.truncated, {}
        info = {} if self.fault == "no final_obs" or all(final is None for final in finals) else {"final_obs": finals}
        return self.buffer, self.reward, self.terminated, self.truncated, info


class Shapes(gymnasium.Env):
    """Shows whatever its arguments say; `reset` and `step` hand out a list of values in turn."""

    def __init__(self, observation_space: Any, values: Any = (0,), action_space: Any = None) -> None:
        self.observation_space, self.values = observation_space, list(values)
        self.action_space = action_space or Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        self.index = 0
        return self.values[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.index += 1
        self.action = action
        return self.values[self.index % len(self.values)], float(np.sum(action)), False, False, {}


class NeedsPackage(gymnasium.Env):
    def __init__(self) -> None:
        raise gymnasium.error.DependencyNotInstalled("Hovercraft is not installed, run `pip install hovercraft`")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Registers the environments above. Gymnasium's own checker is off: it warns of what is planted here on purpose."""
    names = ["Counting-v0", "Shapes-v0", "NeedsPackage-v0"]
    for name, entry in zip(names, [Counting, Shapes, NeedsPackage], strict=True):
        vector = CountingVector if entry is Counting else None
        gymnasium.register(f"test/{name}", entry, disable_env_checker=True, vector_entry_point=vector, max_episode_steps=77)
    yield
    for name in names:
        del gymnasium.registry[f"test/{name}"]


def counting(vectorization: str = "sync", autoreset: str = "auto", rows: int = 3, **arguments: Any) -> GymnasiumEnvironment:
    if vectorization == "native":
        arguments.setdefault("mode", MODES.get(autoreset))
    return GymnasiumEnvironment("test/Counting-v0", rows, vectorization, autoreset, arguments)


def three_steps(environment: GymnasiumEnvironment) -> None:
    for _ in range(3):
        environment.step(np.zeros(3, np.int64))


def expected(row: int) -> Iterator[tuple[Any, ...]]:
    """The transitions of a row as (observation, action, reward, terminated, truncated, next observation), without end."""
    for episode in itertools.count():
        for step in range(1, length_of(row, episode) + 1):
            action = (row + episode + step - 1) % 3
            ended = ENDINGS[episode % 3] if step == length_of(row, episode) else (False, False)
            yield (row, episode, step - 1), action, 100 * episode + 10 * step + action, *ended, (row, episode, step)


def taken(environment: GymnasiumEnvironment, turns: int) -> list[list[tuple[Any, ...]]]:
    """The same, as they happen, of every row; the action is the sum of the observation, modulo 3."""
    timestep = environment.reset(1000)
    transitions: list[list[tuple[Any, ...]]] = [[] for _ in range(environment.num_environments)]
    for _ in range(turns):
        observation = timestep.observation
        action = observation.sum(1).astype(np.int64) % 3
        timestep = environment.step(action)
        for row, rows_transitions in enumerate(transitions):
            if not timestep.acted[row]:
                assert (timestep.reward[row], timestep.terminated[row], timestep.truncated[row]) == (0, False, False)
                continue
            flags = bool(timestep.terminated[row]), bool(timestep.truncated[row])
            led = tuple(timestep.final_observation[row])
            rows_transitions.append((tuple(observation[row]), action[row], timestep.reward[row], *flags, led))
    return transitions


@pytest.mark.parametrize("autoreset", MODES)
@pytest.mark.parametrize("vectorization", ["sync", "async", "native"])
def test_no_transition_crosses_a_reset_in_any_mode(vectorization: str, autoreset: str) -> None:
    environment = counting(vectorization, autoreset)
    transitions = taken(environment, 60)
    environment.close()
    for row, rows_transitions in enumerate(transitions):
        assert rows_transitions == list(itertools.islice(expected(row), len(rows_transitions)))
        assert len(rows_transitions) == 60 if autoreset != "next_step" else 30 < len(rows_transitions) < 60


@pytest.mark.parametrize("autoreset", MODES)
def test_discount_is_zero_where_an_episode_terminated_and_only_there(autoreset: str) -> None:
    environment = counting("sync", autoreset)
    timestep = environment.reset(1000)
    kinds = set()
    for _ in range(40):
        observation = timestep.observation
        timestep = environment.step(np.zeros(3, np.int64))
        transition = Step.between(Decision(observation, (), np.zeros(3, np.int64), (), ()), timestep)
        acted = timestep.acted
        np.testing.assert_array_equal(transition.discount.numpy()[acted], 1.0 - timestep.terminated[acted])
        moved = transition.next_observation[acted] - transition.observation[acted]
        np.testing.assert_array_equal(moved, np.tile([0, 0, 1], (acted.sum(), 1)))
        kinds.update(zip(timestep.terminated.tolist(), timestep.truncated.tolist(), strict=True))
    assert kinds == {(False, False), *ENDINGS}


@pytest.mark.parametrize("autoreset", ["same_step", "disabled"])
def test_one_row_begins_anew_while_the_others_go_on(autoreset: str) -> None:
    environment = counting("sync", autoreset)  # episode 0 lasts 1 step in rows 0 and 2, and 3 in row 1
    environment.reset(1000)
    timestep = environment.step(np.zeros(3, np.int64))
    np.testing.assert_array_equal(timestep.terminated, [True, False, True])
    np.testing.assert_array_equal(timestep.observation, [[0, 1, 0], [1, 0, 1], [2, 1, 0]])
    np.testing.assert_array_equal(timestep.final_observation, [[0, 0, 1], [1, 0, 1], [2, 0, 1]])
    assert timestep.acted.all()


def test_next_step_marks_the_rows_that_were_being_reset() -> None:
    environment = counting("sync", "next_step")
    assert not environment.reset(1000).acted.any()
    ended = environment.step(np.zeros(3, np.int64))
    np.testing.assert_array_equal(ended.acted, [True, True, True])
    np.testing.assert_array_equal(ended.observation, [[0, 0, 1], [1, 0, 1], [2, 0, 1]])
    begun = environment.step(np.ones(3, np.int64))
    np.testing.assert_array_equal(begun.acted, [False, True, False])
    np.testing.assert_array_equal(begun.reward, [0, 21, 0])
    np.testing.assert_array_equal(begun.observation, [[0, 1, 0], [1, 0, 2], [2, 1, 0]])


@pytest.mark.parametrize("vectorization", ["sync", "async", "native"])
@pytest.mark.parametrize("autoreset", MODES)
def test_time_steps_stay_as_they_were_handed_out(vectorization: str, autoreset: str) -> None:
    environment = counting(vectorization, autoreset)
    handed_out = [environment.reset(1000)]
    copies = [copy.deepcopy(handed_out[0])]
    for _ in range(8):
        handed_out.append(environment.step(np.ones(3, np.int64)))
        copies.append(copy.deepcopy(handed_out[-1]))
    environment.close()
    for timestep, copied in zip(handed_out, copies, strict=True):
        for field in attrs.fields(TimeStep):
            np.testing.assert_array_equal(getattr(timestep, field.name), getattr(copied, field.name))


def test_shapes_and_dtypes_follow_the_contract() -> None:
    environment = counting("sync")
    assert environment.spec.observation == Array((3,))
    assert environment.spec.action == DiscreteSpec(3)
    assert (environment.spec.name, environment.spec.max_episode_steps) == ("test/Counting-v0", 77)
    for timestep in (environment.reset(1000), environment.step(np.zeros(3, np.int64))):
        assert (timestep.observation.shape, timestep.observation.dtype) == ((3, 3), np.float32)
        assert (timestep.final_observation.shape, timestep.final_observation.dtype) == ((3, 3), np.float32)
        assert (timestep.reward.shape, timestep.reward.dtype) == ((3,), np.float32)
        assert timestep.terminated.dtype == timestep.truncated.dtype == np.bool_


def test_reset_is_determined_by_its_seed() -> None:
    environment = GymnasiumEnvironment("CartPole-v1", 2)
    first, again, other = (environment.reset(seed).observation for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def test_native_cartpole_resets_in_the_mode_it_declares() -> None:
    environment = GymnasiumEnvironment("CartPole-v1", 4, "native", arguments={"max_episode_steps": 12})
    timestep = environment.reset(0)
    ended, begun = np.zeros(4, np.bool_), 0
    for _ in range(60):
        position, velocity = timestep.observation[:, 0], timestep.observation[:, 1]
        timestep = environment.step(np.array([0, 1, 0, 1]))
        np.testing.assert_array_equal(~timestep.acted, ended)
        moved = timestep.final_observation[:, 0] - position - np.float32(0.02) * velocity
        np.testing.assert_allclose(moved[timestep.acted], 0, atol=1e-6)
        assert (np.abs(timestep.observation[~timestep.acted]) <= 0.05).all()
        np.testing.assert_array_equal(timestep.reward, timestep.acted)
        ended, begun = timestep.terminated | timestep.truncated, begun + (~timestep.acted).sum()
    assert begun > 12
    assert environment.spec.max_episode_steps == 12


def test_a_native_vector_cannot_be_told_another_mode() -> None:
    with pytest.raises(errors.UsageError, match="resets in mode 'next_step', not 'same_step'; leave autoreset at 'auto'"):
        GymnasiumEnvironment("CartPole-v1", 2, "native", "same_step")
    with pytest.raises(errors.UsageError, match="FrozenLake-v1 cannot be made: it has no vector class of its own; use"):
        GymnasiumEnvironment("FrozenLake-v1", 2, "native")


def test_a_native_vector_must_say_how_it_resets() -> None:
    with (
        pytest.warns(UserWarning, match="metadata"),
        pytest.raises(errors.UsageError, match="'autoreset_mode'\\] is 'mine'; use vectorization 'sync' or 'async'"),
    ):
        counting("native", mode="mine")


RAISED = next(
    number
    for number, line in enumerate(pathlib.Path(__file__).read_text().splitlines(), 1)
    if line.strip() == 'raise KeyError("lost")'
)
FAULTS = {
    "raise": rf"row 1 raised KeyError: 'lost'\. It happened in {re.escape(__file__)}, line {RAISED}\.$",
    "four values": r"row 1's step returned 4 values; expected 5: observation, reward, .*'GymV21Environment-v0/ID'.* Shimmy.*$",
    "shape": r"row 1 returned an observation float32\[4\]; its observation space says float32\[3\]\.$",
    "scalar": r"row 1 returned an observation float32\[\]; its observation space says float32\[3\]\.$",
    "text": r"row 1 returned an observation <U1\[3\]; its observation space says float32\[3\]\.$",
    "nan": r"row 1's observation\[2\] is nan; expected a finite float32 number\.$",
    "infinite": r"row 1's observation\[0\] is -inf; expected a finite float32 number\.$",
    "final nan": r"row 1's observation\[1\] is nan; expected a finite float32 number\.$",
    "reward": r"row 1's reward is nan; expected a finite float32 number\.$",
    "huge reward": r"row 1's reward is 1e\+39; expected a finite float32 number\.$",
    "no reward": r"row 1's reward is None; expected a finite float32 number\.$",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("autoreset", MODES)
def test_faults_name_environment_step_row_and_value(fault: str, autoreset: str) -> None:
    environment = counting("sync", autoreset, fault=fault)
    environment.reset(1000)
    for _ in range(2):
        environment.step(np.zeros(3, np.int64))
    with pytest.raises(errors.EnvironmentFault) as caught:
        environment.step(np.zeros(3, np.int64))
    assert re.fullmatch("The environment test/Counting-v0 failed at vector step 3: " + FAULTS[fault], str(caught.value))


def test_a_fault_keeps_the_environments_own_error_as_its_cause() -> None:
    environment = counting(fault="raise")
    environment.reset(1000)
    with pytest.raises(errors.EnvironmentFault) as caught:
        three_steps(environment)
    assert isinstance(caught.value.__cause__.__cause__, KeyError)


@pytest.mark.parametrize("fault", ["raise", "unpicklable", "shape"])
def test_faults_in_worker_processes_name_the_row_and_end_the_processes(fault: str) -> None:
    environment = counting("async", fault=fault)
    environment.reset(1000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\x1b\[31mERROR: ", UserWarning)  # Gymnasium shows the worker's traceback in red
        with pytest.raises(errors.EnvironmentFault, match="failed at vector step 3: row 1 r"):
            three_steps(environment)
    environment.close()
    environment.close()
    assert not any(link.process.is_alive() for link in environment._vector.links)


def test_a_worker_that_died_is_a_fault_and_leaves_no_process_behind() -> None:
    environment = counting("async", fault="die")
    environment.reset(1000)
    with pytest.raises(errors.EnvironmentFault, match="step 3: the worker process of row 1 has died, with exit code -9"):
        three_steps(environment)
    environment.close()
    assert not any(link.process.is_alive() for link in environment._vector.links)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("shape", r"its vector class returned an observation float32\[3, 2\]; its observation space says float32\[3, 3\]"),
        ("flags", r"its terminated has shape \(1,\); expected \(3,\)\.$"),
        ("no final_obs", "its vector class gave no final_obs, which autoreset mode same_step promises"),
        ("final nan", r"row 1's observation\[1\] is nan"),
    ],
)
def test_faults_of_a_native_vector_class(fault: str, sentence: str) -> None:
    environment = counting("native", mode=AutoresetMode.SAME_STEP, fault=fault)
    environment.reset(1000)
    with pytest.raises(errors.EnvironmentFault, match=sentence) as caught:
        three_steps(environment)
    assert str(caught.value).count("failed at") == 1


def test_actions_of_the_wrong_shape_are_refused() -> None:
    environment = counting()
    environment.reset(0)
    with pytest.raises(errors.UsageError, match=r"its action has shape \(2,\); expected \(3,\)"):
        environment.step(np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("id", "sentence"),
    [
        ("CartPol-v1", r"^No Gymnasium environment named 'CartPol-v1'\. Did you mean 'CartPole-v1'\?$"),
        (
            "Nowhere/Thing-v5",
            r"^No Gymnasium environment named 'Nowhere/Thing-v5'\. .*'module:ID', such as 'my_module:MyEnvironment-v0'\.$",
        ),
        ("no_such_module:X-v0", r"^no_such_module:X-v0 needs a package .*: No module named 'no_such_module'\.$"),
        ("test/NeedsPackage-v0", r"^test/NeedsPackage-v0 needs a package .*: Hovercraft .* run `pip install hovercraft`\.$"),
        ("not an id", r"^not an id cannot be made: Malformed environment ID"),
        ("GymV26Environment-v0", r"^'GymV26Environment-v0' names no environment of the old gym package; write '"),
    ],
)
def test_ids_that_cannot_be_made_are_explained_in_a_sentence(id: str, sentence: str) -> None:
    with pytest.raises(errors.UsageError, match=sentence) as caught:
        GymnasiumEnvironment(id)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_old_gym_ids_without_shimmy_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UsageError, match=r"needs the old gym package and Shimmy: pip install 'agentlab\[gym\]'\.$"):
        GymnasiumEnvironment("GymV21Environment-v0/CartPole-v1")


def test_arguments_reach_the_constructor_and_wrong_ones_are_refused() -> None:
    environment = GymnasiumEnvironment("CartPole-v1", arguments={"sutton_barto_reward": True, "max_episode_steps": -1})
    environment.reset(0)
    assert environment.step(np.zeros(1, np.int64)).reward == 0
    assert environment.spec.max_episode_steps is None
    with pytest.raises(errors.UsageError, match=r"with the arguments \{'wind': 1\}: TypeError: .* keyword argument 'wind'"):
        GymnasiumEnvironment("CartPole-v1", arguments={"wind": 1})


@pytest.mark.parametrize("setting", [{"num_environments": 0}, {"vectorization": "threads"}, {"autoreset": "no"}])
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        GymnasiumEnvironment(**setting)


def test_continuous_actions_are_described_for_trainers_to_refuse() -> None:
    environment = GymnasiumEnvironment("Pendulum-v1", 2)
    assert environment.spec.action == Array((1,), "float32", -2.0, 2.0)
    environment.reset(0)
    assert environment.step(np.zeros((2, 1), np.float32)).observation.shape == (2, 3)


def shapes(observation_space: Any, values: Any = (0,), action_space: Any = None, rows: int = 1) -> GymnasiumEnvironment:
    arguments = {"observation_space": observation_space, "values": values, "action_space": action_space}
    return GymnasiumEnvironment("test/Shapes-v0", rows, arguments=arguments)


def test_actions_are_counted_from_zero_wherever_the_space_starts() -> None:
    environment = shapes(Discrete(4), action_space=Discrete(3, start=5), rows=2)
    assert environment.spec.action == DiscreteSpec(3, start=5)
    environment.reset(0)
    np.testing.assert_array_equal(environment.step(np.array([0, 2])).reward, [5, 7])


def test_discrete_observations_become_one_hot() -> None:
    environment = shapes(Discrete(3, start=-1), [-1, 1, 0])
    assert environment.spec.observation == Array((3,), "float32", 0.0, 1.0)
    timesteps = [environment.reset(0), *(environment.step(np.zeros(1, np.int64)) for _ in range(2))]
    np.testing.assert_array_equal([timestep.observation[0] for timestep in timesteps], [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert timesteps[0].observation.dtype == np.float32


def test_a_discrete_observation_outside_its_space_is_a_fault() -> None:
    environment = shapes(Discrete(3), [0, 3])
    environment.reset(0)
    with pytest.raises(errors.EnvironmentFault, match=r"step 1: row 0's observation 3 is not in its observation space, Disc"):
        environment.step(np.zeros(1, np.int64))


def test_images_and_scalars_keep_their_shape_and_dtype() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    environment = shapes(Box(0, 255, (2, 3, 4), np.uint8), [image], rows=2)
    assert environment.spec.observation == Array((2, 3, 4), "uint8", 0.0, 255.0)
    np.testing.assert_array_equal(environment.reset(0).observation, [image, image])
    scalar = shapes(Box(-1, 1, (), np.float64), [np.float64(0.5)])
    assert scalar.spec.observation == Array((), "float64", -1.0, 1.0)
    np.testing.assert_array_equal(scalar.reset(0).observation, [0.5])


def test_numbers_of_the_same_kind_are_converted_and_others_are_not() -> None:
    double = shapes(UNLIMITED, [np.array([0.5, 1.0, 2.0])])
    assert double.reset(0).observation.dtype == np.float32
    fraction = shapes(Box(0, 255, (1,), np.uint8), [np.array([0.5])])
    with pytest.raises(errors.EnvironmentFault, match=r"failed at reset: row 0 returned .* float64\[1\]; .* uint8\[1\]"):
        fraction.reset(0)


@pytest.mark.parametrize(
    ("spaces", "sentence"),
    [
        ((Text(3), Discrete(2)), "shows observations from a Text space, .* takes Box, .* or Tuple of such; register it with"),
        (
            (Dict({"a": UNLIMITED, "b": Sequence(UNLIMITED)}), Discrete(2)),
            r"from a Dict space, .* of such, and 'b' is a Sequence; register .*FilterObservation\(.*, \['a'\]\)\)\.$",
        ),
        (
            (UNLIMITED, Tuple((Text(2), Discrete(2)))),
            "takes actions from a Tuple space, .*, and '0' is a Text; register it with",
        ),
        ((Dict({}), Discrete(2)), "shows observations without any part; expected at least one"),
    ],
)
def test_unsupported_spaces_are_refused(spaces: Any, sentence: str) -> None:
    with pytest.raises(errors.UsageError, match=sentence):
        shapes(spaces[0], action_space=spaces[1])


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_render_returns_the_picture_of_row_0(vectorization: str) -> None:
    environment = GymnasiumEnvironment("test/Counting-v0", 2, vectorization, render_mode="rgb_array")
    environment.reset(1001)
    environment.step(np.zeros(2, np.int64))
    picture = environment.render()
    environment.close()
    np.testing.assert_array_equal(picture, np.ones((2, 4, 3), np.uint8))


def test_without_a_render_mode_there_is_no_picture() -> None:
    environment = counting()
    environment.reset(1000)
    assert environment.render() is None
    environment.close()
    environment.close()


def test_worker_processes_need_no_tensorflow() -> None:
    program = "import agentlab_envs.gymnasium.environment, sys; sys.exit('tensorflow' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", program], check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ).returncode
        == 0
    )


# ---- the spec for Gymnasium itself ------------------------------------------------------------------------------------------


def test_gymnasium_makes_the_same_environment_of_the_spec():
    environment = GymnasiumEnvironment("FrozenLake-v1", arguments={"is_slippery": False, "max_episode_steps": 7})
    spec = gymnasium.envs.registration.EnvSpec.from_json(environment.env_spec())
    assert (spec.id, spec.kwargs["is_slippery"], spec.max_episode_steps) == ("FrozenLake-v1", False, 7)
    again = gymnasium.make(spec)
    assert again.get_wrapper_attr("spec").max_episode_steps == 7
    assert not again.unwrapped.P[0][1][1:]  # not slippery: one way each action can lead


def test_wrapped_environments_and_those_of_files_have_no_spec(tmp_path):
    wrapped = GymnasiumEnvironment("CartPole-v1", wrappers=({"name": "TimeLimit", "max_episode_steps": 5},))
    (tmp_path / "own.py").write_text("import gymnasium\n\n\ndef make():\n    return gymnasium.make('CartPole-v1')\n")
    own = GymnasiumEnvironment(f"{tmp_path / 'own.py'}:make")
    assert [wrapped.env_spec(), own.env_spec()] == ["", ""]
