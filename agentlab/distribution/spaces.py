"""Which distribution goes with which space, and mappings of spaces."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.distribution.choices import Bernoulli, Categorical, MultiCategorical
from agentlab.distribution.clipped_normal import ClippedNormal
from agentlab.distribution.contract import Distribution
from agentlab.distribution.numbers import Normal, SquashedNormal
from agentlab.spec import Array, Discrete, MultiBinary, MultiDiscrete, Space, SpaceNest, choices_of, is_array
from agentlab.types import Nest, Seed, Shape, Tensor


@attrs.frozen(eq=False, kw_only=True)
class Joint(Distribution):
    """Independent distributions of the entries of a mapping, their outputs side by side.

    Attributes:
        entries: the distribution of each entry, by name.
        choices: the axes of each entry's outputs before the last, by name.
    """

    entries: dict[str, Distribution]
    choices: dict[str, Shape]

    @property
    def num_outputs(self) -> int:
        return sum(self._sizes())

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        places: list[int] = []
        start = 0
        for size, entry in zip(self._sizes(), self.entries.values(), strict=True):
            choices = range(start, start + size, entry.num_outputs)
            places += [choice + place for choice in choices for place in entry.deviation_outputs]
            start += size
        return tuple(places)

    def of(self, output: Tensor) -> Self:
        parts = tf.split(output, self._sizes(), axis=-1)
        entries = {}
        for (name, entry), part in zip(self.entries.items(), parts, strict=True):
            axes = self.choices[name]
            entries[name] = entry.of(tf.reshape(part, [-1, *axes, entry.num_outputs]) if axes else part)
        return attrs.evolve(self, output=output, entries=entries)

    def _sizes(self) -> list[int]:
        return [math.prod(self.choices[name]) * entry.num_outputs for name, entry in self.entries.items()]

    def mode(self) -> Nest:
        return {name: entry.mode() for name, entry in self.entries.items()}

    def sample(self, seed: Seed) -> Nest:
        return {name: entry.sample(seeds.child(seed, name)) for name, entry in self.entries.items()}

    def log_probability(self, action: Nest) -> Tensor:
        return sum(entry.log_probability(action[name]) for name, entry in self.entries.items())

    def entropy(self) -> Tensor:
        return sum(entry.entropy() for entry in self.entries.values())

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, entries={name: entry.tempered(temperature) for name, entry in self.entries.items()})


def distribution_of(space: SpaceNest, of_numbers: Callable[[Array], Distribution] | None = None) -> Distribution:
    """Returns the distribution that is usual for actions of a space: by logits for choices, normal for numbers.

    Args:
        space: of the actions.
        of_numbers: returns the distribution of an array of numbers, also of those in a mapping; None for `Normal`.
    """
    if isinstance(space, dict):
        names = sorted(space)
        axes = {name: choices_of(space[name]) for name in names}
        return Joint(entries={name: distribution_of(space[name], of_numbers) for name in names}, choices=axes)
    if of_numbers is not None and is_array(space):
        return of_numbers(space)
    return _USUAL[type(space)](space)


def clipped_or_normal(space: Array, unit_deviation: float = 1.0) -> Distribution:
    """Returns a normal distribution clipped to the bounds of `space`, or a plain one where it has none at all."""
    low, high = space.low, space.high
    if not (np.isfinite(low).any() or np.isfinite(high).any()):
        return Normal(shape=space.shape, unit_deviation=unit_deviation)
    return ClippedNormal(shape=space.shape, low=low, high=high, unit_deviation=unit_deviation)


def squashed_or_normal(space: Array) -> Distribution:
    """Returns a normal distribution squashed into the bounds of `space`, or one without bounds where it has none."""
    if not space.is_bounded:
        return Normal(shape=space.shape)
    return SquashedNormal(shape=space.shape, low=space.low, high=space.high)


_USUAL: dict[type[Space], Any] = {
    Array: lambda space: Normal(shape=space.shape),
    Discrete: lambda space: Categorical(num_values=space.num_values),
    MultiBinary: lambda space: Bernoulli(shape=space.shape),
    MultiDiscrete: lambda space: MultiCategorical(sizes=space.sizes),
}
