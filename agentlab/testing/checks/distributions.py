"""Distributions to test samplers on, one of every kind."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.distribution import ActionValues, Categorical, Deterministic, Distribution, distribution_of, squashed_or_normal
from agentlab.sampler import Sampler
from agentlab.spec import Array, Discrete, MultiBinary, MultiDiscrete, SpaceNest, choices_of, leaves_of
from agentlab.testing.checks import around
from agentlab.types import Nest, Seed, Tensor

BOUNDED = Array((2,), minimum=(-1.0, -3.0), maximum=(1.0, 0.5))


@attrs.frozen(eq=False)
class Case:
    """A distribution, without outputs, and the actions it is of.

    Attributes:
        name: for messages.
        space: of the actions.
        distribution: by which outputs are read.
    """

    name: str
    space: SpaceNest
    distribution: Distribution

    def output_shape(self, rows: int) -> tuple[int, ...]:
        """Returns the shape of a model's outputs for so many rows."""
        return (rows, *choices_of(self.space), self.distribution.num_outputs)

    def normal_outputs(self, rows: int, scale: float = 1.0) -> Tensor:
        """Returns random outputs, around 0 by `scale`."""
        return scale * tf.random.stateless_normal(self.output_shape(rows), [1, 2])

    def equal_outputs(self, rows: int) -> Tensor:
        """Returns outputs that are the same in every row, those of one choice 0.1 apart."""
        shape = self.output_shape(rows)
        return tf.broadcast_to(0.1 * tf.range(shape[-1], dtype=tf.float32), shape)


def _usual(name: str, space: SpaceNest) -> Case:
    return Case(name, space, distribution_of(space))


TWO = _usual("two values", Discrete(2))
CASES = (
    TWO,
    _usual("one value", Discrete(1)),
    _usual("several values", Discrete(5)),
    _usual("several choices", Discrete(6, shape=(4,))),
    Case("action values", Discrete(4), ActionValues(num_values=4)),
    _usual("choices of several sizes", MultiDiscrete((2, 3))),
    _usual("zeros and ones", MultiBinary((3,))),
    _usual("numbers", Array((2,))),
    Case("numbers within bounds", BOUNDED, squashed_or_normal(BOUNDED)),
    Case("numbers that are the outputs", Array((2,)), Deterministic(shape=(2,))),
    _usual("a mapping", {"gear": Discrete(3), "steer": Array((2,))}),
)
MASKED = tuple(case for case in CASES if isinstance(case.distribution, Categorical) and case.distribution.num_outputs > 1)


def allowed_cases(sampler: Sampler) -> list[Case]:
    """Returns the cases of distributions that a sampler can draw from.

    A distribution or a sampler may refuse, and a sampler may ask a distribution for what this one has not. So distributions
    are distinguished by their class: if the first case of one can be drawn from, all must be.

    Raises:
        Exception: whatever was raised for the first one, if it can draw from none.
    """
    # One case of each distribution is enough to see whether the sampler takes it.
    failures: dict[type, Exception] = {}
    fine: dict[type, bool] = {}
    for case in CASES:
        kind = type(case.distribution)
        if kind in fine:
            continue
        try:
            draw(sampler, case, case.normal_outputs(2))
            fine[kind] = True
        except Exception as error:  # a foreign sampler may raise anything
            fine[kind], failures[kind] = False, error

    # A sampler that takes none says best itself what is wrong.
    if not any(fine.values()):
        raise next(iter(failures.values()))
    return [case for case in CASES if fine[type(case.distribution)]]


def draw(sampler: Sampler, case: Case, output: Tensor, step: int | Tensor = 0, seed: Seed = None) -> Nest:
    """Returns the actions that a sampler draws from a case's distribution with these outputs."""
    own = around.seed() if seed is None else seed
    return sampler.sample(case.distribution.of(output), tf.cast(step, tf.int64), own)


def drawn_dtype(dtype: str) -> str:
    """Returns the dtype in which actions of a dtype are drawn: int64 for choices, float32 for numbers."""
    return "float32" if np.dtype(dtype).kind == "f" else "int64"


def leaves_with_values(case: Case, action: Nest) -> list[tuple[Any, np.ndarray]]:
    """Returns every space of a case's actions and the values of it."""
    values = tf.nest.flatten(action)
    return list(zip(leaves_of(case.space).values(), [np.asarray(value) for value in values], strict=True))
