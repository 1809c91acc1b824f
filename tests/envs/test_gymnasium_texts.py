"""Observations of several entries of which some are text; and Gymnasium's own environments of such kinds, as they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import agentlab
from agentlab import errors
from agentlab.program.cli import main
from agentlab.spec import Array
from agentlab_envs.gymnasium import advice
from agentlab_envs.gymnasium.environment import MODES, GymnasiumEnvironment


class Mission(spaces.Space):
    """Texts of a kind of its own, as MiniGrid has them."""

    def __init__(self) -> None:
        super().__init__(dtype=str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return "go to the red door"

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


PLACE = spaces.Box(0, 9, (2,), np.float32)
SHOWN: dict[str, tuple[spaces.Space, Any, dict[str, Any], tuple[str, ...]]] = {
    "entry": (
        spaces.Dict({"mission": spaces.Text(9), "place": PLACE}),
        {"mission": "go", "place": np.float32([1, 2])},
        {"place": [1, 2]},
        ("mission",),
    ),
    "kind of its own": (
        spaces.Dict({"mission": Mission(), "place": PLACE}),
        {"mission": "go", "place": np.float32([1, 2])},
        {"place": [1, 2]},
        ("mission",),
    ),
    "nested": (
        spaces.Dict({"told": spaces.Dict({"a": spaces.Text(9), "b": Mission()}), "own": spaces.Tuple((Mission(), PLACE))}),
        {"told": {"a": "x", "b": "y"}, "own": ("z", np.float32([1, 2]))},
        {"own": {"1": [1, 2]}},
        ("own/0", "told/a", "told/b"),
    ),
    "tuple": (
        spaces.Tuple((PLACE, spaces.Text(9), spaces.Discrete(2))),
        (np.float32([1, 2]), "go", 1),
        {"0": [1, 2], "2": [0, 1]},
        ("1",),
    ),
}


class Telling(gymnasium.Env):
    """Shows what is told of the space `shown` in SHOWN; each third step ends the episode."""

    action_space = spaces.Discrete(2)

    def __init__(self, place: str = "entry", fault: str = "") -> None:
        self.observation_space, self.observation = SHOWN[place][:2]
        self.fault, self.count = fault, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.count = 0
        return self.observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        wrong = {"mission": "go"} if self.fault == "lacks" else {"mission": "go", "place": np.zeros(3, np.float32)}
        return wrong if self.fault else self.observation, 1.0, self.count == 3, False, {}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    gymnasium.register("test/Telling-v0", Telling, disable_env_checker=True)
    advice.warn_once.cache_clear()
    yield
    del gymnasium.registry["test/Telling-v0"]


def made(place: str = "entry", rows: int = 2, **settings: Any) -> GymnasiumEnvironment:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.RunWarning)
        return GymnasiumEnvironment("test/Telling-v0", rows, arguments={"place": place}, **settings)


def as_lists(nest: Any, row: int) -> Any:
    return {name: as_lists(part, row) for name, part in nest.items()} if isinstance(nest, dict) else nest[row].tolist()


@pytest.mark.parametrize("place", SHOWN)
@pytest.mark.parametrize("autoreset", MODES)
def test_entries_that_are_text_are_left_out(place: str, autoreset: str) -> None:
    environment = made(place, autoreset=autoreset)
    timestep = environment.reset(0)
    for _ in range(8):
        assert [as_lists(timestep.observation, row) for row in range(2)] == [SHOWN[place][2]] * 2
        assert [as_lists(timestep.final_observation, row) for row in range(2)] == [SHOWN[place][2]] * 2
        timestep = environment.step(np.zeros(2, np.int64))
    state = environment.state()
    assert as_lists(environment.restore(state), 0) == SHOWN[place][2]


def test_so_they_are_in_processes_of_their_own() -> None:
    environment = made(vectorization="async")
    assert environment.spec.observation == {"place": Array((2,), "float32", 0, 9)}
    environment.reset(0)
    for _ in range(4):
        timestep = environment.step(np.zeros(2, np.int64))
        assert [as_lists(timestep.observation, row) for row in range(2)] == [{"place": [1, 2]}] * 2
    environment.close()


@pytest.mark.parametrize("place", SHOWN)
def test_that_is_told_once(place: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            GymnasiumEnvironment("test/Telling-v0", 2, arguments={"place": place})
    paths = SHOWN[place][3]
    entries = f"entries {', '.join(map(repr, paths))} are" if len(paths) > 1 else f"entry {paths[0]!r} is"
    assert [str(warning.message) for warning in caught] == [
        f"The environment test/Telling-v0 shows text, which models can't read: the {entries} left out of its observations."
    ]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "lacks",
            r"row 0 returned an observation with the entries \['mission'\]; its observation space says \['mission', 'place'\]",
        ),
        ("shape", r"row 0 returned an observation 'place' float32\[3\]; its observation space says float32\[2\]"),
    ],
)
def test_faults_of_other_entries_are_told_as_ever(fault: str, sentence: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.RunWarning)
        environment = GymnasiumEnvironment("test/Telling-v0", arguments={"fault": fault})
    environment.reset(0)
    with pytest.raises(errors.EnvironmentFault, match=sentence):
        environment.step(np.zeros(1, np.int64))


@pytest.mark.parametrize(
    "space",
    [spaces.Text(3), spaces.Dict({"a": spaces.Text(3)}), spaces.Tuple((Mission(), Mission()))],
    ids=["alone", "mapping", "tuple"],
)
def test_an_environment_that_shows_nothing_but_text_is_refused(space: spaces.Space) -> None:
    class Speechless(Telling):
        observation_space = space

        def __init__(self) -> None:
            self.count = 0

    gymnasium.register("test/Speechless-v0", Speechless, disable_env_checker=True)
    try:
        with pytest.raises(errors.UsageError, match=r"shows observations from a .* space, where agentlab takes"):
            GymnasiumEnvironment("test/Speechless-v0")
    finally:
        del gymnasium.registry["test/Speechless-v0"]


SMALL = {
    "model": {"hidden_units": [4]},
    "trainer": {"learning_starts": 8, "update_period": 4},
    "memory": {"capacity": 64, "batch_size": 4},
    "evaluation": {"episodes": 1, "max_episode_steps": 20},
    "steps": 32,
    "execution": "eager",
}


@pytest.mark.slow
@pytest.mark.parametrize("id", ["Blackjack-v1", "Taxi-v4", "test/Telling-v0"])
def test_a_task_runs_in_them_as_they_are(tmp_path: Any, id: str) -> None:
    """Blackjack shows a Tuple, Taxi has masks of actions."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = agentlab.run("dqn", 0, {**SMALL, "environment": {"id": id}}, run_dir=tmp_path / "run")
    assert run.result["steps"] == 32
    assert run.result["updates"] == 7
    assert all(issubclass(warning.category, errors.RunWarning) for warning in caught)


@pytest.mark.slow
def test_minigrid_runs_as_it_is(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--set", "environment.id=minigrid:MiniGrid-Empty-5x5-v0", "--steps", "2000", "--quiet"]
    assert main(["run", "dqn", *chosen, "--run-dir", str(tmp_path / "run")]) == 0
    output, errors_printed = capsys.readouterr()
    assert output.startswith("dqn: return ")
    assert errors_printed == (
        "agentlab: warning: The environment minigrid:MiniGrid-Empty-5x5-v0 shows text, which models can't read: the entry "
        "'mission' is left out of its observations.\n"
    )
    assert main(["evaluate", str(tmp_path / "run"), "--episodes", "2", "--trust"]) == 0
