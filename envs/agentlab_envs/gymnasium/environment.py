"""Any Gymnasium environment, by its id, as B host environments side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import attrs
import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from agentlab import errors
from agentlab.checks.timesteps import CheckedTimeStep, TimeStepCheck, failure, unfit_action
from agentlab.checks.values import as_ends, as_rewards, finite_rewards, ranges_of
from agentlab.environment import Environment
from agentlab.foreign import guard
from agentlab.registry.environment_objects import display_name
from agentlab.spec import EnvironmentSpec, blank, leaves_of, map_space, pairs_of
from agentlab.system import screen, tracebacks
from agentlab.system.ranges import COUNT, Range
from agentlab.types import Nest, TimeStep, any_true
from agentlab_envs.gymnasium import making as making
from agentlab_envs.gymnasium import masks as masks
from agentlab_envs.gymnasium import repeats as repeats
from agentlab_envs.gymnasium import texts as texts
from agentlab_envs.gymnasium import wrapping as wrapping
from agentlab_envs.gymnasium.observations import Actions, Observations
from agentlab_envs.gymnasium.pictures import picture
from agentlab_envs.gymnasium.pools import Pool
from agentlab_envs.gymnasium.processes.backend import Backend
from agentlab_envs.gymnasium.processes.cluster import RayActors
from agentlab_envs.gymnasium.processes.local import LocalProcesses
from agentlab_envs.gymnasium.processes.workers import Workers
from agentlab_envs.gymnasium.replay import EpisodeLog
from agentlab_envs.gymnasium.rows import Rows

MODES = {
    "same_step": AutoresetMode.SAME_STEP,
    "next_step": AutoresetMode.NEXT_STEP,
    "disabled": AutoresetMode.DISABLED,
}
NATIVE = ("native", "envpool")  # vectors of others, which step all rows in one call
BACKENDS: dict[str, Callable[[], Backend]] = {"async": LocalProcesses, "ray": RayActors}  # of vectors of workers
MOST_PROCESSES = 1_024
DAY = 86_400.0  # seconds


@attrs.define(slots=False, eq=False, on_setattr=attrs.setters.NO_OP)  # a hook at every assignment is felt at every step
class GymnasiumEnvironment(Environment):
    """Wraps Gymnasium's vector environments. Every autoreset mode is converted to the TimeStep contract.

    Observations and actions are those of Box, MultiDiscrete and MultiBinary spaces, or mappings where the environment has a
    Dict, or a Tuple, whose parts are named "0", "1", ...; Discrete observations become one-hot float32. Choices are counted
    from 0 wherever the space starts. Infos are dropped but for masks of actions, which become the entry "action_mask" of the
    observation, beside "observation" where that had no entries. Entries that are text are left out, with a warning. An
    environment of the old gym package is "GymV26Environment-v0/ID", or "GymV21Environment-v0/ID" if its `step` returns four
    values; `pip install 'agentlab[gym]'` brings what that takes.

    Attributes:
        id: Gymnasium's; "module:ID" imports the module that registers it.
        num_environments: B.
        vectorization: "sync", one after the other; "async", each in a process; "ray", each in a process of a Ray cluster, that
            of RAY_ADDRESS or one of this machine; "native", the environment's own vector class; "envpool", threads of the
            envpool package, which has many environments of Gymnasium's by the same ids.
        autoreset: "same_step", "next_step" or "disabled" (ended rows are then reset here); "auto" is what a native vector
            class declares, and same_step for the others.
        arguments: for the environment's constructor.
        wrappers: to be put around each environment, the first innermost: tables of a `name` in gymnasium.wrappers and its
            arguments, such as `[{name="TimeLimit", max_episode_steps=200}]`. Those that take a function, write files or open a
            window are refused.
        render_mode: None, "human" or "rgb_array".
        timeout: seconds that a worker process of "async" or "ray" may take for a step, a reset or a picture, before it counts
            as hung.
        action_mask: "info" takes masks of the allowed actions from `info["action_mask"]`; "none" doesn't; "auto" does where the
            environment has an attribute of that name, as Gymnasium's Taxi, and isn't of a native vector class.

    Raises:
        UsageError: the id, its package, an argument, a space or the autoreset mode is unknown, missing or unsupported.
    """

    id: str = "CartPole-v1"
    num_environments: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    vectorization: str = attrs.field(default="sync", validator=attrs.validators.in_(["sync", *BACKENDS, *NATIVE]))
    autoreset: str = attrs.field(default="auto", validator=attrs.validators.in_(["auto", *MODES]))
    arguments: dict[str, Any] = attrs.field(factory=dict)
    wrappers: tuple[dict[str, Any], ...] = ()
    render_mode: str | None = attrs.field(default=None, validator=attrs.validators.in_([None, "human", "rgb_array"]))
    timeout: float = attrs.field(default=8.0, validator=[attrs.validators.gt(0), attrs.validators.le(DAY)])
    action_mask: str = attrs.field(default="auto", validator=attrs.validators.in_(list(masks.SOURCES)))

    def __attrs_post_init__(self) -> None:
        if "human" in (self.render_mode, self.arguments.get("render_mode")):
            screen.check("set render_mode to rgb_array or none")
        if self.vectorization in BACKENDS and self.num_environments > MOST_PROCESSES:
            raise errors.UsageError(
                f"{self.vectorization!r} starts a process for each environment; num_environments is "
                f"{self.num_environments:,}. Set at most {MOST_PROCESSES:,}, or vectorization 'sync'."
            )
        self._is_native = self.vectorization in NATIVE
        for setting, is_set in (("action_mask 'info'", self.action_mask == "info"), ("wrappers", bool(self.wrappers))):
            if self._is_native and is_set:
                raise errors.UsageError(
                    f"environment.{setting} can't be set with vectorization '{self.vectorization}'; use 'sync' or 'async'."
                )
        self._wrapping = wrapping.checked(self.wrappers)

        # Processes and foreign code from here on: whatever fails, they are closed again.
        self._steps = 0
        self._name = display_name(self.id)
        self._closed = self._brief = False
        self._vector = making.make_vector(self.id, self.arguments, self._vectorize, self.render_mode)
        try:
            guard.ask(self._describe, self._unusable)
        except BaseException:
            self.close()
            raise

        # Gymnasium's own vector classes return checked arrays; others are checked here.
        self._step_vector: Callable[[Any], Any] = self._step_native if self._is_native else self._vector.step
        self._begins_late = self._mode is AutoresetMode.NEXT_STEP
        self._log = None if self._is_native else EpisodeLog(self.num_environments, self._spec.action)
        self._told_of_length = False  # that an episode is too long to be played again

    def _describe(self) -> None:
        """Takes from the vector what it says of itself."""
        self._mode = self._settle_mode()
        self._spec = making.environment_spec(self.id, self._vector, self.arguments)
        if left_out := getattr(self._vector, "texts", ()):  # a native vector class has none
            texts.warn(self._name, left_out)
        if not self._is_native:
            self._vector.set_attr("row", list(range(self.num_environments)))  # type: ignore[attr-defined]

        # The way in and out, and what every step is checked against.
        self._observations = Observations(self._vector.single_observation_space, self.num_environments)
        self._outward = Actions(self._vector.single_action_space, as_batch=self._is_native).outward
        self._check = TimeStepCheck(self._spec, self.num_environments)
        self._is_single = not isinstance(self._spec.observation, dict)
        self._all = np.ones(self.num_environments, np.bool_)
        self._ended = np.zeros(self.num_environments, np.bool_)

    def _unusable(self, error: BaseException) -> errors.UsageError:
        remedy = "use vectorization 'sync' or 'async'" if self._is_native else "fix it"
        raised = f"it raised {tracebacks.summarize_error(error)}"
        return errors.UsageError(f"{self._name} does not say what it shows and takes: {raised}; {remedy}.")

    @classmethod
    def imported_modules(cls, settings: dict[str, Any]) -> list[str]:
        return making.imported_modules(settings.get("id"), settings.get("arguments"))

    @property
    def spec(self) -> EnvironmentSpec:
        return self._spec

    def reset(self, seed: int) -> TimeStep:
        self._steps = 0
        if self._log is not None:
            self._log.begin(int(seed))
        observation = self._observed(self._ask(self._reset_vector, seed=int(seed))[0])
        self._observation = self._copy_of(observation)
        terminated, truncated, acted, self._ended = np.zeros((4, self.num_environments), np.bool_)
        reward = np.zeros(self.num_environments, np.float32)
        return CheckedTimeStep(observation, reward, terminated, truncated, observation, acted=acted)

    @property
    def is_asynchronous(self) -> bool:
        return isinstance(self._vector, Workers) and not self._begins_late

    def step(self, action: Nest) -> TimeStep:
        action = self._checked_action(action)
        self._steps += 1
        return self._led_to(action, self._ask(self._step_vector, self._outward(action)))

    def send(self, action: Nest) -> None:
        self._sent = action = self._checked_action(action)
        self._steps += 1
        self._ask(self._vector.step_async, self._outward(action))  # type: ignore[attr-defined]

    def receive(self) -> TimeStep:
        return self._led_to(self._sent, self._ask(self._vector.step_wait))  # type: ignore[attr-defined]

    def _led_to(self, action: Nest, returned: Any) -> TimeStep:
        """Returns the time step that checked actions led to, of what the vector's step returned."""
        # [B] and [B, *O], copied, since the vector writes over its arrays in the next step.
        observed, rewards, terminated, truncated, info = returned
        observation = final_observation = self._ask(self._observations.copied, observed)
        reward = self._ask(finite_rewards, rewards)

        # In this mode the reset takes a step of its own, in which these rows don't act.
        if self._begins_late:
            previously_ended, self._ended = self._ended, terminated | truncated
            self._log_step(action, previously_ended if any_true(previously_ended) else None, observation)
            return CheckedTimeStep(observation, reward, terminated, truncated, observation, acted=~previously_ended)

        # Elsewhere the new episode's first observation comes with the end of the old one.
        ended = None
        if any_true(terminated) or any_true(truncated):
            ended = terminated | truncated
            observation, final_observation = self._begun(observation, ended, info)
        self._log_step(action, ended, observation)
        return CheckedTimeStep(observation, reward, terminated, truncated, final_observation, acted=self._all.copy())

    def _log_step(self, action: Nest, begun: np.ndarray | None, observation: Nest) -> None:
        """Stores what `state` returns: the actions, and a copy of what they led to, since receivers may change the arrays."""
        if self._log is None:
            return
        self._log.add(action, begun)
        if self._is_single:
            self._observation[...] = observation
        else:
            self._observation = self._copy_of(observation)

    def _copy_of(self, observation: Nest) -> Nest:
        return map_space(lambda _, array: array.copy(), self._spec.observation, observation)

    def env_spec(self) -> str:
        return "" if self.wrappers else making.env_spec(self.id, self.arguments)

    def inexact(self) -> str:
        if self._is_native:
            return "its own vector class keeps its state to itself"
        return repeats.why_not(self._copy)

    def _copy(self) -> GymnasiumEnvironment:
        """Returns another one, of one row, to be tried out."""
        copy = attrs.evolve(self, num_environments=1, render_mode=None)
        copy._brief = True
        return copy

    def state(self) -> dict[str, np.ndarray]:
        if self._log is None:
            return {}
        if not self._log.is_whole:
            self._tell_of_length(self._log.longest)
            return {}
        now = {"steps": np.array(self._steps), "ended": self._ended.copy()}
        return {**self._log.state(), **now, **self._observation_arrays(self._copy_of(self._observation))}

    def _observation_arrays(self, observation: Nest) -> dict[str, np.ndarray]:
        """Returns the arrays of an observation by the names that they have in a checkpoint, "observation/camera/left"."""
        pairs = zip(leaves_of(self._spec.observation), pairs_of(self._spec.observation, observation), strict=True)
        return {f"observation/{path}" if path else "observation": array for path, (_, array) in pairs}

    def _tell_of_length(self, longest: int) -> None:
        if not self._told_of_length:
            self._told_of_length = True
            warnings.warn(
                f"The environment {self.id} is in an episode of more than {longest:,} steps, which is more than can "
                "be played again. A run that is resumed from here begins new episodes, so it is not exactly resumable. "
                "Episodes get an end by environment.arguments.max_episode_steps.",
                errors.RunWarning,
                stacklevel=2,
            )

    def ranges(self) -> dict[str, Range]:
        if self._log is None:
            return {}
        return {**self._log.ranges(), "steps": COUNT, **ranges_of(self._spec.observation, "observation")}

    def restore(self, state: dict[str, np.ndarray]) -> Nest:
        if self._log is None:
            raise self._fault("its own vector class keeps its state to itself, so it can't be restored.")

        # The rows play their episodes again during the next reset.
        replays = [(episode, self._outward(actions)) for episode, actions in self._log.restore(state)]
        self._vector.set_attr("replaying", replays)  # type: ignore[attr-defined]
        observation = self._observed(self._ask(self._reset_vector, seed=int(state["seed"]))[0])

        # An episode that had just ended is reset by the step after it, which is made up for here.
        if self._begins_late:
            self._ended = np.array(state["ended"], np.bool_)
            self._vector.set_attr("standing", self._ended.tolist())  # type: ignore[attr-defined]
            self._ask(self._step_vector, self._outward(blank(self._spec.action, self.num_environments)))
        self._steps = int(state["steps"])
        if not all(np.array_equal(array, state[name]) for name, array in self._observation_arrays(observation).items()):
            raise self._fault("played again from its seeds and actions, it shows something else than it did in the run.")
        self._observation = self._copy_of(observation)
        return observation

    def render(self) -> np.ndarray | None:
        return None if self.render_mode is None else self._ask(lambda: picture(self._vector.render()))

    def close(self) -> None:
        """Closes it, once; what goes wrong there is warned of."""
        if not self._closed:
            self._closed = True
            seconds = guard.BRIEF_SECONDS if self._brief else guard.CLOSE_SECONDS
            if isinstance(self._vector, Workers):
                guard.close(self._name, lambda: self._vector.close(seconds=seconds), guard.SLOWEST_CLOSE)
            else:
                guard.close(self._name, self._vector.close, seconds)
            self._vector.closed = True  # also where that failed, or the garbage collector tries it once more

    def _vectorize(self, id: str, arguments: dict[str, Any]) -> VectorEnv:
        """Returns the vector; raises Gymnasium's own errors, for `make_vector` to explain."""
        if self.vectorization == "envpool":
            return Pool(id, self.num_environments, arguments)
        if self.vectorization == "native":
            if id in gymnasium.registry and gymnasium.registry[id].vector_entry_point is None:
                raise gymnasium.error.UnsupportedMode("it has no vector class of its own; use vectorization 'sync' or 'async'.")
            return gymnasium.make_vec(id, self.num_environments, "vector_entry_point", **arguments)
        mode = MODES.get(self.autoreset, AutoresetMode.SAME_STEP)
        if self.vectorization == "sync":
            make = wrapping.maker(lambda: gymnasium.make(id, **arguments), self._wrapping)
            return Rows(make, self.num_environments, mode, self.action_mask)
        backend = BACKENDS[self.vectorization]()
        return Workers(backend, id, self.num_environments, mode, arguments, self.timeout, self.action_mask, self._wrapping)

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

    def _step_native(self, action: Nest) -> Any:
        """Returns what a step of a foreign vector class returned, in the shapes and dtypes of Gymnasium's own."""
        observed, reward, terminated, truncated, info = self._vector.step(action)
        rows = self.num_environments
        ends = as_ends(terminated, rows, "terminated"), as_ends(truncated, rows, "truncated")
        return self._observations.conformed(observed), as_rewards(reward, rows), *ends, info

    def _reset_vector(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self._vector.reset(seed=seed, options=options)

    def _ask(self, function: Callable[..., Any], *positional: object, **named: object) -> Any:
        try:
            return function(*positional, **named)
        except gymnasium.error.DependencyNotInstalled as error:
            raise errors.UsageError(making.missing(self.id, error)) from error
        except errors.EnvironmentFault as error:
            raise self._fault(str(error)) from error
        except BaseException as error:
            if guard.is_interrupt(error):
                raise
            raise self._fault(f"it raised {tracebacks.describe_error(error)}") from error

    def _fault(self, what: str) -> errors.EnvironmentFault:
        return failure(self._name, self._steps, what)

    def _checked_action(self, action: Nest) -> Nest:
        """Returns actions `[B, *A]` of the spec's dtype, choices counted from 0."""
        try:
            return self._check.action(action)
        except errors.EnvironmentFault as error:
            raise unfit_action(self._name, self._steps + 1, str(error)) from error

    def _observed(self, observed: object) -> Nest:
        """Returns a copy of the observations of all rows, as agents see them, checked."""
        return self._ask(self._observations.copied, self._ask(self._observations.conformed, observed))

    def _begun(self, observation: Nest, ended: np.ndarray, info: dict[str, Any]) -> tuple[Nest, Nest]:
        """Returns what to act on, the first observation where an episode `ended`; and what the actions led to."""
        # Rows whose observation is replaced, [n].
        rows = np.flatnonzero(ended)
        if self._mode is AutoresetMode.DISABLED:
            fresh = self._observed(self._ask(self._reset_vector, options={"reset_mask": ended.copy()})[0])
            begun = map_space(lambda _, array: array[rows], self._spec.observation, fresh)
            return self._with(observation, rows, begun), observation

        # Observations are already the new episode's; what the actions led to comes apart from them.
        if "final_obs" not in info:
            raise self._fault("its vector class gave no final_obs, which autoreset mode same_step promises.")
        finals = self._ask(self._observations.copied, self._ask(self._observations.of_rows, info["final_obs"], rows), rows)
        return observation, self._with(observation, rows, finals)

    def _with(self, observation: Nest, rows: np.ndarray, part: Nest) -> Nest:
        """Returns a copy of an observation of all rows, with those of some rows put in."""

        def put(_: object, whole: np.ndarray, some: np.ndarray) -> np.ndarray:
            array = whole.copy()
            array[rows] = some
            return array

        return map_space(put, self._spec.observation, observation, part)
