"""Distributions of choices, by logits."""

from __future__ import annotations

from typing import Self

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.distribution.contract import COLDEST, Distribution, last_axis, shaped, total
from agentlab.tensors.selection import selected
from agentlab.types import Seed, Shape, Tensor

FORBIDDEN = -1e9  # logit of an action that a mask forbids: its probability is 0 in float32, without any infinity


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
            nats = selected(log_policy, chosen)
        else:
            same = tf.equal(tf.cast(self.actions, tf.int64), chosen[..., None])
            nats = tf.reduce_max(tf.where(same, log_policy, FORBIDDEN), axis=-1)
        return total(nats, nats.shape.rank)

    def entropy(self) -> Tensor:
        log_policy = tf.nn.log_softmax(self._tempered_logits())
        entropy = -tf.reduce_sum(tf.exp(log_policy) * log_policy, axis=-1)
        return total(entropy, entropy.shape.rank)

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
        return last_axis(self.shape)

    @property
    def logits(self) -> Tensor:
        """Logits of 1, `[B, *A]`."""
        return shaped(self.output, self.shape)

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
        return -total(nats, nats.shape.rank)

    def entropy(self) -> Tensor:
        logits = self._tempered(self.logits)
        nats = tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(logits), logits)
        return total(nats, nats.shape.rank)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)

    def _tempered(self, logits: Tensor) -> Tensor:
        return logits if self.temperature is None else logits / tf.maximum(self.temperature, COLDEST)


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
