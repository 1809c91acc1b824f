"""The Sampler contract: an action is one independent draw from a model's output; and the samplers every agent can use."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.schedules import Schedule, as_schedule, values_of
from agentlab.spec import EnvironmentSpec
from agentlab.system.tracebacks import told

COLDEST = 1e-6  # temperature that stands in for 0 where it divides


class Sampler(abc.ABC):
    """Draws actions from outputs; exploring, evaluating and generating text differ in the sampler only.

    Attributes:
        outputs_per_number: where actions are arrays of numbers, how many outputs it draws one of them from: 2 for a Gaussian
            of which the model puts out means and standard deviations.
    """

    outputs_per_number: ClassVar[int] = 1

    @abc.abstractmethod
    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        """Returns one action per row.

        Args:
            output: `[B, ..., K]` float32, the model's output: values or logits, one per choice, or numbers to act by.
            step: int64 scalar, environment steps taken so far, for schedules.
            seed: `[2]` int64 for `agentlab.seeds.uniform` and `integers`.

        Returns:
            `[B, ...]` int64, each in 0 to K - 1; or `[B, ..., A]` float32 where actions are arrays of A numbers, which
            take `K = A * outputs_per_number` outputs.
        """

    def explore(self, choices: Any, num_actions: int, step: Any, seed: Any) -> Any:
        """Returns what `sample` will draw, as far as no output has a part in it; by default None: they always have.

        A sampler that takes the best action or explores without regard to outputs can tell before they are known; a host
        program then spares the model where it explores.

        Args:
            choices: `[B, ...]`, shape of the actions.
            num_actions: K.
            step: as of `sample`.
            seed: as of `sample`.

        Returns:
            None, or `[B, ...]` int64: the action, or -1 where `sample` will take the one with the largest output.
        """
        return None


@attrs.frozen
class Greedy(Sampler):
    """Takes the action with the largest output; of equal ones the first."""

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        return tf.argmax(output, axis=-1)


@attrs.frozen
class Direct(Sampler):
    """Takes the output itself as the action, where actions are arrays of numbers."""

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        return output


@attrs.frozen
class Temperature(Sampler):
    """Draws an action with probability proportional to `exp(output / temperature)`, also known as Boltzmann exploration.

    `top_k` and `top_p` leave out the improbable ones first; given both, `top_p` counts what `top_k` left.

    Attributes:
        temperature: 0 or greater, in units of the output; 0 is greedy. A schedule counts environment steps.
        top_k: draw among the k largest outputs (Fan, Lewis and Dauphin 2018, arXiv:1805.04833); None for all.
        top_p: draw among the most probable ones that make up this probability, the one that reaches it included; greater than
            0, at most 1; None for all (nucleus sampling; Holtzman et al. 2020, arXiv:1904.09751).
    """

    temperature: float | Schedule = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __attrs_post_init__(self) -> None:
        if any(not 0.0 <= value < math.inf for value in values_of(self.temperature)):  # nan included
            raise ValueError(f"'temperature' must be 0 or greater: {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"'top_k' must be at least 1: {self.top_k}")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"'top_p' must be greater than 0 and at most 1: {self.top_p}")

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        temperature = as_schedule(self.temperature)(step)
        if self.top_k is None and self.top_p is None:
            return _draw(output, temperature, seed)
        values, actions = tf.math.top_k(output, min(self.top_k or output.shape[-1], output.shape[-1]))  # in descending order
        if self.top_p is not None:
            values = tf.where(_nucleus(values, temperature, self.top_p), values, -math.inf)
        place = _draw(values, temperature, seed)
        return tf.cast(tf.gather(actions, place, batch_dims=len(place.shape)), tf.int64)


@attrs.frozen
class TopK(Temperature):
    """Draws among the k largest outputs, by temperature; see there."""

    top_k: int | None = 40


@attrs.frozen
class TopP(Temperature):
    """Draws among the most probable actions that make up a probability of `top_p`, by temperature; see there."""

    top_p: float | None = 0.9


def best_unless(explored: Any, output: Any) -> Any:
    """Returns the actions `explored` `[B, ...]` int64, but where they are -1 the ones with the largest output."""
    return tf.where(explored >= 0, explored, tf.argmax(output, axis=-1))


def check_actions(sampler: Sampler, spec: EnvironmentSpec, output: Any) -> None:
    """Draws one action from an `output` `[1, ..., K]`.

    Raises:
        UsageError: it is not of the shape that the environment takes, or can't be drawn from such an output.
    """
    try:
        action = sampler.sample(output, tf.constant(0, tf.int64), seeds.at(0, 0))
    except errors.AgentlabError:
        raise
    except Exception as error:
        raise errors.UsageError(
            f"Sampler {type(sampler).__name__} can't draw an action of {spec.name!r} from {output.shape[-1]} outputs, which is "
            f"what the trainer asks of the model: {told(error)}. Choose another sampler, in training "
            "(sampler.name) and evaluation (evaluation.sampler.name)."
        ) from error
    got, expected = tuple(action.shape[1:]), spec.action.shape
    if got != expected:
        raise errors.UsageError(
            f"Sampler {type(sampler).__name__} draws actions of shape {got}; environment {spec.name!r} takes a {spec.action}. "
            "Choose sampler 'direct' where actions are arrays of numbers, and 'greedy' or another where they are choices, "
            "in training (sampler.name) and evaluation (evaluation.sampler.name)."
        )


def _draw(output: Any, temperature: Any, seed: Any) -> Any:
    """Returns draws `[B, ...]` int64 from the softmax of `output / temperature`; the first largest at temperature 0.

    One uniform number per draw falls into one of K intervals as long as the probabilities, which costs a third of a Gumbel
    noise for each of K outputs. What has no probability is never drawn, wherever rounding puts the point.
    """
    ends = tf.cumsum(_chances(output, temperature), axis=-1)
    whole = ends[..., -1:]
    point = seeds.uniform(seed, tf.shape(whole)) * whole
    reached, last = (tf.reduce_sum(tf.cast(below, tf.int64), axis=-1) for below in (ends <= point, ends < whole))
    return tf.where(temperature > 0.0, tf.minimum(reached, last), tf.argmax(output, axis=-1))


def _nucleus(values: Any, temperature: Any, probability: float) -> Any:
    """Returns which of `values` `[..., K]`, in descending order, it takes to make up a probability; bool, the first always."""
    chances = _chances(values, temperature)
    before = tf.cumsum(chances, axis=-1, exclusive=True)
    return before < probability * tf.reduce_sum(chances, axis=-1, keepdims=True)


def _chances(output: Any, temperature: Any) -> Any:
    """Returns numbers `[..., K]` float32 in proportion to the probabilities, the largest 1."""
    largest = tf.reduce_max(output, axis=-1, keepdims=True)
    return tf.exp((output - largest) / tf.maximum(temperature, COLDEST))
