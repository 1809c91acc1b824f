"""The random draws of a TensorFlow function, read from its graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import tensorflow as tf

from agentlab.tensors.execution import Compiled

STATEFUL = {
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "StatefulRandomBinomial",
    "StatefulStandardNormalV2",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "StatefulUniformFullInt",
    "StatefulUniformInt",
    "TruncatedNormal",
}


@attrs.frozen
class Draws:
    """The random operations of a function.

    Attributes:
        stateless: draw by a seed that they are given.
        stateful: draw from a state of TensorFlow's own, which no run's seed determines under XLA.
    """

    stateless: frozenset[str]
    stateful: frozenset[str]


def kinds_of_draws(function: Callable[..., Any], *signature: tf.TensorSpec) -> Draws:
    """Returns the operations by which a traceable function of tensors draws."""
    graph = Compiled(function, "graph", list(signature)).concrete().graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    operations = {node.op for node in nodes}
    stateless = {name for name in operations if name.startswith("StatelessRandom") and "GetKeyCounter" not in name}
    stateless = {name for name in stateless if "GetAlg" not in name}
    return Draws(frozenset(stateless), frozenset(operations & STATEFUL))
