"""The Memory contract: keeps transitions and hands out batches; its storage is tf.Variables. Or `Latest`, which keeps none."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import attrs

from agentlab.checks.ranges import Range
from agentlab.spec import EnvironmentSpec
from agentlab.types import Horizon, Transition


class Memory(abc.ABC):
    """Keeps transitions and hands out batches. Settings are constructor arguments; `build` allocates the storage.

    Attributes:
        needed_metrics: of the trainer's, which `learned` looks for.
        on_policy: whether a batch holds only what happened since the last update, as algorithms need that learn from what the
            present policy does.
    """

    needed_metrics: ClassVar[tuple[str, ...]] = ()
    on_policy: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, spec: EnvironmentSpec, num_environments: int, horizon: Horizon) -> None:
        """Allocates storage for the transitions of `num_environments` environments like `spec`.

        Args:
            spec: of the environments.
            num_environments: B.
            horizon: how many steps a transition of a batch is to reach; those that are added reach one.

        Raises:
            UsageError: this memory can't keep or hand out such transitions.
        """

    def update_period(self, num_environments: int) -> int | None:
        """Returns the environment steps from one update to the next that a batch is for; None, the default, for any.

        A trainer with another `update_period` is refused.
        """
        return None

    @abc.abstractmethod
    def add(self, transition: Transition, ended: Any, row: Any) -> None:
        """Stores N transitions of one step, each leaf `[N, ...]`, in the order in which they happened.

        Args:
            transition: of N rows: of B environments in one turn, of fewer or none where some were being reset, or of several
                turns on end.
            ended: `[N]` bool, whether the episode ended with it, terminated or truncated.
            row: `[N]` int64, 0 to B - 1, the environment in which it happened.
        """

    def cut(self, row: Any) -> None:  # noqa: B027 - most connect no transitions
        """Takes in that the episodes of the environments `row` `[N]` int64 were given up: nothing follows their last steps."""

    @abc.abstractmethod
    def sample(self, seed: Any) -> Transition:
        """Returns a batch of stored transitions; `seed` is `[2]` int64. At least one transition has been stored."""

    def learned(self, batch: Transition, metrics: dict[str, Any]) -> None:  # noqa: B027 - most have no use for it
        """Takes in what an update from `batch`, the last one handed out, came to: the trainer's metrics, see `Trainer.loss`."""

    @abc.abstractmethod
    def variables(self) -> dict[str, Any]:
        """Returns every tf.Variable of the storage by a name that is the same in every process."""

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of its variables can be, by the names of `variables`.

        A checkpoint with others is refused; variables that are not named are believed. Name at least those that are used as
        places in others: TensorFlow ends the program, or reads anything, at a place that there isn't.
        """
        return {}

    def written_rows(self) -> dict[str, int]:
        """Returns how many rows have been written, by the names of those variables that are filled from the first row on.

        A checkpoint copies no other rows of theirs, which are zeros. It looks through variables that are not named.
        """
        return {}


@attrs.frozen
class Latest:
    """No memory beyond the present: the batch is what this turn led to, learned from by the forward pass that acted."""

    on_policy: ClassVar[bool] = True
