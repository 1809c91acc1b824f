"""The Environment contract (host, NumPy) and the DeviceEnvironment contract (pure TensorFlow functions)."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal

import numpy as np

from agentlab.spec import EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor, TimeStep


class _WithSettings:
    """The part of both contracts that concerns settings."""

    @classmethod
    def imported_modules(cls, settings: dict[str, Any]) -> list[str]:
        """Returns the modules that an environment with these settings imports because they name them; by default none.

        Where a file names them, only those are imported that an installed package registers environments from.
        """
        return []

    @property
    def unguarded(self) -> Any:
        """The environment itself; a wrapper returns the one inside."""
        return self


class Environment(_WithSettings, abc.ABC):
    """B environments side by side on the host; hides its own state.

    A host environment named by an entry point takes `num_environments` among its constructor's arguments.

    Attributes:
        num_environments: B.
        on_device: False: it is called step by step, from outside the compiled loop.
        watched: whether calls that take many seconds cause a warning; False where compilation takes that long.
    """

    num_environments: int
    on_device: ClassVar[Literal[False]] = False
    watched: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def spec(self) -> EnvironmentSpec:
        """What one environment shows and accepts, without the batch axis."""

    @abc.abstractmethod
    def reset(self, seed: int) -> TimeStep:
        """Begins new episodes in all rows, determined by `seed`: rewards 0, nothing terminated or truncated."""

    @abc.abstractmethod
    def step(self, action: np.ndarray) -> TimeStep:
        """Takes `action` `[B, *A]`, choices counted from 0, and begins the next episode where one ends.

        Arrays that are passed, either way, belong to the receiver: keep a copy of what is still needed, and
        leave `action` as it is.

        Raises:
            EnvironmentFault: the environment raised, or returned what its spec rules out.
        """

    @property
    def is_asynchronous(self) -> bool:
        """Whether `send` and `receive` take the place of `step`, so that the agent learns while environments step elsewhere.

        In such an environment every row acts at every step: none is only reset.
        """
        return False

    def send(self, action: np.ndarray) -> None:
        """Begins the step that `receive` ends; argument and errors are those of `step`."""
        raise NotImplementedError(f"{type(self).__name__} is not asynchronous.")

    def receive(self) -> TimeStep:
        """Waits for the end of the step that was begun; the result and errors are those of `step`."""
        raise NotImplementedError(f"{type(self).__name__} is not asynchronous.")

    def inexact(self) -> str:
        """Returns why a run in it can't be resumed to the same bits, as a clause; empty if it can, by `state` and `restore`."""
        return "it keeps its state to itself"

    def state(self) -> dict[str, np.ndarray]:
        """Returns by name what `restore` needs to continue from the last time step; taking it changes nothing.

        There are always the same arrays, of the same dtypes and shapes, but for the first axis of those that don't have a row
        for each environment, such as a log. A checkpoint with others is refused before `restore` is called.
        """
        return {}

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in the arrays of `state`, by name; see `agentlab.memory.Memory.ranges`."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> np.ndarray:
        """Continues from where `state` was taken, and returns the observations `[B, *O]` to act on.

        Raises:
            EnvironmentFault: it doesn't get there.
        """
        raise NotImplementedError(f"{type(self).__name__} returns no state to restore.")

    def change(self, name: str, value: float) -> None:
        """Takes the new value of a live setting, from the next step on; by default it becomes the attribute's."""
        object.__setattr__(self, name, value)

    def env_spec(self) -> str:
        """Returns the JSON of the Gymnasium `EnvSpec` that makes one such environment; empty, as by default, if there is none.

        Data sets of what was done in it say so, for Minari to make it again.
        """
        return ""

    def render(self) -> np.ndarray | None:
        """Returns the picture of row 0, `[height, width, 3]` uint8, or None where there is none or a window shows it."""
        return None

    def close(self) -> None:
        """Releases windows, files and worker processes."""


class DeviceEnvironment(_WithSettings, abc.ABC):
    """An environment as pure, batch-first TensorFlow functions, so that whole training loops compile into one program.

    Time limit, auto-reset and `final_observation` are written once for all of them, in `agentlab.loop.autoreset`.
    `seed` is `[2]` int64, for `agentlab.seeds.uniform` and `integers`; a state is any structure of tensors `[B, ...]`.

    Attributes:
        on_device: True: its functions can be compiled into the loop.
    """

    on_device: ClassVar[Literal[True]] = True

    @property
    @abc.abstractmethod
    def spec(self) -> EnvironmentSpec:
        """What one environment shows and accepts, without the batch axis."""

    @abc.abstractmethod
    def initial(self, seed: Seed, batch: int) -> Nest:
        """Returns the states of `batch` new episodes."""

    def restart(self, state: Nest, seed: Seed) -> Nest:
        """Returns the states of the episodes after those that ended in `state`; by default new draws, as by `initial`.

        An environment whose episodes continue one another, such as a data set, overrides it. Only the rows
        whose episode ended are used.
        """
        import tensorflow as tf  # not with the module, which worker processes of host environments import

        return self.initial(seed, tf.nest.flatten(state)[0].shape[0])

    @abc.abstractmethod
    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        """Returns `(state, reward [B] float32, terminated [B] bool, target [B, *A] or ())`."""

    def truncated(self, state: Nest) -> Tensor | None:
        """Returns whether the environment itself cuts the episodes off in `state`, `[B]` bool; by default None: it never does.

        It is asked after each step, beside the time limit of the spec.
        """
        return None

    def state_ranges(self) -> Nest:
        """Returns a structure like a state, of an `agentlab.system.ranges.Range` for each tensor; by default None: no limits.

        A checkpoint whose state holds other numbers is refused: name at least those that are used as places in tensors.
        """
        return None

    @abc.abstractmethod
    def observe(self, state: Nest) -> Nest:
        """Returns the observations `[B, *O]` of `state`."""

    def picture(self, state: Nest) -> np.ndarray | None:
        """Returns the picture of row 0, `[height, width, 3]` uint8, for `agentlab play`; by default None: there is none."""
        return None

    def close(self) -> None:
        """Releases what it holds: by default nothing."""
