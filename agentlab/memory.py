"""The Memory contract: keeps transitions and hands out batches; its storage is tf.Variables. Or `Latest`, which keeps none."""

from __future__ import annotations

import abc
from typing import Any

import attrs

from agentlab.spec import EnvironmentSpec
from agentlab.types import Transition


class Memory(abc.ABC):
    """Keeps transitions and hands out batches. Settings are constructor arguments; `build` allocates the storage."""

    @abc.abstractmethod
    def build(self, spec: EnvironmentSpec) -> None:
        """Allocates storage for this environment's transitions."""

    @abc.abstractmethod
    def add(self, transition: Transition) -> None:
        """Stores N transitions, each leaf `[N, ...]`, in the order of rows."""

    @abc.abstractmethod
    def sample(self, seed: Any) -> Transition:
        """Returns a batch of stored transitions; `seed` is `[2]` int64. At least one transition has been stored."""

    @abc.abstractmethod
    def variables(self) -> dict[str, Any]:
        """Returns every tf.Variable of the storage by a name that is the same in every process."""


@attrs.frozen
class Latest:
    """No memory beyond the present: the batch is what this turn led to, learned from by the forward pass that acted."""
