"""Uniform replay: all stored transitions are equally likely."""

from __future__ import annotations

from typing import Literal

import attrs

from agentlab import seeds
from agentlab.fields import positive
from agentlab.memory import Layout, Memory
from agentlab.types import Batch, Seed, Step, Tensor
from agentlab_memories.frames import Frames
from agentlab_memories.observations import Observations, Whole
from agentlab_memories.ring import Ring
from agentlab_memories.slots import num_bytes

OBSERVATIONS: dict[str, type[Observations]] = {"whole": Whole, "frames": Frames}


@attrs.define(slots=False, eq=False)
class UniformReplay(Memory):
    """Stores the last `capacity` transitions and draws batches from them uniformly, with replacement (Lin 1992).

    Attributes:
        capacity: transitions stored; the oldest is overwritten.
        batch_size: N, transitions, or sequences, in a batch.
        observations: "whole", each as it is; or "frames", where they are stacks of frames [frames, height, width] of uint8, of
            which each is stored once: of four, an eighth of the memory.
    """

    capacity: int = positive(10_000)
    batch_size: int = positive(128)
    observations: Literal["whole", "frames"] = attrs.field(default="whole", validator=attrs.validators.in_(["whole", "frames"]))

    def build(self, layout: Layout) -> None:
        self._ring = Ring(layout, self.capacity, OBSERVATIONS[self.observations], self._bytes_beside(layout))

    def _bytes_beside(self, layout: Layout) -> int:
        """Returns how many bytes the memory takes besides the steps stored: those of a batch, but for single numbers."""
        step = layout.step_signature()
        large = (step.observation, step.next_observation, step.output, step.state)
        return self.batch_size * (layout.request.length or 1) * num_bytes(large)

    def add(self, step: Step, row: Tensor) -> None:
        self._ring.add(step, row)

    def cut(self, row: Tensor) -> None:
        self._ring.cut(row)

    def sample(self, seed: Seed) -> Batch:
        return self._ring.read(self._draw(seed) % self.capacity)

    @property
    def samples_early(self) -> bool:
        return not self._ring.sheds_early

    def sample_early(self, seed: Seed, coming: int | Tensor) -> tuple[Batch, Tensor]:
        numbers = self._draw(seed, coming)
        return self._ring.read(numbers % self.capacity), self._ring.are_whole(numbers)

    def _draw(self, seed: Seed, coming: int | Tensor | None = None) -> Tensor:
        """Returns the numbers `[N]` of the steps in a batch, drawn as if `coming` more had been added already."""
        begin, end = self._ring.bounds(coming)
        count = end - begin
        drawn = seeds.integers(seed, [self.batch_size], count)
        return begin + (drawn - begin) % count  # so that in a full ring the slot is what was drawn
