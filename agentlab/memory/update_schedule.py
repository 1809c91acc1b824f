"""When updates are due."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab.types import Tensor


@attrs.frozen
class UpdateSchedule:
    """When updates are due. Nothing else decides that.

    Attributes:
        period: environment steps between two rounds of updates.
        count: updates per round.
        starts: environment steps before the first round.
    """

    period: int
    count: int = 1
    starts: int = 0

    def due(self, steps: int | Tensor, taken: int) -> Any:
        """Returns how many updates the last `taken` steps, which led to `steps` (int or int64 scalar), have made due."""
        rounds = steps // self.period - (steps - taken) // self.period
        if isinstance(steps, int):
            return rounds * self.count if steps >= self.starts else 0
        return tf.where(steps >= self.starts, rounds * self.count, tf.zeros_like(rounds))

    def total(self, steps: int, taken: int) -> int:
        """Returns the number of updates in a budget of `steps`, in whole turns of `taken` steps: the sum of what is `due`."""
        turns, first = -(-steps // taken), max(1, -(-self.starts // taken))  # in the turns from the first on, rounds count
        before = (first - 1) * taken // self.period
        return (turns * taken // self.period - before) * self.count if turns >= first else 0
