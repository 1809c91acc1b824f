"""Atari games as the papers preprocess them: ALE's own vector environment, by named protocols."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from typing import Any, Literal

import attrs
import gymnasium
import numpy as np

from agentlab import errors
from agentlab.checks.values import ranges_of
from agentlab.environment import Environment
from agentlab.spec import EnvironmentSpec
from agentlab.system.ranges import HOST_SEED, Range
from agentlab.types import TimeStep
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment

COMMON = {
    "frameskip": 4,  # frames that an action lasts
    "maxpool": True,  # the brighter of the last two of them, pixel by pixel: sprites flicker
    "grayscale": True,
    "img_height": 84,
    "img_width": 84,
    "stack_num": 4,
    "full_action_space": False,
    "reward_clipping": True,  # to -1, 0 and 1
    "max_num_frames_per_episode": 108_000,  # half an hour of play
    "episodic_life": False,  # would begin a new game at every lost life, so that nobody ever saw a second one
}
PRESETS: dict[str, dict[str, Any]] = {
    "deepmind": {
        **COMMON,
        "repeat_action_probability": 0.0,
        "noop_max": 30,
        "use_fire_reset": True,
        "life_loss_info": True,  # a lost life ends the episode, and the game continues
    },
    "v5": {
        **COMMON,
        "repeat_action_probability": 0.25,
        "noop_max": 0,
        "use_fire_reset": False,
        "life_loss_info": False,
    },
}
RESERVED = ("game", "num_envs", "autoreset_mode")  # set by settings of the environment, or by what a time step is
LEAST = {"frameskip": 1, "img_height": 1, "img_width": 1, "stack_num": 1, "noop_max": 0, "max_num_frames_per_episode": 1}
MOST = {
    "frameskip": 1_000,
    "img_height": 1_024,
    "img_width": 1_024,
    "stack_num": 64,
    "noop_max": 10_000,
    "max_num_frames_per_episode": 2**31 - 1,
    "num_threads": 1_024,
    "batch_size": 2**20,
    "thread_affinity_offset": 1_024,
}
LOG_ACTIONS = 2**22  # since the reset, that can be played again, in some ten minutes
ENLARGED = 4  # pixels of a picture to a side of a pixel shown


@attrs.define(slots=False, eq=False)
class Atari(Environment):
    """An Atari game in the Arcade Learning Environment, as stacks of small grey frames `[4, 84, 84]` uint8.

    Preset "deepmind" is the protocol of Mnih et al. (2015), doi:10.1038/nature14236; "v5" that of Machado et al. (2018),
    doi:10.1613/jair.5699; docs/atari.md has both written out. `pip install 'agentlab[atari]'` brings emulator and games.

    Attributes:
        game: ALE's name of it, such as "breakout" or "ms_pacman".
        num_environments: B.
        preset: "deepmind" or "v5".
        arguments: of ale_py.AtariVectorEnv, instead of the preset's: `{"reward_clipping": False}` pays the game's own points.
        render_mode: None, or "rgb_array" for pictures of what the agent sees.

    Raises:
        UsageError: ale-py is not installed, there is no such game, or an argument is unknown.
    """

    game: str = "breakout"
    num_environments: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    preset: Literal["deepmind", "v5"] = attrs.field(default="deepmind", validator=attrs.validators.in_(list(PRESETS)))
    arguments: dict[str, Any] = attrs.field(factory=dict)
    render_mode: str | None = attrs.field(default=None, validator=attrs.validators.in_([None, "human", "rgb_array"]))

    def __attrs_post_init__(self) -> None:
        if self.render_mode == "human":
            raise errors.UsageError(
                "Atari games are shown as the agent sees them, not in a window: play with --video FILE.gif."
            )
        self._told_of_length = False  # that more was played than can be played again
        name, arguments = _id(self.game), {**PRESETS[self.preset], **self.arguments}
        _check(self.arguments, arguments)
        self._inner = _Games(
            name, self.num_environments, vectorization="native", arguments={**arguments, "autoreset_mode": "SameStep"}
        )

    @property
    def spec(self) -> EnvironmentSpec:
        return self._inner.spec

    def reset(self, seed: int) -> TimeStep:
        self._seed, self._played = seed, bytearray()
        timestep = self._inner.reset(seed)
        self._observation = timestep.observation.copy()
        return timestep

    def step(self, action: np.ndarray) -> TimeStep:
        timestep = self._inner.step(action)
        np.copyto(self._observation, timestep.observation)  # receivers may change arrays of a time step
        if self._is_whole:
            self._played += np.asarray(action, np.uint8).tobytes()  # at most 18 actions
        return timestep

    @property
    def _is_whole(self) -> bool:
        """Whether all actions since the reset are in the log, which is of bounded size."""
        return len(self._played) <= LOG_ACTIONS

    def inexact(self) -> str:
        return ""

    def state(self) -> dict[str, np.ndarray]:
        if not self._is_whole:
            self._tell_of_length()
            return {}
        actions = np.frombuffer(bytes(self._played), np.uint8).reshape(-1, self.num_environments)
        return {"seed": np.array(self._seed), "actions": actions, "observation": self._observation.copy()}

    def _tell_of_length(self) -> None:
        if not self._told_of_length:
            self._told_of_length = True
            warnings.warn(
                f"More than {LOG_ACTIONS:,} actions were taken in {self.game}, which is more than are kept to be played again. "
                "A run that is resumed from here begins new games, so it is not exactly resumable.",
                errors.RunWarning,
                stacklevel=2,
            )

    def ranges(self) -> dict[str, Range]:
        return {"seed": HOST_SEED, **ranges_of(self.spec.action, "actions")}

    def restore(self, state: dict[str, np.ndarray]) -> np.ndarray:
        """Plays all actions since `reset` again: ALE's vector class gives out no state, and a seed and actions determine it."""
        timestep = self.reset(int(state["seed"]))
        for action in state["actions"]:
            timestep = self.step(action)  # cast to the dtype of the spec there
        if not np.array_equal(timestep.observation, state["observation"]):
            raise errors.EnvironmentFault(
                f"{self.game}, played again from its seed and {len(state['actions']):,} actions, shows something else than in "
                "the run. Resume with the version of ale-py that the run had."
            )
        return timestep.observation

    def render(self) -> np.ndarray | None:
        if self.render_mode is None:
            return None
        frame = self._observation[0, -1]
        coloured = frame if frame.ndim == 3 else np.repeat(frame[:, :, None], 3, axis=2)
        return coloured.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)

    def close(self) -> None:
        self._inner.close()


class _Games(GymnasiumEnvironment):
    """ALE's vector class, except that an episode has no final observation of its own if the game continues with fewer lives."""

    def _reset_vector(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = super()._reset_vector(seed, options)
        self._lives = np.array(info["lives"])
        return observation, info

    def _step_native(self, action: np.ndarray) -> Any:
        observation, rewards, terminated, truncated, info = super()._step_native(action)
        before, self._lives = self._lives, np.array(info["lives"])
        goes_on = terminated & (self._lives < before)  # a new game has more
        if goes_on.any():
            info["final_obs"] = np.where(goes_on.reshape(-1, *[1] * (observation.ndim - 1)), observation, info["final_obs"])
        return observation, rewards, terminated, truncated, info


def _check(settings: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Raises UsageError for arguments that ALE doesn't have or that aren't its user's, and for numbers out of range."""
    from ale_py.vector_env import AtariVectorEnv

    known = [name for name in inspect.signature(AtariVectorEnv).parameters if name not in RESERVED]
    for name in settings:
        if name not in known:
            raise errors.UsageError(errors.unknown("argument", name, known) + " They are those of ale_py.AtariVectorEnv.")
    for name, most in MOST.items():
        least, value = LEAST.get(name, -1), arguments.get(name, 1)
        if not isinstance(value, int) or not least <= value <= most:
            raise errors.UsageError(
                f"Argument {name!r} of 'atari' is {errors.quoted(value)}; expected a whole number from {least} up to {most:,}."
            )

    # ALE itself takes any number here and plays on.
    probability = arguments["repeat_action_probability"]
    if not isinstance(probability, (int, float)) or not 0.0 <= probability <= 1.0:
        raise errors.UsageError(f"Argument 'repeat_action_probability' of 'atari' is {probability!r}; expected 0 to 1.")


def _id(game: str) -> str:
    """Returns Gymnasium's id of a game.

    Raises:
        UsageError: there is none, or no emulator.
    """
    if importlib.util.find_spec("ale_py") is None:
        raise errors.UsageError("Environment 'atari' needs ale-py, which brings the games: pip install 'agentlab[atari]'.")
    with warnings.catch_warnings():  # it adds a filter of its own to the process's
        import ale_py  # noqa: F401 - registers the games with Gymnasium

    specs = [spec for name, spec in gymnasium.registry.items() if name.startswith("ALE/") and name.endswith("-v5")]
    games = {spec.kwargs["game"]: spec.id for spec in specs}
    if game not in games:
        raise errors.UsageError(errors.unknown("game", game, games))
    return games[game]
