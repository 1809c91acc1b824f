"""The Distribution contract: what a model's outputs say about the action; and a distribution for every space."""

from agentlab.distribution.choices import FORBIDDEN, ActionValues, Bernoulli, Categorical, MultiCategorical, draw
from agentlab.distribution.clipped_normal import ClippedNormal
from agentlab.distribution.contract import Distribution
from agentlab.distribution.numbers import Deterministic, Normal, SquashedNormal, uniform_between
from agentlab.distribution.spaces import Joint, clipped_or_normal, distribution_of, squashed_or_normal

__all__ = [
    "FORBIDDEN",
    "ActionValues",
    "Bernoulli",
    "Categorical",
    "ClippedNormal",
    "Deterministic",
    "Distribution",
    "Joint",
    "MultiCategorical",
    "Normal",
    "SquashedNormal",
    "clipped_or_normal",
    "distribution_of",
    "draw",
    "squashed_or_normal",
    "uniform_between",
]
