"""Reading a data set as an endless stream, B samples side by side, shuffled anew in each epoch."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.shuffle import shuffled


@attrs.frozen(eq=False)
class Reading:
    """Where each of B rows reads; every field is `[B]` int64.

    Attributes:
        position: in the stream, counted from its start over all epochs.
        key: of the shuffles.
        sample: the number of the sample there.
    """

    position: Any
    key: Any
    sample: Any


@attrs.frozen
class Stream:
    """The samples 0 to `size - 1` as an endless stream: row r of B reads the positions r, r + B, r + 2 B, ...

    Attributes:
        size: samples in an epoch.
        shuffle: each epoch reads all samples once in an order of its own; else in the order of the data.
        replacement: instead, each read draws any sample.
    """

    size: int
    shuffle: bool
    replacement: bool

    def start(self, seed: Any, batch: int) -> Reading:
        """Returns the first reading of `batch` rows."""
        key = tf.fill([batch], seeds.integers(seeds.child(seed, "shuffle"), [], 2**62))
        position = tf.range(batch, dtype=tf.int64)
        return Reading(position, key, self._sample(position, key, seed))

    def following(self, reading: Reading, seed: Any) -> Reading:
        """Returns the readings after these."""
        position = reading.position + reading.position.shape[0]
        return Reading(position, reading.key, self._sample(position, reading.key, seed))

    def _sample(self, position: Any, key: Any, seed: Any) -> Any:
        if self.replacement:
            return seeds.integers(seeds.child(seed, "sample"), tf.shape(position), self.size)
        if self.shuffle:
            return shuffled(position % self.size, self.size, key, position // self.size)
        return position % self.size
