"""Any Gymnasium environment, by its id, as B host environments side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

from agentlab import errors
from agentlab.environment import Environment
from agentlab.spec import EnvironmentSpec
from agentlab.types import TimeStep
from agentlab_envs.gymnasium import making as making
from agentlab_envs.gymnasium import repeats as repeats
from agentlab_envs.gymnasium import workers as workers
from agentlab_envs.gymnasium.replay import EpisodeLog
from agentlab_envs.gymnasium.rows import Row, Rows, fits, mismatch

MODES = {
    "same_step": AutoresetMode.SAME_STEP,
    "next_step": AutoresetMode.NEXT_STEP,
    "disabled": AutoresetMode.DISABLED,
}
FLOAT32_MAX = float(np.finfo(np.float32).max)


@attrs.define(slots=False, eq=False, on_setattr=attrs.setters.NO_OP)  # a hook at every assignment is felt at every step
class GymnasiumEnvironment(Environment):
    """Wraps Gymnasium's vector environments. Every autoreset mode comes out as the TimeStep contract says; infos are dropped.

    Observations are those of a Box space, or one-hot float32 for a Discrete one; actions are Discrete, counted from 0 wherever
    the space starts, or a Box's. An environment of the old gym package is "GymV26Environment-v0/ID", or
    "GymV21Environment-v0/ID" if its `step` returns four values; `pip install 'agentlab[gym]'` brings what that takes.

    Attributes:
        id: Gymnasium's; "module:ID" imports the module that registers it.
        num_environments: B.
        vectorization: "sync", one after the other; "async", each in a process; "native", the environment's own vector class.
        autoreset: "same_step", "next_step" or "disabled" (ended rows are then reset here); "auto" is what a native vector
            class declares, and same_step for the others.
        arguments: for the environment's constructor.
        render_mode: None, "human" or "rgb_array".
        timeout: seconds that a worker process of "async" may take for a step or a reset, before it counts as hung.

    Raises:
        UsageError: the id, its package, an argument, a space or the autoreset mode is unknown, missing or unsupported.
    """

    id: str = "CartPole-v1"
    num_environments: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    vectorization: str = attrs.field(default="sync", validator=attrs.validators.in_(["sync", "async", "native"]))
    autoreset: str = attrs.field(default="auto", validator=attrs.validators.in_(["auto", *MODES]))
    arguments: dict[str, Any] = attrs.field(factory=dict)
    render_mode: str | None = attrs.field(default=None, validator=attrs.validators.in_([None, "human", "rgb_array"]))

    timeout: float = attrs.field(default=8.0, validator=attrs.validators.gt(0))

    def __attrs_post_init__(self) -> None:
        rendering = {} if self.render_mode is None else {"render_mode": self.render_mode}
        self._steps = 0
        self._vector = making.make_vector(self.id, {**rendering, **self.arguments}, self._vectorize)
        try:
            self._mode = self._settle_mode()
            self._spec = making.environment_spec(self.id, self._vector)
        except errors.UsageError:
            self.close()
            raise
        if self.vectorization != "native":
            self._vector.set_attr("row", list(range(self.num_environments)))  # type: ignore[attr-defined]
        space = self._vector.single_observation_space
        self._shape, self._dtype = (self.num_environments, *space.shape), space.dtype  # type: ignore[misc]
        self._values = np.arange(space.start, space.start + space.n) if isinstance(space, gymnasium.spaces.Discrete) else None
        self._first_action = getattr(self._vector.single_action_space, "start", 0)
        self._ended = np.zeros(self.num_environments, np.bool_)
        by_class = {"sync": self._vector.step, "async": self._step_async, "native": self._step_native}
        self._step_vector: Callable[[np.ndarray], Any] = by_class[self.vectorization]
        self._begins_late = self._mode is AutoresetMode.NEXT_STEP
        self._log = EpisodeLog(self.num_environments)
        self._all = np.ones(self.num_environments, np.bool_)

    @property
    def spec(self) -> EnvironmentSpec:
        return self._spec

    def reset(self, seed: int) -> TimeStep:
        self._steps = 0
        self._log.begin(int(seed))
        observation = self._observation = self._observed(self._ask(self._reset_vector, seed=int(seed))[0])
        self._ended = np.zeros(self.num_environments, np.bool_)
        return TimeStep.reset(observation)

    def step(self, action: np.ndarray) -> TimeStep:
        self._steps += 1
        outward = self._outward(action)
        found, rewards, terminated, truncated, info = self._ask(self._step_vector, outward)
        observation = final_observation = self._copied(found)
        self._require(np.abs(rewards) <= FLOAT32_MAX, rewards, "reward")  # nan compares as False
        reward, ended = rewards.astype(np.float32), terminated | truncated
        if self._begins_late:
            previously_ended, self._ended, self._observation = self._ended, ended, observation
            self._log.add(outward, previously_ended if np.count_nonzero(previously_ended) else None)
            return TimeStep(observation, reward, terminated, truncated, observation, acted=~previously_ended)
        any_ended = np.count_nonzero(ended)
        if any_ended:
            observation, final_observation = self._begun(observation, ended, info)
        self._log.add(outward, ended if any_ended else None)
        self._observation = observation
        return TimeStep(observation, reward, terminated, truncated, final_observation, acted=self._all)

    def inexact(self) -> str:
        if self.vectorization == "native":
            return "its own vector class keeps its state to itself"
        return repeats.why_not(lambda: attrs.evolve(self, num_environments=1, vectorization="sync", render_mode=None))

    def state(self) -> dict[str, np.ndarray]:
        if self.vectorization == "native":
            return {}
        now = {"steps": np.array(self._steps), "ended": self._ended.copy(), "observation": self._observation.copy()}
        return {**self._log.state(), **now}

    def restore(self, state: dict[str, np.ndarray]) -> np.ndarray:
        replays = self._log.restore(state)
        self._vector.set_attr("replaying", replays)  # type: ignore[attr-defined]
        observation = self._observed(self._ask(self._reset_vector, seed=int(state["seed"]))[0])
        if self._begins_late:
            self._ended = np.array(state["ended"], np.bool_)
            self._vector.set_attr("standing", self._ended.tolist())  # type: ignore[attr-defined]
            any_action = np.zeros((self.num_environments, *self._spec.action.shape), self._spec.action.dtype)
            self._ask(self._step_vector, any_action + self._first_action)
        self._steps = int(state["steps"])
        if not np.array_equal(observation, state["observation"]):
            raise self._fault("played again from its seeds and actions, it shows something else than it did in the run.")
        self._observation = observation
        return observation

    def render(self) -> np.ndarray | None:
        if self.render_mode is None:
            return None
        frames = self._ask(self._vector.render)
        return frames[0] if frames and isinstance(frames[0], np.ndarray) else None

    def close(self) -> None:
        if self._vector.closed:
            return
        if isinstance(self._vector, AsyncVectorEnv):
            workers.close(self._vector)
        else:
            self._ask(self._vector.close)

    def _vectorize(self, id: str, arguments: dict[str, Any]) -> VectorEnv:
        """Returns the vector; raises Gymnasium's own errors, for `make_vector` to explain."""
        if self.vectorization == "native":
            if id in gymnasium.registry and gymnasium.registry[id].vector_entry_point is None:
                raise gymnasium.error.UnsupportedMode("it has no vector class of its own; use vectorization 'sync' or 'async'.")
            return gymnasium.make_vec(id, self.num_environments, "vector_entry_point", **arguments)
        mode = MODES.get(self.autoreset, AutoresetMode.SAME_STEP)
        if self.vectorization == "sync":
            return Rows(id, self.num_environments, mode, arguments)
        vectorizer = {"autoreset_mode": mode, "copy": False}  # copied here anyway
        rows: dict[str, Any] = {"vector_kwargs": vectorizer, "wrappers": [Row]}
        return gymnasium.make_vec(id, self.num_environments, "async", **rows, **arguments)

    def _settle_mode(self) -> AutoresetMode:
        """Returns what the vector really does at an episode's end."""
        declared = self._vector.metadata.get("autoreset_mode")
        if not isinstance(declared, AutoresetMode):
            raise errors.UsageError(
                f"{self.id}'s own vector class does not say how it resets: metadata['autoreset_mode'] is {declared!r}; "
                "use vectorization 'sync' or 'async'."
            )
        if self.autoreset != "auto" and MODES[self.autoreset] is not declared:
            name = next(name for name, mode in MODES.items() if mode is declared)
            raise errors.UsageError(
                f"{self.id}'s own vector class resets in mode '{name}', not '{self.autoreset}'; "
                "leave autoreset at 'auto', or use vectorization 'sync' or 'async'."
            )
        return declared

    def _step_async(self, action: np.ndarray) -> Any:
        return workers.step(self._vector, action, self.timeout)  # type: ignore[arg-type]

    def _step_native(self, action: np.ndarray) -> Any:
        """Returns what a step of somebody else's vector class returned, in the shapes and dtypes of Gymnasium's own."""
        found, reward, terminated, truncated, info = self._vector.step(action)
        rewards = np.asarray(reward, np.float64)
        if rewards.shape != self._ended.shape:
            raise errors.EnvironmentFault(f"it returned rewards of shape {rewards.shape}; expected {self._ended.shape}.")
        flags = np.array((terminated, truncated), np.bool_)
        if flags.shape != (2, self.num_environments):
            shapes = f"{np.shape(terminated)} and {np.shape(truncated)}"
            raise errors.EnvironmentFault(
                f"it returned terminated and truncated of shapes {shapes}; expected {self._ended.shape}."
            )
        return self._conformed(found), rewards, *flags, info

    def _reset_vector(self, **arguments: Any) -> Any:
        if isinstance(self._vector, AsyncVectorEnv):
            return workers.reset(self._vector, self.timeout, **arguments)
        return self._vector.reset(**arguments)

    def _ask(self, function: Callable[..., Any], *positional: Any, **named: Any) -> Any:
        try:
            return function(*positional, **named)
        except gymnasium.error.DependencyNotInstalled as error:
            raise errors.UsageError(making.missing(self.id, error)) from error
        except errors.EnvironmentFault as error:
            raise self._fault(str(error)) from error
        except Exception as error:
            told = None
            if isinstance(self._vector, AsyncVectorEnv):
                told = workers.complaint(self._vector, error, self.timeout)
            raise self._fault(told or f"it raised {type(error).__name__}: {error}") from error

    def _fault(self, what: str) -> errors.EnvironmentFault:
        when = f"vector step {self._steps}" if self._steps else "reset"
        return errors.EnvironmentFault(f"The environment {self.id} failed at {when}: {what}")

    def _outward(self, action: Any) -> np.ndarray:
        """Returns actions as the Gymnasium space counts them."""
        action = np.asarray(action)
        expected = (self.num_environments, *self._spec.action.shape)
        if action.shape != expected:
            raise errors.UsageError(f"{self.id} got actions of shape {action.shape}; expected {expected}.")
        return action + self._first_action if self._first_action else action

    def _observed(self, found: Any, rows: Any = None) -> np.ndarray:
        """Returns a copy of the observations found, of `rows` or of all, checked, and one-hot where they are Discrete."""
        return self._copied(self._ask(self._conformed, found, rows), rows)

    def _conformed(self, found: Any, rows: Any = None) -> np.ndarray:
        found = np.asarray(found)
        shape = self._shape if rows is None else (len(rows), *self._shape[1:])
        if found.shape != shape or not fits(found, self._dtype):
            raise errors.EnvironmentFault(f"its vector class {mismatch(found, shape, self._dtype)}")
        return found

    def _copied(self, found: np.ndarray, rows: Any = None) -> np.ndarray:
        array = np.array(found, self._dtype)
        if array.dtype.kind == "f":
            self._require(np.isfinite(array), array, "observation", rows)
        return array if self._values is None else self._one_hot(array, rows)

    def _one_hot(self, array: np.ndarray, rows: Any) -> np.ndarray:
        matches = array[:, None] == self._values
        known = matches.any(1)
        if not known.all():
            row = int(np.argmin(known) if rows is None else rows[np.argmin(known)])
            space = self._vector.single_observation_space
            raise self._fault(f"row {row}'s observation {array[np.argmin(known)]} is not in its observation space, {space}.")
        return matches.astype(np.float32)

    def _require(self, finite: np.ndarray, array: np.ndarray, what: str, rows: Any = None) -> None:
        if np.count_nonzero(finite) != array.size:  # a fifth of what all() takes
            position = tuple(np.argwhere(~finite)[0].tolist())
            row, element = (position[0] if rows is None else int(rows[position[0]])), list(position[1:]) or ""
            raise self._fault(f"row {row}'s {what}{element} is {array[position]}; expected a finite float32 number.")

    def _begun(self, observation: np.ndarray, ended: np.ndarray, info: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Returns what to act on, the first observation where an episode `ended`; and what the actions led to."""
        rows = np.flatnonzero(ended)
        acted_on, final_observation = observation.copy(), observation.copy()
        if self._mode is AutoresetMode.DISABLED:
            fresh = self._ask(self._reset_vector, options={"reset_mask": ended.copy()})[0]
            acted_on[rows] = self._observed(fresh)[rows]
        elif "final_obs" in info:
            finals = self._ask(np.stack, [info["final_obs"][row] for row in rows.tolist()])
            final_observation[rows] = self._observed(finals, rows)
        else:
            raise self._fault("its vector class gave no final_obs, which autoreset mode same_step promises.")
        return acted_on, final_observation
