"""Uniform replay: every transition that is kept is as likely as any other."""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs
import numpy as np

from agentlab import seeds
from agentlab.checks.ranges import Range
from agentlab.memory import Memory
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import positive
from agentlab.types import Horizon, Transition
from agentlab_memories.frames import Frames
from agentlab_memories.ring import Observations, Ring, Whole

OBSERVATIONS: dict[str, type[Observations]] = {"whole": Whole, "frames": Frames}


@attrs.define(slots=False, eq=False)
class UniformReplay(Memory):
    """Keeps the last `capacity` transitions and draws batches from them uniformly, with replacement (Lin 1992).

    Attributes:
        capacity: transitions kept; the oldest is overwritten.
        batch_size: N, transitions in a batch.
        observations: "whole", each as it is; or "frames", where they are stacks of frames [frames, height, width] of uint8, of
            which each is stored once: of four, an eighth of the memory.
    """

    capacity: int = positive(10_000)
    batch_size: int = positive(128)
    observations: Literal["whole", "frames"] = attrs.field(default="whole", validator=attrs.validators.in_(["whole", "frames"]))

    def build(self, spec: EnvironmentSpec, num_environments: int, horizon: Horizon) -> None:
        kind, batch = OBSERVATIONS[self.observations], self.batch_size * _observed_bytes(spec)
        self._ring = Ring(spec, self.capacity, num_environments, horizon, kind, batch + self._bytes_beside())

    def _bytes_beside(self) -> int:
        """Returns how many bytes the memory takes besides transitions."""
        return 0

    def add(self, transition: Transition, ended: Any, row: Any) -> None:
        self._ring.add(transition, ended, row)

    def cut(self, row: Any) -> None:
        self._ring.cut(row)

    def sample(self, seed: Any) -> Transition:
        begin, end = self._ring.bounds()
        drawn = seeds.integers(seed, [self.batch_size], end - begin)
        numbers = begin + (drawn - begin) % (end - begin)  # so that in a full ring the slot is what was drawn
        return self._ring.read(numbers % self.capacity)

    def variables(self) -> dict[str, Any]:
        return self._ring.variables()

    def ranges(self) -> dict[str, Range]:
        return self._ring.ranges()

    def written_rows(self) -> dict[str, int]:
        return self._ring.written_rows()


def _observed_bytes(spec: EnvironmentSpec) -> int:
    """Returns the bytes of what was acted on and what that led to."""
    return 2 * math.prod(spec.observation.shape) * np.dtype(spec.observation.dtype).itemsize
