"""What an environment shows and accepts: spaces, specs and vocabularies."""

from agentlab.spec.environment_spec import EnvironmentSpec
from agentlab.spec.nests import (
    array_of,
    blank,
    choices_of,
    conform,
    copied,
    describe,
    features_of,
    is_array,
    is_batch,
    joined,
    leaves_of,
    map_space,
    num_values_of,
    pairs_of,
    random_values,
    spaces_alike,
    targets_of,
    to_environment,
)
from agentlab.spec.spaces import Array, Discrete, MultiBinary, MultiDiscrete, Space, SpaceNest
from agentlab.spec.vocabulary import Vocabulary

__all__ = [
    "Array",
    "Discrete",
    "EnvironmentSpec",
    "MultiBinary",
    "MultiDiscrete",
    "Space",
    "SpaceNest",
    "Vocabulary",
    "array_of",
    "blank",
    "choices_of",
    "conform",
    "copied",
    "describe",
    "features_of",
    "is_array",
    "is_batch",
    "joined",
    "leaves_of",
    "map_space",
    "num_values_of",
    "pairs_of",
    "random_values",
    "spaces_alike",
    "targets_of",
    "to_environment",
]
