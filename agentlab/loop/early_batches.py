"""EarlyBatches: a memory as it will be after the step that is under way."""

from __future__ import annotations

from agentlab.memory import Layout, Memory
from agentlab.types import Batch, Seed, Step, Tensor


class EarlyBatches(Memory):
    """Returns the batches that a memory will return once `coming` steps more are stored, as far as they hold none of these.

    Args:
        memory: samples early.
        coming: steps, an integer or int64 scalar.

    Attributes:
        is_known: whether the last batch holds none of them, bool scalar.
    """

    def __init__(self, memory: Memory, coming: int | Tensor) -> None:
        self._memory, self._coming = memory, coming
        self.is_known: Tensor = True

    def build(self, layout: Layout) -> None:
        self._memory.build(layout)

    def add(self, step: Step, row: Tensor) -> None:
        self._memory.add(step, row)

    def sample(self, seed: Seed) -> Batch:
        batch, self.is_known = self._memory.sample_early(seed, self._coming)
        return batch
