"""Reading a data set as an endless stream, B samples side by side, shuffled again in each epoch."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.system.ranges import COUNT, Range
from agentlab.tensors.shuffle import shuffled
from agentlab.types import Seed, Tensor


@attrs.frozen(eq=False)
class Reading:
    """Where each of B rows reads; every field is `[B]` int64.

    Attributes:
        position: in the stream, counted from its start over all epochs.
        key: of the shuffles.
        sample: the number of the sample there.
    """

    position: Tensor
    key: Tensor
    sample: Tensor


@attrs.frozen
class Stream:
    """The samples 0 to `size - 1` as an endless stream: row r of B reads the positions r, r + B, r + 2 B, ...

    Attributes:
        name: of the data set.
        size: samples in an epoch.
        shuffle: each epoch reads all samples once in an order of its own; else in the order of the data.
        replacement: instead, each read draws any sample.
    """

    name: str
    size: int
    shuffle: bool
    replacement: bool

    def start(self, seed: Seed, batch: int) -> Reading:
        """Returns the first reading of `batch` rows.

        Raises:
            UsageError: there are fewer samples than rows, which show a sample no more than once at a time.
        """
        if batch > self.size and not self.replacement:
            raise errors.UsageError(
                f"Data set {self.name!r} has {self.size} samples, fewer than the {batch} environments that read it side by "
                f"side, which make up a batch. Lower num_environments to {self.size} or less, or give more data."
            )
        key = tf.fill([batch], seeds.integers(seeds.child(seed, "shuffle"), [], 2**62))
        position = tf.range(batch, dtype=tf.int64)
        return Reading(position, key, self._sample(position, key, seed))

    def ranges(self) -> Reading:
        """Returns what the numbers of each field of a reading can be."""
        return Reading(COUNT, Range(0, 2**62 - 1), Range(0, self.size - 1))

    def following(self, reading: Reading, seed: Seed) -> Reading:
        """Returns the readings after these."""
        position = reading.position + reading.position.shape[0]
        return Reading(position, reading.key, self._sample(position, reading.key, seed))

    def _sample(self, position: Tensor, key: Tensor, seed: Seed) -> Tensor:
        if self.replacement:
            return seeds.integers(seeds.child(seed, "sample"), tf.shape(position), self.size)
        if self.shuffle:
            return shuffled(position % self.size, self.size, key, position // self.size)
        return position % self.size
