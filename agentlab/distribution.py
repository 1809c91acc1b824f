"""The Distribution contract: what a model's outputs say about the action; and a distribution for every space."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.spec import Array, Discrete, MultiBinary, MultiDiscrete, Space, SpaceNest, choices_of, is_array
from agentlab.types import Nest, Seed, Shape, Tensor

COLDEST = 1e-6  # temperature that stands in for 0 where it divides
FORBIDDEN = -1e9  # logit of an action that a mask forbids: its probability is 0 in float32, without any infinity
FAR = 8.0  # standard deviations below 0 from which on a probability is computed by a series
BEYOND = 1e6  # stands for an infinite bound, in units of the action: no draw in float32 is so far from its mean
LOG_STD_RANGE = (-20.0, 2.0)  # of a normal distribution's outputs, as in Haarnoja et al. (2018), arXiv:1801.01290

# Points at which a function of a standard normal number is added up to its mean. An even spacing converges faster than any
# power of it where the function is smooth: the log-slope of tanh is, also at the largest standard deviation.
POINTS = np.linspace(-5.0, 5.0, 41, dtype=np.float32)
SHARES = np.exp(-0.5 * POINTS**2) / np.sum(np.exp(-0.5 * POINTS**2))


@attrs.frozen(eq=False, kw_only=True)
class Distribution(abc.ABC):
    """The distribution of actions that outputs stand for.

    An instance says how outputs are read; `of(output)` returns the same with outputs, which the methods are about.
    A row's action may have several elements: probabilities are of all of them together.

    Attributes:
        output: `[B, ..., K]` float32, the model's outputs; None before `of`.
    """

    output: Tensor = None

    @property
    @abc.abstractmethod
    def num_outputs(self) -> int:
        """K, the outputs that the model needs."""

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        """Which of the K outputs say how far actions spread around the mode, by place; by default none."""
        return ()

    def of(self, output: Tensor) -> Self:
        """Returns this distribution for a model's outputs `[B, ..., K]`."""
        return attrs.evolve(self, output=output)

    @abc.abstractmethod
    def mode(self) -> Nest:
        """Returns the most probable actions `[B, *A]`."""

    @abc.abstractmethod
    def sample(self, seed: Seed) -> Nest:
        """Returns actions `[B, *A]`, an independent draw for each row; differentiable where actions are numbers."""

    @abc.abstractmethod
    def log_probability(self, action: Nest) -> Tensor:
        """Returns the logarithm of the probability (density) of actions `[B, *A]`, `[B]` float32."""

    @abc.abstractmethod
    def entropy(self) -> Tensor:
        """Returns the entropy in nats, `[B]` float32; to two digits where there is no closed form."""

    def tempered(self, temperature: Tensor) -> Self:
        """Returns this distribution with probabilities `p**(1 / temperature)`, normalised; a temperature of 0 is the mode.

        Raises:
            UsageError: this distribution has no temperature.
        """
        raise errors.UsageError(_unable(self, "has no temperature", "'greedy' or 'stochastic'"))

    def restricted(self, top_k: int | None, top_p: float | None) -> Distribution:
        """Returns this distribution with only the most probable actions left, see `agentlab.sampler.Temperature`.

        Raises:
            UsageError: this distribution can't be restricted.
        """
        raise errors.UsageError(_unable(self, "is not one of single choices, which top_k and top_p need", "'stochastic'"))

    def masked(self, mask: Tensor) -> Self:
        """Returns this distribution with only the actions left that `mask` (`[B, ..., K]` bool) allows.

        Raises:
            UsageError: this distribution can't be masked.
        """
        raise errors.UsageError(_unable(self, "can't be masked", "an environment without an action mask"))

    def explore(self, choices: Tensor, seed: Seed) -> Tensor:
        """Returns uniformly random actions, int64 in the shape `choices` `[B, ...]`; needs no outputs.

        Raises:
            UsageError: actions are no choices.
        """
        raise errors.UsageError(_unable(self, "has no uniformly random action", "'stochastic' or 'greedy'"))


def _unable(distribution: Distribution, reason: str, remedy: str) -> str:
    return f"The distribution {type(distribution).__name__} {reason}. Choose {remedy}."


@attrs.frozen(eq=False, kw_only=True)
class Categorical(Distribution):
    """One choice among `num_values`, by logits; an action may consist of several such choices.

    Attributes:
        num_values: A, values to choose among.
        temperature: logits are divided by it; None for 1.
        mask: `[B, ..., A]` bool, the allowed values; None for all.
        actions: `[B, ..., k]`, the values that k outputs stand for; None where they are all values in order.
    """

    num_values: int
    temperature: Tensor = None
    mask: Tensor = None
    actions: Tensor = None

    @property
    def num_outputs(self) -> int:
        return self.num_values

    @property
    def preferences(self) -> Tensor:
        """What the logits are made from, `[B, ..., A]`: by default the outputs."""
        return self.output

    @property
    def logits(self) -> Tensor:
        """Logits `[B, ..., A]` before temperature, FORBIDDEN where the mask forbids."""
        preferences = self.preferences
        return preferences if self.mask is None else tf.where(self.mask, preferences, FORBIDDEN)

    def mode(self) -> Tensor:
        return self._chosen(tf.argmax(self.logits, axis=-1))

    def sample(self, seed: Seed) -> Tensor:
        return self._chosen(draw(self.logits, self.temperature, seed))

    def log_probability(self, action: Tensor) -> Tensor:
        # [B, ..., A] log-probabilities of all actions, of which the chosen one's counts.
        log_policy = tf.nn.log_softmax(self._tempered_logits())
        chosen = tf.cast(action, tf.int64)
        if self.actions is None:
            nats = tf.gather(log_policy, chosen, batch_dims=len(chosen.shape))
        else:
            same = tf.equal(tf.cast(self.actions, tf.int64), chosen[..., None])
            nats = tf.reduce_max(tf.where(same, log_policy, FORBIDDEN), axis=-1)
        return _total(nats, nats.shape.rank)

    def entropy(self) -> Tensor:
        log_policy = tf.nn.log_softmax(self._tempered_logits())
        entropy = -tf.reduce_sum(tf.exp(log_policy) * log_policy, axis=-1)
        return _total(entropy, entropy.shape.rank)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)

    def restricted(self, top_k: int | None, top_p: float | None) -> Categorical:
        logits = self.logits
        values, actions = tf.math.top_k(logits, min(top_k or logits.shape[-1], logits.shape[-1]))  # in descending order
        if top_p is not None:
            values = tf.where(_nucleus(values, self.temperature, top_p), values, FORBIDDEN)
        return Categorical(num_values=self.num_values, output=values, temperature=self.temperature, actions=actions)

    def masked(self, mask: Tensor) -> Self:
        return attrs.evolve(self, mask=tf.cast(mask, tf.bool))

    def explore(self, choices: Tensor, seed: Seed) -> Tensor:
        if self.mask is None:
            return seeds.integers(seed, choices, self.num_values)
        return draw(tf.where(self.mask, 0.0, FORBIDDEN), None, seed)

    def _tempered_logits(self) -> Tensor:
        return self.logits if self.temperature is None else self.logits / tf.maximum(self.temperature, COLDEST)

    def _chosen(self, index: Tensor) -> Tensor:
        if self.actions is None:
            return index
        return tf.cast(tf.gather(self.actions, index, batch_dims=len(index.shape)), tf.int64)


@attrs.frozen(eq=False, kw_only=True)
class ActionValues(Categorical):
    """One output per action, its value: the mode is the best action, and a sample is drawn from the values' softmax."""


@attrs.frozen(eq=False, kw_only=True)
class MultiCategorical(Distribution):
    """Several independent choices among different numbers of values, their logits side by side.

    Attributes:
        sizes: values to choose among, one number per choice.
        parts: the distribution of each choice, made by `of`.
    """

    sizes: tuple[int, ...]
    parts: tuple[Categorical, ...] = ()

    @property
    def num_outputs(self) -> int:
        return sum(self.sizes)

    def of(self, output: Tensor) -> Self:
        logits = tf.split(output, self.sizes, axis=-1)
        parts = [Categorical(num_values=size, output=part) for size, part in zip(self.sizes, logits, strict=True)]
        return attrs.evolve(self, output=output, parts=tuple(parts))

    def mode(self) -> Tensor:
        return tf.stack([part.mode() for part in self.parts], axis=-1)

    def sample(self, seed: Seed) -> Tensor:
        draws = [part.sample(seeds.child(seed, f"choice {index}")) for index, part in enumerate(self.parts)]
        return tf.stack(draws, axis=-1)

    def log_probability(self, action: Tensor) -> Tensor:
        actions = tf.unstack(action, axis=-1)
        return sum(part.log_probability(chosen) for part, chosen in zip(self.parts, actions, strict=True))

    def entropy(self) -> Tensor:
        return sum(part.entropy() for part in self.parts)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, parts=tuple(part.tempered(temperature) for part in self.parts))

    def masked(self, mask: Tensor) -> Self:
        masks = tf.split(tf.cast(mask, tf.bool), self.sizes, axis=-1)
        return attrs.evolve(self, parts=tuple(part.masked(own) for part, own in zip(self.parts, masks, strict=True)))


@attrs.frozen(eq=False, kw_only=True)
class Bernoulli(Distribution):
    """Independent choices between 0 and 1, by the logit of 1.

    Attributes:
        shape: of an action.
        temperature: logits are divided by it; None for 1.
    """

    shape: Shape
    temperature: Tensor = None

    @property
    def num_outputs(self) -> int:
        return _last(self.shape)

    @property
    def logits(self) -> Tensor:
        """Logits of 1, `[B, *A]`."""
        return _shaped(self.output, self.shape)

    def mode(self) -> Tensor:
        return tf.cast(self.logits > 0.0, tf.int64)

    def sample(self, seed: Seed) -> Tensor:
        logits = self.logits
        drawn = tf.cast(seeds.uniform(seed, tf.shape(logits)) < tf.sigmoid(self._tempered(logits)), tf.int64)
        if self.temperature is None:
            return drawn
        return tf.where(self.temperature > 0.0, drawn, self.mode())

    def log_probability(self, action: Tensor) -> Tensor:
        logits = self._tempered(self.logits)
        nats = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(action, tf.float32), logits)
        return -_total(nats, nats.shape.rank)

    def entropy(self) -> Tensor:
        logits = self._tempered(self.logits)
        nats = tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(logits), logits)
        return _total(nats, nats.shape.rank)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)

    def _tempered(self, logits: Tensor) -> Tensor:
        return logits if self.temperature is None else logits / tf.maximum(self.temperature, COLDEST)


@attrs.frozen(eq=False, kw_only=True)
class Deterministic(Distribution):
    """The outputs themselves are the action.

    Attributes:
        shape: of an action.
    """

    shape: Shape

    @property
    def num_outputs(self) -> int:
        return _last(self.shape)

    def mode(self) -> Tensor:
        return _shaped(self.output, self.shape)

    def sample(self, seed: Seed) -> Tensor:
        return self.mode()

    def log_probability(self, action: Tensor) -> Tensor:
        raise errors.UsageError(_unable(self, "has no probabilities", "a trainer that needs none"))

    def entropy(self) -> Tensor:
        raise errors.UsageError(_unable(self, "has no entropy", "a trainer that needs none"))


@attrs.frozen(eq=False, kw_only=True)
class Normal(Distribution):
    """Independent normal distributions: outputs are the means, then the logarithms of the standard deviations.

    Attributes:
        shape: of an action.
        temperature: by which variances are multiplied; None for 1.
        unit_deviation: standard deviation that an output of 0 stands for, greater than 0.
    """

    shape: Shape
    temperature: Tensor = None
    unit_deviation: float = 1.0
    noise_scale: ClassVar[float] = 0.5 * math.log(2.0 * math.pi)

    @property
    def num_outputs(self) -> int:
        return 2 * _last(self.shape)

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        return _second_half(self.num_outputs)

    @property
    def mean(self) -> Tensor:
        """`[B, *A]`."""
        return _shaped(self.output[..., : self.num_outputs // 2], self.shape)

    @property
    def log_std(self) -> Tensor:
        """`[B, *A]`, of the outputs within LOG_STD_RANGE, and tempered."""
        outputs = _shaped(self.output[..., self.num_outputs // 2 :], self.shape)
        log_std = tf.clip_by_value(outputs + math.log(self.unit_deviation), *LOG_STD_RANGE)
        if self.temperature is None:
            return log_std
        # p**(1 / t) of a normal distribution is a normal distribution with t times the variance.
        return log_std + 0.5 * tf.math.log(tf.maximum(self.temperature, COLDEST**2))

    def mode(self) -> Tensor:
        return self.mean

    def sample(self, seed: Seed) -> Tensor:
        mean = self.mean
        std = tf.exp(self.log_std)
        if self.temperature is not None:
            std = tf.where(self.temperature > 0.0, std, 0.0)
        return mean + std * seeds.normal(seed, tf.shape(mean))

    def log_probability(self, action: Tensor) -> Tensor:
        log_std = self.log_std
        normalized = (tf.cast(action, tf.float32) - self.mean) * tf.exp(-log_std)
        density = -0.5 * tf.square(normalized) - log_std - self.noise_scale
        return _total(density, density.shape.rank)

    def entropy(self) -> Tensor:
        nats = self.log_std + 0.5 + self.noise_scale
        return _total(nats, nats.shape.rank)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)


@attrs.frozen(eq=False, kw_only=True)
class SquashedNormal(Distribution):
    """A normal distribution squashed by tanh into the bounds of the action (Haarnoja et al. 2018, arXiv:1801.01290).

    It is tempered before it is squashed.

    Attributes:
        shape: of an action.
        low: the smallest action, an array of that shape.
        high: the largest.
        temperature: of the normal distribution; None for 1.
        unit_deviation: standard deviation of the normal distribution that an output of 0 stands for, greater than 0.
    """

    shape: Shape
    low: np.ndarray
    high: np.ndarray
    temperature: Tensor = None
    unit_deviation: float = 1.0

    @property
    def num_outputs(self) -> int:
        return 2 * _last(self.shape)

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        return _second_half(self.num_outputs)

    def mode(self) -> Tensor:
        return self._squashed(self._normal().mean)

    def sample(self, seed: Seed) -> Tensor:
        return self._squashed(self._normal().sample(seed))

    def sample_with_log_probability(self, seed: Seed) -> tuple[Tensor, Tensor]:
        """Returns actions `[B, *A]` and their log-densities `[B]`, exact where the squashed action is rounded to a bound."""
        raw = self._normal().sample(seed)
        return self._squashed(raw), self._density(raw)

    def log_probability(self, action: Tensor) -> Tensor:
        unit = (tf.cast(action, tf.float32) - self.low) / (self.high - self.low) * 2.0 - 1.0
        limit = 1.0 - 1e-6  # beyond which float32 can't tell how far out an action was
        return self._density(tf.atanh(tf.clip_by_value(unit, -limit, limit)))

    def entropy(self) -> Tensor:
        # The normal's own entropy, and the mean change of volume, which has no closed form.
        normal = self._normal()
        raw = normal.mean[..., None] + tf.exp(normal.log_std)[..., None] * POINTS  # [B, *A, points]
        volume = self._log_half() + tf.reduce_sum(SHARES * _log_slope(raw), axis=-1)
        return normal.entropy() + _total(volume, volume.shape.rank)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)

    def _normal(self) -> Normal:
        return Normal(shape=self.shape, output=self.output, temperature=self.temperature, unit_deviation=self.unit_deviation)

    def _squashed(self, raw: Tensor) -> Tensor:
        middle, half = (self.high + self.low) / 2.0, (self.high - self.low) / 2.0
        return tf.clip_by_value(middle + half * tf.tanh(raw), self.low, self.high)

    def _density(self, raw: Tensor) -> Tensor:
        """Returns log-densities `[B]` of the actions that `raw` `[B, *A]` are squashed to."""
        volume = self._log_half() + _log_slope(raw)
        return self._normal().log_probability(raw) - _total(volume, volume.shape.rank)

    def _log_half(self) -> np.ndarray:
        """Returns the logarithm of half the width of the bounds, in the action's shape."""
        return np.log((self.high - self.low) / 2.0).astype(np.float32)


@attrs.frozen(eq=False, kw_only=True)
class ClippedNormal(Distribution):
    """A normal distribution whose draws beyond a bound of the action count as that bound.

    A bound has a probability of its own, that of everything beyond it; between the bounds there is a density (Fujita and Maeda
    2018, arXiv:1802.07564). Where an element has two bounds, outputs are in units in which they are -1 and 1; else in units of
    the action. The entropy is the mean of minus the log-probability.

    Attributes:
        shape: of an action.
        low: the smallest action, an array of that shape; an element may be minus infinity.
        high: the largest; an element may be infinity.
        temperature: of the normal distribution; None for 1.
        unit_deviation: standard deviation, in those units, that an output of 0 stands for, greater than 0.
    """

    shape: Shape
    low: np.ndarray
    high: np.ndarray
    temperature: Tensor = None
    unit_deviation: float = 1.0

    @property
    def num_outputs(self) -> int:
        return 2 * _last(self.shape)

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        return _second_half(self.num_outputs)

    def mode(self) -> Tensor:
        return self._clipped(self._normal().mean)

    def sample(self, seed: Seed) -> Tensor:
        return self._clipped(self._normal().sample(seed))

    def log_probability(self, action: Tensor) -> Tensor:
        middle, half = self._units()
        action = tf.cast(action, tf.float32)
        log_std = self._normal().log_std
        normalized = ((action - middle) / half - self._normal().mean) * tf.exp(-log_std)

        # [B, *A] density between the bounds, probability at them.
        between = -0.5 * tf.square(normalized) - log_std - Normal.noise_scale - np.log(half)
        at_low, at_high = action <= np.float32(self.low), action >= np.float32(self.high)
        nats = tf.where(at_low, log_below(normalized), tf.where(at_high, log_below(-normalized), between))
        return _total(nats, nats.shape.rank)

    def entropy(self) -> Tensor:
        # [B, *A] the bounds in standard deviations from the mean, and what lies beyond and between them.
        middle, half = self._units()
        mean, log_std = self._normal().mean, self._normal().log_std
        below, above = (
            (np.clip((bound - middle) / half, -BEYOND, BEYOND).astype(np.float32) - mean) * tf.exp(-log_std)
            for bound in (self.low, self.high)
        )
        tails = [log_below(below), log_below(-above)]
        share = 1.0 - tf.exp(tails[0]) - tf.exp(tails[1])

        # The integral of minus the log-density between the bounds, and that of the two probabilities.
        squares = share + below * _bell(below) - above * _bell(above)
        nats = share * (log_std + Normal.noise_scale + np.log(half)) + 0.5 * squares
        nats -= tf.exp(tails[0]) * tails[0] + tf.exp(tails[1]) * tails[1]
        return _total(nats, nats.shape.rank)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)

    def _normal(self) -> Normal:
        return Normal(shape=self.shape, output=self.output, temperature=self.temperature, unit_deviation=self.unit_deviation)

    def _units(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the middle between two bounds and half their distance, or 0 and 1 without bounds."""
        bounded = np.isfinite(self.low) & np.isfinite(self.high)
        low, high = (np.where(bounded, bound, default) for bound, default in ((self.low, -1.0), (self.high, 1.0)))
        return ((high + low) / 2.0).astype(np.float32), ((high - low) / 2.0).astype(np.float32)

    def _clipped(self, raw: Tensor) -> Tensor:
        middle, half = self._units()
        return tf.clip_by_value(middle + half * raw, np.float32(self.low), np.float32(self.high))


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


def draw(logits: Tensor, temperature: Tensor, seed: Seed) -> Tensor:
    """Returns draws `[B, ...]` int64 from the softmax of `logits / temperature`; the first largest at temperature 0.

    One uniform number per draw falls into one of A intervals as long as the probabilities, which costs a third of a Gumbel
    noise for each of A outputs. What has no probability is never drawn, wherever rounding puts the point.
    """
    ends = tf.cumsum(_chances(logits, temperature), axis=-1)
    whole = ends[..., -1:]
    point = seeds.uniform(seed, tf.shape(whole)) * whole
    reached, last = (tf.reduce_sum(tf.cast(below, tf.int64), axis=-1) for below in (ends <= point, ends < whole))
    drawn = tf.minimum(reached, last)
    return drawn if temperature is None else tf.where(temperature > 0.0, drawn, tf.argmax(logits, axis=-1))


def _nucleus(values: Tensor, temperature: Tensor, probability: float) -> Tensor:
    """Returns which of `values` `[..., K]` in descending order are needed to make up a probability; bool, the first always."""
    chances = _chances(values, temperature)
    before = tf.cumsum(chances, axis=-1, exclusive=True)
    return before < probability * tf.reduce_sum(chances, axis=-1, keepdims=True)


def _chances(logits: Tensor, temperature: Tensor) -> Tensor:
    """Returns numbers `[..., K]` float32 in proportion to the probabilities, the largest 1."""
    below = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    return tf.exp(below if temperature is None else below / tf.maximum(temperature, COLDEST))


def _log_slope(raw: Tensor) -> Tensor:
    """Returns the logarithm of the slope of tanh: `1 - tanh(x)**2 = 4 / (e**x + e**-x)**2`, without overflow."""
    return 2.0 * (math.log(2.0) - raw - tf.nn.softplus(-2.0 * raw))


def log_below(number: Tensor) -> Tensor:
    """Returns the logarithm of the probability that a standard normal draw is below `number`, float32 in its shape.

    Far below 0, where the probability is too small for float32, by its asymptotic series (Abramowitz and Stegun 1964, 26.2.12).
    """
    is_far = number < -FAR
    far, near = tf.where(is_far, number, -FAR), tf.where(is_far, -FAR, number)
    square = 1.0 / tf.square(far)
    series = tf.math.log1p(-square * (1.0 - 3.0 * square * (1.0 - 5.0 * square)))
    tail = -0.5 * tf.square(far) - tf.math.log(-far) - Normal.noise_scale + series
    return tf.where(is_far, tail, tf.math.log(0.5 * tf.math.erfc(-near * math.sqrt(0.5))))


def _bell(number: Tensor) -> Tensor:
    """Returns the density of the standard normal distribution."""
    return tf.exp(-0.5 * tf.square(number) - Normal.noise_scale)


def _second_half(count: int) -> tuple[int, ...]:
    return tuple(range(count // 2, count))


def _last(shape: Shape) -> int:
    """Returns the number of elements along an action's last axis; a scalar has one."""
    return shape[-1] if shape else 1


def _shaped(values: Tensor, shape: Shape) -> Tensor:
    """Returns numbers `[B, ..., K]`, one per element of an action, in the action's shape `[B, *A]`."""
    return values if shape else values[..., 0]


def _total(values: Tensor, rank: int) -> Tensor:
    """Returns the sums `[B]` of `values` `[B, ...]` of a rank."""
    return values if rank == 1 else tf.reduce_sum(values, axis=list(range(1, rank)))
