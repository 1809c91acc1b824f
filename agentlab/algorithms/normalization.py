"""Running normalisation of observations and rewards: what the agent knows of their scale, saved and loaded with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab.algorithms.normalized_models import normalized
from agentlab.algorithms.running_statistics import RunningStatistics
from agentlab.algorithms.same_bits import product
from agentlab.memory import Layout, Memory, Request
from agentlab.spec import Array, EnvironmentSpec, Space, map_space
from agentlab.spec.environment_spec import MASK
from agentlab.system.ranges import Range
from agentlab.task import Normalization
from agentlab.tensors.execution import repeat
from agentlab.trainer import Network
from agentlab.types import Batch, Nest, Seed, Step, Tensor


class ObservationScale:
    """Normalises one array of the observations: `(x - mean) / sqrt(variance + epsilon)`, clipped, float32.

    The mean and the deviation that networks see by stay as they are between two calls of `advance`.

    Args:
        space: of the array.
        settings: clip range and epsilon.
    """

    def __init__(self, space: Space, settings: Normalization) -> None:
        self._clip, self._epsilon = settings.observation_clip, settings.epsilon
        self._statistics = RunningStatistics(space.shape)
        self._mean = tf.Variable(tf.zeros(space.shape, tf.float64), trainable=False, name="seen_mean")
        self._deviation = tf.Variable(tf.ones(space.shape), trainable=False, name="seen_deviation")

    def __call__(self, values: Tensor) -> Tensor:
        """Returns values `[..., *shape]` normalised; traceable."""
        # In float64: of a number far from 0, float32 may hold no digits beyond the mean's.
        distance = tf.cast(tf.cast(values, tf.float64) - self._mean.read_value(), tf.float32)
        return tf.clip_by_value(distance / self._deviation.read_value(), -self._clip, self._clip)

    def layered(self, values: keras.KerasTensor) -> keras.KerasTensor:
        """Returns symbolic values `[B, *shape]` normalised by Keras's own layers, in float32 and as of now."""
        axes = tuple(range(1, len(values.shape)))
        mean, variance = self._mean.numpy(), np.square(self._deviation.numpy())
        return keras.ops.clip(keras.layers.Normalization(axes, mean, variance)(values), -self._clip, self._clip)

    def add(self, values: Tensor, acted: Tensor) -> None:
        """Takes in observations `[B, *shape]` of the rows that `acted` (`[B]` bool); traceable."""
        self._statistics.add(values, acted)

    def advance(self) -> None:
        """Makes networks see by the statistics of everything so far; traceable."""
        self._mean.assign(self._statistics.mean)
        self._deviation.assign(_deviation(self._statistics, self._epsilon))

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of its variables can be; see `agentlab.memory.Memory.ranges`."""
        return {"deviation": Range(float(np.float32(np.sqrt(self._epsilon))))}


class RewardScale:
    """Divides rewards by the standard deviation of the discounted return so far, clipped; their mean is left as it is.

    The return of a row is `discount` times that of the step before plus the reward, from an episode's start to its end.

    Args:
        rows: B, environments side by side.
        request: of the trainer: its discount, and of how many steps a batch's rewards are sums.
        settings: clip range and epsilon.
    """

    def __init__(self, rows: int, request: Request, settings: Normalization) -> None:
        self._epsilon, self._clip = settings.epsilon, settings.reward_clip * request.num_steps
        self._discount = tf.constant(request.discount, tf.float64)
        self._statistics = RunningStatistics(())
        self._returns = tf.Variable(tf.zeros([rows], tf.float64), trainable=False, name="returns")

    def __call__(self, reward: Tensor) -> Tensor:
        """Returns rewards `[...]` float32 normalised, or sums of n discounted ones; traceable."""
        return tf.clip_by_value(reward / _deviation(self._statistics, self._epsilon), -self._clip, self._clip)

    def add(self, reward: Tensor, ended: Tensor, acted: Tensor) -> None:
        """Takes in a turn's rewards `[B]`, whether the next step is of another episode, and which rows acted; traceable."""
        returns = product(self._returns.read_value(), self._discount) + tf.cast(reward, tf.float64)
        self._statistics.add(returns, acted)
        self._returns.assign(tf.where(ended, tf.zeros_like(returns), returns))

    def begin(self) -> None:
        """Begins new episodes in all rows; the running ones are dropped."""
        self._returns.assign(tf.zeros_like(self._returns))


def _deviation(statistics: RunningStatistics, epsilon: float) -> Tensor:
    """Returns `sqrt(variance + epsilon)`, `[*shape]` float32."""
    return tf.cast(tf.sqrt(statistics.variance + epsilon), tf.float32)


class Normalizer:
    """Normalises the observations that networks see and the rewards that trainers learn from; a part of the agent.

    Memories store observations and rewards as they were: the statistics move on, so a step that is learned from later, or
    again and again, has to be normalised when it is used, or a batch would mix several scales. Observations are normalised
    in one place, where a network sees them (`models`); rewards where a batch reaches the trainer (`experience`).

    Every step of the environments that are learned in counts, as it is remembered. Networks see by the statistics as of the
    latest update, which move on after it: an update sees its steps just as the policy saw them that took them, so that the
    probability of an action is still the same. Acting alone, as in evaluation, changes nothing.

    Args:
        spec: of the environments.
        settings: what to normalise, and how.
        rows: B, environments side by side.
        request: of the trainer.
    """

    def __init__(self, spec: EnvironmentSpec, settings: Normalization, rows: int = 1, request: Request | None = None) -> None:
        self._spec, self._rows = spec, rows
        self._observations: Nest = _scales(spec, settings) if settings.observations else None
        self._rewards = RewardScale(rows, request or Request(), settings) if settings.rewards else None

    @property
    def has_observations(self) -> bool:
        """Whether it normalises observations: what networks see changes with `advance` alone."""
        return self._observations is not None

    @property
    def has_rewards(self) -> bool:
        """Whether it normalises rewards: what trainers get of them changes with each step."""
        return self._rewards is not None

    def models(
        self, models: Mapping[str, Sequence[keras.Model]], networks: Mapping[str, Network]
    ) -> dict[str, list[keras.Model]]:
        """Returns models that take observations as they are, made of `models` that see them normalised, by network."""
        if self._observations is None:
            return {name: list(copies) for name, copies in models.items()}
        return {name: [self._model(model, networks[name]) for model in copies] for name, copies in models.items()}

    def _model(self, model: keras.Model, network: Network) -> keras.Model:
        if "observation" not in network.inputs:
            return model
        see = self.see if network.inputs == ("observation",) else self._see_inputs
        return normalized(model, see, self.layered)

    def see(self, observation: Nest) -> Nest:
        """Returns what networks see of `[..., *O]`, observations without the action mask, normalised; traceable."""

        def leaf(_: Space, scale: ObservationScale | None, values: Tensor) -> Tensor:
            return values if scale is None else scale(values)

        return map_space(leaf, self._spec.seen, self._observations, observation)

    def layered(self, observation: keras.KerasTensor) -> keras.KerasTensor:
        """Returns what networks see of a symbolic observation that is one array, by Keras's own layers."""
        return self._observations.layered(observation)

    def _see_inputs(self, inputs: Mapping[str, Nest]) -> Nest:
        return {**inputs, "observation": self.see(inputs["observation"])}

    def experience(self, memory: Memory) -> Memory:
        """Returns the memory as the trainer samples from it."""
        return memory if self._rewards is None else ScaledRewards(memory, self._rewards)

    def add(self, step: Step) -> None:
        """Takes in steps `[N, ...]`: whole turns of B rows, in the order in which they happened; traceable."""
        if not self.has_observations and not self.has_rewards:
            return
        leaves = (self._spec.see(step.observation), step.reward, step.ended, step.acted)
        if step.reward.shape[0] == self._rows:
            self._add_turn(*leaves)
            return
        turns = tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [-1, self._rows, *leaf.shape[1:]]), leaves)

        # Turn by turn: the statistics must not depend on how many turns are handed over together.
        def add(index: Tensor) -> Tensor:
            self._add_turn(*tf.nest.map_structure(lambda leaf: tf.gather(leaf, index), turns))
            return index + 1

        repeat(add, tf.constant(0, tf.int64), tf.shape(turns[1], out_type=tf.int64)[0])

    def _add_turn(self, observation: Nest, reward: Tensor, ended: Tensor, acted: Tensor) -> None:
        if self._rewards is not None:
            self._rewards.add(reward, ended, acted)
        if self._observations is not None:

            def leaf(_: Space, scale: ObservationScale | None, values: Tensor) -> None:
                if scale is not None:
                    scale.add(values, acted)

            map_space(leaf, self._spec.seen, self._observations, observation)

    def advance(self) -> None:
        """Makes networks see by the statistics of everything so far, as after an update; traceable."""
        if self._observations is not None:
            map_space(lambda _, scale: None if scale is None else scale.advance(), self._spec.seen, self._observations)

    def begin(self) -> None:
        """Begins new episodes in all rows, as when a resumed environment can't be restored to where it was."""
        if self._rewards is not None:
            self._rewards.begin()


class ScaledRewards(Memory):
    """A memory whose batches have normalised rewards.

    Args:
        memory: stores rewards as they were.
        scale: normalises them.
    """

    def __init__(self, memory: Memory, scale: RewardScale) -> None:
        self._memory, self._scale = memory, scale

    def build(self, layout: Layout) -> None:
        self._memory.build(layout)

    def add(self, step: Step, row: Tensor) -> None:
        self._memory.add(step, row)

    def sample(self, seed: Seed) -> Batch:
        batch = self._memory.sample(seed)
        return attrs.evolve(batch, reward=self._scale(batch.reward))


def normalized_spec(spec: EnvironmentSpec, settings: Normalization) -> EnvironmentSpec:
    """Returns the spec of what models see: arrays that are normalised are float32 numbers within the clip range."""
    if not settings.observations:
        return spec
    limit = settings.observation_clip

    def leaf(space: Space) -> Space:
        is_changed = _is_normalized(space, spec, settings)
        return Array(space.shape, minimum=-limit, maximum=limit) if is_changed else space

    return attrs.evolve(spec, observation=_without_mask(leaf, spec))


def _without_mask(function: Any, spec: EnvironmentSpec) -> Nest:
    """Returns `function(space)` for every space of an observation but the action mask, which is left as it is."""
    observation = spec.observation
    if not isinstance(observation, dict):
        return map_space(function, observation)
    return {name: entry if name == MASK else map_space(function, entry) for name, entry in observation.items()}


def _is_normalized(space: Space, spec: EnvironmentSpec, settings: Normalization) -> bool:
    """Whether a space of observations is normalised: numbers with fractions, and whole ones such as pixels if asked for."""
    kind = np.dtype(space.dtype).kind
    are_quantities = space.is_numeric and spec.vocabulary is None
    return are_quantities and (kind == "f" or (kind in "iu" and settings.images))


def _scales(spec: EnvironmentSpec, settings: Normalization) -> Nest | None:
    """Returns an ObservationScale for each space of what models see, None for one left as it is; None if all are."""

    def leaf(space: Space) -> ObservationScale | None:
        return ObservationScale(space, settings) if _is_normalized(space, spec, settings) else None

    scales = map_space(leaf, spec.seen)
    return scales if any(scale is not None for scale in tf.nest.flatten(scales)) else None
