"""Episode statistics and means of training metrics, kept inside the compiled loop and read once a chunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.system.ranges import COUNT, FINITE, Range
from agentlab.types import Tensor, TimeStep, any_true

MOST_WAITING = 1_024  # steps


@attrs.frozen(eq=False)
class EpisodeStatistics:
    """Returns and lengths of the episodes of B environments; every field is `[B]` float64, which keeps small rewards.

    Only arithmetic operators are used, so the same lines run on NumPy arrays (host gear) and tensors (device gear). NumPy
    converts what is added to float64 by itself; tensors have to be of that dtype.

    Attributes:
        running_return: the sum of rewards of the episode that is under way.
        running_length: its steps.
        episodes: how many ended since the last report.
        return_sum: of those episodes.
        length_sum: of those episodes.
    """

    running_return: Tensor
    running_length: Tensor
    episodes: Tensor
    return_sum: Tensor
    length_sum: Tensor

    @classmethod
    def start(cls, num_environments: int) -> EpisodeStatistics:
        """Returns the statistics of nothing yet, as NumPy arrays."""
        return cls(*(np.zeros(num_environments) for _ in attrs.fields(cls)))

    @classmethod
    def ranges(cls) -> EpisodeStatistics:
        """Returns the ranges of each field."""
        return cls(FINITE, COUNT, COUNT, FINITE, COUNT)

    def after(self, reward: Tensor, ended: Tensor, acted: Tensor = 1.0) -> EpisodeStatistics:
        """Returns the statistics one step later; `ended` and `acted` (not being reset) are bool `[B]`, or 0 or 1."""
        return self.continued(reward, acted).closed(ended)

    def continued(self, reward: Tensor, acted: Tensor = 1.0) -> EpisodeStatistics:
        """Returns the statistics one step later, whether or not an episode ended there."""
        return EpisodeStatistics(
            self.running_return + reward, self.running_length + acted, self.episodes, self.return_sum, self.length_sum
        )

    def closed(self, ended: Tensor) -> EpisodeStatistics:
        """Returns the statistics without the running episodes that have just `ended`, which are accounted for."""
        # 1 where the episode continues: its sums are kept, the others start at 0.
        going_on = 1.0 - ended
        return EpisodeStatistics(
            self.running_return * going_on,
            self.running_length * going_on,
            self.episodes + ended,
            self.return_sum + self.running_return * ended,
            self.length_sum + self.running_length * ended,
        )

    def reported(self) -> EpisodeStatistics:
        """Returns these statistics with the ended episodes forgotten, as after a report."""
        return attrs.evolve(
            self, episodes=self.episodes * 0.0, return_sum=self.return_sum * 0.0, length_sum=self.length_sum * 0.0
        )

    def summary(self) -> dict[str, float | None]:
        """Returns `episodes`, `return_mean` and `episode_length_mean` since the last report; None where none ended."""
        count = float(np.sum(self.episodes))
        means = {
            "return_mean": float(np.sum(self.return_sum)) / count if count else None,
            "episode_length_mean": float(np.sum(self.length_sum)) / count if count else None,
        }
        return {"episodes": int(count), **means}


class WaitingStatistics:
    """`EpisodeStatistics` of a host program, whose steps wait to be added up until an episode ends.

    In episodes of 200 steps that takes a quarter of the time that adding up each step does.

    Args:
        statistics: to go on from.
    """

    def __init__(self, statistics: EpisodeStatistics) -> None:
        self._statistics = statistics
        self._rewards: list[np.ndarray] = []  # [B] of each step that waits
        self._acted: list[np.ndarray] = []

    def add(self, timestep: TimeStep) -> None:
        """Takes in a step of B environments, whose arrays nobody may change."""
        self._rewards.append(timestep.reward)
        self._acted.append(timestep.acted)
        if any_true(timestep.terminated) or any_true(timestep.truncated):
            self._statistics = self.settled().closed(timestep.ended)
        elif len(self._rewards) == MOST_WAITING:
            self.settled()

    def settled(self) -> EpisodeStatistics:
        """Returns the statistics of all steps."""
        statistics, num_steps = self._statistics, len(self._rewards)
        if num_steps:
            # [n + 1, B] the sums so far and the rewards of n steps, which are added in their order.
            rows = len(statistics.running_return)
            returns = np.empty((num_steps + 1, rows))
            returns[0] = statistics.running_return
            returns[1:] = np.concatenate(self._rewards).reshape(num_steps, rows)
            acted = np.concatenate(self._acted).reshape(num_steps, rows)

            # [B] sums; a row that was only being reset took no step.
            self._statistics = statistics = EpisodeStatistics(
                np.add.accumulate(returns)[-1],
                statistics.running_length + np.add.reduce(acted),
                statistics.episodes,
                statistics.return_sum,
                statistics.length_sum,
            )
            self._rewards, self._acted = [], []
        return statistics

    def collect(self) -> dict[str, float | None]:
        """Returns the summary since the last call, and forgets the ended episodes."""
        statistics = self.settled()
        self._statistics = statistics.reported()
        return statistics.summary()


COLUMNS = ("step", "update", "episodes", "return_mean", "episode_length_mean", "steps_per_second", "seconds")
EVALUATION = "evaluation_"  # how the columns of evaluations during training begin


def check_names(names: Sequence[str]) -> None:
    """Raises UsageError if a line of metrics can't have columns of these names besides its own."""
    for name in names:
        if not isinstance(name, str) or not name.isprintable() or not name.strip():
            raise errors.UsageError(f"A metric is named {name!r}; expected a text of printable characters. Rename it.")
        if name in COLUMNS or name.startswith(EVALUATION) or list(names).count(name) > 1:
            raise errors.UsageError(
                f"A metric is named {name!r}, as another column of metrics.jsonl is. Rename it in the trainer's metric_names "
                f"and where it is returned; also taken are {', '.join(COLUMNS)} and what begins with {EVALUATION!r}."
            )


class Means:
    """Means of scalar metrics over the updates since the last report, summed up in float64 in tf.Variables.

    Args:
        names: of all metrics that every call of `add` brings.

    Raises:
        UsageError: a name is that of another column.
    """

    def __init__(self, names: Sequence[str]) -> None:
        check_names(names)
        self._names = tuple(names)
        self._sums = tf.Variable(tf.zeros(len(names) + 1, tf.float64), trainable=False)  # the last counts the updates
        self._finite = tf.Variable(tf.zeros(len(names), tf.int64), trainable=False)  # updates until each was not finite

    def add(self, metrics: dict[str, Any]) -> None:
        """Adds one update's metrics, each a scalar, or `[N]` of which the mean counts; traceable.

        Raises:
            UsageError: the names are not those declared.
        """
        if set(metrics) != set(self._names):
            raise errors.UsageError(
                f"An update returned the metrics {sorted(metrics)}; expected {sorted(self._names)}: "
                "name them in the trainer's metric_names."
            )

        # [M + 1] sums, the last of which counts updates.
        values = [_mean(tf.cast(metrics[name], tf.float32)) for name in self._names]
        sums = self._sums + tf.cast(tf.stack([*values, tf.constant(1.0)]), tf.float64)
        self._sums.assign(sums)
        # A sum that is not finite stays so, and this count with it.
        self._finite.assign_add(tf.cast(tf.math.is_finite(sums[:-1]), tf.int64))

    def count(self) -> int:
        """Returns the updates since the last report."""
        return int(self._sums.numpy()[-1])

    def variables(self) -> dict[str, Any]:
        """Returns the tf.Variables by name."""
        return {"sums": self._sums, "finite": self._finite}

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of those numbers, by the same names."""
        return {"sums": FINITE, "finite": COUNT}

    def check(self) -> None:
        """Looks at the sums without resetting them.

        Raises:
            NonFinite: a metric was not; of several, the first one.
        """
        finite, sums = self._finite.numpy().tolist(), self._sums.numpy().tolist()
        wrong = [index for index in range(len(self._names)) if not math.isfinite(sums[index])]
        if wrong:
            first = min(wrong, key=lambda index: finite[index])  # the others follow from it
            raise NonFinite(self._names[first], sums[first], finite[first] + 1)

    def collect(self) -> dict[str, float]:
        """Returns the means since the last call, empty if there was no update, and resets the sums.

        Raises:
            NonFinite: a metric was not.
        """
        self.check()
        *sums, count = self._sums.numpy().tolist()
        self._sums.assign(tf.zeros_like(self._sums))
        self._finite.assign(tf.zeros_like(self._finite))
        return {name: total / count for name, total in zip(self._names, sums, strict=True)} if count else {}


def _mean(values: Tensor) -> Tensor:
    """Returns the mean of values `[N]`; of a scalar, itself: TensorFlow would run three operations."""
    return tf.reduce_mean(values) if values.shape.rank else values


class NonFinite(errors.TrainingFault):
    """A metric was not finite.

    Attributes:
        name: of the metric.
        value: its sum: nan or an infinity.
        update: the first such update, counted from 1 at the last report.
    """

    def __init__(self, name: str, value: float, update: int) -> None:
        super().__init__(f"{name} became {value} at update {update} since the last report.")
        self.name, self.value, self.update = name, value, update
