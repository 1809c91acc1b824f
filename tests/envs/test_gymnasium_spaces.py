"""Gymnasium's Dict, Tuple, MultiDiscrete and MultiBinary spaces, bounds per element and masks of actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agentlab import errors
from agentlab.spec import Array, Discrete, MultiBinary, MultiDiscrete
from agentlab_envs.gymnasium.environment import MODES, GymnasiumEnvironment
from agentlab_envs.gymnasium.replay import episode_seed

LIMITS = spaces.Box(np.float32([-1, -10]), np.float32([1, 0]))
OBSERVATION = spaces.Dict(
    {
        "camera": spaces.Dict({"left": spaces.Box(0, 255, (2, 2), np.uint8)}),
        "pair": spaces.Tuple((spaces.Discrete(3, start=1), LIMITS)),
        "choices": spaces.MultiDiscrete([[2, 3], [2, 2]], start=[[5, 0], [0, -1]]),
        "flags": spaces.MultiBinary(3),
    }
)
ACTION = spaces.Tuple((spaces.Discrete(3, start=-1), spaces.Dict({"drive": LIMITS, "gears": spaces.MultiDiscrete([2, 4])})))


class Nested(gymnasium.Env):
    """Shows all kinds of spaces, which count its steps, in arrays that it overwrites; each third step ends the episode.

    The reward is what the parts of the action add up to, which it then overwrites. Row 1's third step may have a `fault`.
    """

    observation_space, action_space = OBSERVATION, ACTION

    def __init__(self, fault: str = "", fresh: bool = False) -> None:
        self.fault, self.fresh, self.row = fault, fresh, 0
        self.image, self.numbers = np.zeros((2, 2), np.uint8), np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        self.row = self.row if seed is None else seed % 2
        self.count = 0
        return self.show(), {}

    def show(self) -> dict[str, Any]:
        if self.fresh:
            self.image, self.numbers = self.image.copy(), self.numbers.copy()
        self.image[...], self.numbers[...] = 10 * self.row + self.count, (0, -self.count)
        choices = np.array([[5, 2], [self.count % 2, -1]])
        flags = np.array([1, 0, self.count % 2], np.int8)
        return {
            "camera": {"left": self.image},
            "pair": (1 + self.count % 3, self.numbers),
            "choices": choices,
            "flags": flags,
        }

    def step(self, action: Any) -> tuple[Any, ...]:
        assert self.action_space.contains(action), action
        turn, rest = action
        reward = 100.0 * turn + float(rest["drive"].sum()) + 10.0 * float(rest["gears"] @ [1, 2])
        rest["drive"][...] = rest["gears"][...] = 77
        self.count += 1
        observation = self.show()
        if self.row == 1 and self.count == 3:
            observation.update(FAULTS[self.fault][0])
        return observation, reward, self.count == 3, False, {}


IMAGE = np.zeros((2, 2), np.uint8)
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "": ({}, ""),
    "shape": (
        {"camera": {"left": np.zeros(4, np.uint8)}},
        r"row 1 returned an observation 'camera/left' uint8\[4\]; .* uint8\[2, 2\]\.$",
    ),
    "entry": ({"camera": {}}, r"row 1 returned an observation 'camera' with no entries but a dict; .* \['left'\]\.$"),
    "parts": ({"pair": (1,)}, r"row 1 returned an observation 'pair' with the entries \[0\]; .* \[0, 1\]\.$"),
    "no mapping": (
        {"camera": IMAGE.tolist()},
        r"row 1 returned an observation 'camera' with the entries \[0, 1\]; .*\['left'\]\.$",
    ),
    "nan": (
        {"pair": (1, np.float32([0, np.nan]))},
        r"row 1's observation 'pair/1'\[1\] is nan; expected a finite float32 number\.$",
    ),
    "symbol": ({"pair": (0, np.zeros(2, np.float32))}, r"row 1's observation 'pair/0' 0 is not in its observation space, Disc"),
    "choice": ({"choices": np.array([[7, 0], [0, 0]])}, r"row 1's observation 'choices'\[0, 0\] is 7; expected 5 to 6\.$"),
    "flag": ({"flags": np.int8([0, 2, 0])}, r"row 1's observation 'flags'\[1\] is 2; expected 0 to 1\.$"),
}


class Masked(gymnasium.Env):
    """Allows action `count % 3` only; `masks` names what its infos hold."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3)

    def __init__(self, masks: str = "each", several: bool = False, in_observation: bool = False) -> None:
        self.masks = masks
        if several:
            self.action_space = spaces.MultiDiscrete([3, 2])
        if in_observation:
            self.observation_space = spaces.Dict({"place": self.observation_space, "action_mask": spaces.MultiBinary(3)})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        self.count = 0
        return self.show(), {} if self.masks == "none" else self.info()

    def show(self) -> Any:
        place = np.zeros(2, np.float32)
        both = {"place": place, "action_mask": np.arange(3) == 0}
        return both if isinstance(self.observation_space, spaces.Dict) else place

    def info(self) -> dict[str, Any]:
        allowed = (np.arange(3) == self.count % 3).astype(np.int8)
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return {"action_mask": (allowed, np.int8([1, 0]))}
        return {"action_mask": {"short": allowed[:2], "two": 2 * allowed}.get(self.masks, allowed)}

    def step(self, action: Any) -> tuple[Any, ...]:
        assert np.ravel(action)[0] == self.count % 3, "not allowed"
        self.count += 1
        over = self.count == 4
        return self.show(), 1.0, over, False, {} if over else self.info()


class SelfMasked(Masked):
    """Says by an attribute that it has masks, as Gymnasium's Taxi does."""

    def action_mask(self) -> np.ndarray:
        return np.ones(3, np.int8)


class NestedVector(SyncVectorEnv):
    """Gymnasium's own vector class, as somebody else's; its `final_obs` holds the very arrays that environments show."""

    def __init__(self, num_envs: int, fault: str = "", max_episode_steps: int | None = None) -> None:
        super().__init__([lambda: Nested(fault, fresh=True)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


ENTRIES: dict[str, Any] = {"Nested": Nested, "Masked": Masked, "SelfMasked": SelfMasked}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    for name, entry in ENTRIES.items():
        vector = NestedVector if entry is Nested else None
        gymnasium.register(f"test/{name}-v0", entry, disable_env_checker=True, vector_entry_point=vector)
    yield
    for name in ENTRIES:
        del gymnasium.registry[f"test/{name}-v0"]


def nested(vectorization: str = "sync", autoreset: str = "auto", fault: str = "") -> GymnasiumEnvironment:
    return GymnasiumEnvironment("test/Nested-v0", 2, vectorization, autoreset, {"fault": fault})


def action() -> dict[str, Any]:
    """Row 0 turns by -1 and row 1 by 1."""
    drive, gears = np.float32([[0.5, -2.0], [1.0, -10.0]]), np.array([[0, 3], [1, 0]])
    return {"0": np.array([0, 2]), "1": {"drive": drive, "gears": gears}}


REWARDS = [-100 + 0.5 - 2 + 60, 100 + 1 - 10 + 10]


def test_spaces_of_several_parts_are_mappings() -> None:
    environment = nested()
    bounds = Array((2,), "float32", [-1, -10], [1, 0])
    assert environment.spec.observation == {
        "camera": {"left": Array((2, 2), "uint8", 0, 255)},
        "pair": {"0": Array((3,), "float32", 0, 1), "1": bounds},
        "choices": MultiDiscrete((2, 3, 2, 2), start=(5, 0, 0, -1)),
        "flags": MultiBinary((3,)),
    }
    assert environment.spec.action == {"0": Discrete(3, start=-1), "1": {"drive": bounds, "gears": MultiDiscrete((2, 4))}}


@pytest.mark.parametrize(
    ("vectorization", "autoreset"), [*((name, mode) for name in ("sync", "async") for mode in MODES), ("native", "auto")]
)
def test_nests_cross_in_every_vectorization_and_mode(vectorization: str, autoreset: str) -> None:
    environment, taken = nested(vectorization, autoreset), action()
    timestep = environment.reset(0)
    observations = [timestep.observation]
    for count in range(1, 4):
        timestep = environment.step(taken)
        observations.append(timestep.final_observation)
        np.testing.assert_array_equal(timestep.reward, np.float32(REWARDS))
        np.testing.assert_array_equal(timestep.terminated, [count == 3] * 2)
    begun = environment.step(taken) if autoreset == "next_step" else timestep
    environment.close()
    for count, observation in enumerate(observations):
        np.testing.assert_array_equal(observation["camera"]["left"][:, 0, 0], [count, 10 + count])
        np.testing.assert_array_equal(observation["pair"]["0"], np.eye(3, dtype=np.float32)[[count % 3] * 2])
        np.testing.assert_array_equal(observation["pair"]["1"], np.float32([[0, -count]] * 2))
        np.testing.assert_array_equal(observation["choices"], [[0, 2, count % 2, 0]] * 2)
        np.testing.assert_array_equal(observation["flags"], [[1, 0, count % 2]] * 2)
    following = [0, 1] if vectorization == "native" else [episode_seed(row, 1) % 2 for row in range(2)]
    np.testing.assert_array_equal(begun.observation["camera"]["left"][:, 0, 0], 10 * np.array(following))
    np.testing.assert_array_equal(begun.observation["flags"][:, 2], [0, 0])
    for name, array in {"turn": taken["0"], **taken["1"]}.items():
        np.testing.assert_array_equal(array, {"turn": action()["0"], **action()["1"]}[name])


@pytest.mark.parametrize("fault", [name for name in FAULTS if name])
@pytest.mark.parametrize("autoreset", MODES)
def test_faults_name_row_step_and_entry(fault: str, autoreset: str) -> None:
    environment = nested("sync", autoreset, fault)
    environment.reset(0)
    for _ in range(2):
        environment.step(action())
    with pytest.raises(
        errors.EnvironmentFault, match=r"^The environment test/Nested-v0 failed at vector step 3: " + FAULTS[fault][1]
    ):
        environment.step(action())


@pytest.mark.parametrize("fault", ["shape", "nan"])
@pytest.mark.parametrize("vectorization", ["async", "native"])
def test_faults_of_entries_are_told_in_every_vectorization(vectorization: str, fault: str) -> None:
    environment = nested(vectorization, fault=fault)
    environment.reset(0)
    for _ in range(2):
        environment.step(action())
    with pytest.raises(errors.EnvironmentFault, match="failed at vector step 3: "):
        environment.step(action())
    environment.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"0": np.array([0, 3])}, r"row 1's action '0' is 3; expected 0 to 2\.$"),
        ({"0": np.array([0.5, 1.0])}, r"its action '0' has dtype float64; expected int64\.$"),
        ({"1": {}}, r"its action '1' has \[\]; expected the entries \['drive', 'gears'\]\.$"),
        (
            {"1": {"drive": np.full((2, 2), np.nan, np.float32), "gears": np.zeros((2, 2), np.int64)}},
            "action '1/drive'.* is nan",
        ),
    ],
)
def test_actions_that_are_none_of_the_environments_are_refused(change: dict[str, Any], sentence: str) -> None:
    environment = nested()
    environment.reset(0)
    with pytest.raises(errors.UsageError, match=r"^test/Nested-v0 can't take its actions at vector step 1: .*" + sentence):
        environment.step({**action(), **change})
    np.testing.assert_array_equal(environment.step(action()).reward, np.float32(REWARDS))


@pytest.mark.pairwise
@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("autoreset", MODES)
@pytest.mark.parametrize("steps", [0, 2, 3, 5])
def test_a_state_of_nests_is_played_again(vectorization: str, autoreset: str, steps: int) -> None:
    first, second = nested(vectorization, autoreset), nested(vectorization, autoreset)
    observation = first.reset(0).observation
    for _ in range(steps):
        observation = first.step(action()).observation
    state = first.state()
    assert state["actions/1/drive"].shape == (state["lengths"].sum(), 2)
    restored = second.restore(state)
    np.testing.assert_equal(restored, observation)
    for _ in range(4):
        ours, theirs = first.step(action()), second.step(action())
        np.testing.assert_equal(theirs.observation, ours.observation)
        np.testing.assert_array_equal(theirs.acted, ours.acted)
        np.testing.assert_array_equal(theirs.reward, ours.reward)
    for environment in (first, second):
        environment.close()
    with pytest.raises(errors.EnvironmentFault, match="holds no log of the episodes of 2 environments"):
        nested().restore({**state, "actions/0": state["actions/0"].astype(np.int32)})


def test_episodes_of_nests_are_tried_out() -> None:
    assert nested().inexact() == ""


def test_blackjack_has_three_entries() -> None:
    environment = GymnasiumEnvironment("Blackjack-v1", 3)
    assert environment.spec.observation == {str(index): Array((n,), "float32", 0, 1) for index, n in enumerate((32, 11, 2))}
    timestep = environment.reset(0)
    for _ in range(30):
        assert all((array.sum(1) == 1).all() for array in timestep.observation.values())
        timestep = environment.step(np.ones(3, np.int64))


def test_bounds_are_those_of_each_element() -> None:
    environment = GymnasiumEnvironment("Pendulum-v1")
    assert environment.spec.observation == Array((3,), "float32", [-1, -1, -8], [1, 1, 8])


# ---- masks ------------------------------------------------------------------------------------------------------------------


def masked(
    name: str = "SelfMasked", vectorization: str = "sync", autoreset: str = "auto", action_mask: str = "auto", **arguments: Any
) -> Any:
    return GymnasiumEnvironment(f"test/{name}-v0", 2, vectorization, autoreset, arguments, action_mask=action_mask)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("autoreset", MODES)
def test_masks_in_infos_are_an_entry_of_the_observation(vectorization: str, autoreset: str) -> None:
    environment = masked(vectorization=vectorization, autoreset=autoreset)
    assert environment.spec.observation == {"observation": Array((2,), minimum=-1, maximum=1), "action_mask": MultiBinary((3,))}
    assert environment.spec.seen == Array((2,), minimum=-1, maximum=1)
    mask = environment.reset(0).observation["action_mask"]
    for count in range(4):
        np.testing.assert_array_equal(mask, [np.arange(3) == count % 3] * 2)
        timestep = environment.step(mask.argmax(1))
        mask = timestep.observation["action_mask"]
    np.testing.assert_array_equal(timestep.final_observation["action_mask"], np.ones((2, 3)))  # it gave none there
    begun = environment.step(np.zeros(2, np.int64)) if autoreset == "next_step" else timestep
    np.testing.assert_array_equal(begun.observation["action_mask"], [[1, 0, 0]] * 2)
    environment.close()


def test_masks_are_taken_where_they_are_asked_for() -> None:
    assert masked("Masked").spec.observation == Array((2,), minimum=-1, maximum=1)
    assert masked("SelfMasked", action_mask="none").spec.observation == Array((2,), minimum=-1, maximum=1)
    assert masked("Masked", action_mask="info").spec.has_mask
    several = masked("Masked", action_mask="info", several=True)
    np.testing.assert_array_equal(several.reset(0).observation["action_mask"], [[1, 0, 0, 1, 0]] * 2)
    assert several.inexact() == ""


def test_a_mask_that_is_shown_already_stays_as_it_is() -> None:
    environment = masked(in_observation=True)
    assert environment.spec.observation == {"place": Array((2,), minimum=-1, maximum=1), "action_mask": MultiBinary((3,))}
    np.testing.assert_array_equal(environment.reset(0).observation["action_mask"], [[1, 0, 0]] * 2)


def test_trying_out_episodes_takes_allowed_actions_only() -> None:
    assert masked().inexact() == ""


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        ("none", "row 0's reset returned an info without 'action_mask'; set environment.action_mask to 'none' if there are no"),
        ("short", r"row 0 returned an observation 'action_mask' int8\[2\]; its observation space says int8\[3\]\.$"),
        ("two", r"row 0's observation 'action_mask'\[0\] is 2; expected 0 to 1\.$"),
    ],
)
def test_wrong_masks_are_faults(masks: str, sentence: str) -> None:
    with pytest.raises(errors.EnvironmentFault, match="^The environment test/SelfMasked-v0 failed at reset: " + sentence):
        masked(masks=masks).reset(0)


def test_masks_need_choices_and_a_vector_of_ours() -> None:
    with pytest.raises(errors.UsageError, match="takes actions from a Box space; expected Discrete or MultiDiscrete"):
        GymnasiumEnvironment("Pendulum-v1", action_mask="info")
    with pytest.raises(errors.UsageError, match="'info' can't be set with vectorization 'native'; use 'sync' or 'async'"):
        GymnasiumEnvironment("CartPole-v1", vectorization="native", action_mask="info")


def test_taxis_masks_are_its_own() -> None:
    environment = GymnasiumEnvironment("Taxi-v4", 2)
    timestep = environment.reset(0)
    for _ in range(20):
        mask, state = timestep.observation["action_mask"], timestep.observation["observation"].argmax(1)
        taxi = environment._vector.envs[0].unwrapped  # type: ignore[attr-defined]
        np.testing.assert_array_equal(mask, [taxi.action_mask(place) for place in state])
        timestep = environment.step(mask.argmax(1))
