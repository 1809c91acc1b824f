"""Differences in float64 as two in float32, for formats without arithmetic in float64."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.loop.export.policy_function import PolicyFunction

EXACT = {tf.float16, tf.float32, tf.bool, tf.int8, tf.int16, tf.uint8, tf.uint16}  # dtypes of which float32 holds every number


def in_single_precision(policy: PolicyFunction) -> PolicyFunction:
    """Returns a policy in which observations are centred in float32, as `(x - high) - low` with a mean of `high + low`.

    Normalisation centres `x` in float64, since float32 may hold no digits of a number beyond the mean's. `x - high` has them:
    numbers that are close to each other have an exact difference in float32. What isn't cast from a smaller dtype is left.
    """
    definition = policy.concrete.graph.as_graph_def()
    nodes = {node.name: node for node in definition.node}
    centred = [node for node in definition.node if node.op == "Sub" and _is_centring(node, nodes)]
    if not centred:
        return policy
    for node in centred:
        _split(definition, nodes, node)

    # The graph as a function again, of the same inputs and outputs.
    ends = [[tensor.name for tensor in tensors] for tensors in (policy.concrete.inputs, policy.concrete.outputs)]
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    graph = whole.graph
    pruned = whole.prune(*([graph.get_tensor_by_name(name) for name in names] for names in ends))
    return attrs.evolve(policy, concrete=pruned)


def _is_centring(node: Any, nodes: dict[str, Any]) -> bool:
    """Whether a node is the difference in float64 of what was cast to it and a constant."""
    if node.attr["T"].type != tf.float64.as_datatype_enum:
        return False
    cast, mean = (_source(nodes, name) for name in node.input[:2])
    return cast.op == "Cast" and tf.as_dtype(cast.attr["SrcT"].type) in EXACT and mean.op == "Const"


def _source(nodes: dict[str, Any], name: str) -> Any:
    """Returns the node that an input comes from, past those that hand it on."""
    node = nodes[name.lstrip("^").partition(":")[0]]
    return _source(nodes, node.input[0]) if node.op in ("Identity", "StopGradient") else node


def _split(definition: Any, nodes: dict[str, Any], node: Any) -> None:
    """Puts two differences in float32 in the place of one in float64, and casts back what they come to."""
    cast, mean = (_source(nodes, name) for name in node.input[:2])
    whole = tf.make_ndarray(mean.attr["value"].tensor)
    high = whole.astype(np.float32)
    low = (whole - high).astype(np.float32)

    # Constants, x in float32, the two differences, and the last one under the old name.
    name, value = (
        node.name,
        _add(definition, "Cast", f"{node.name}/x", [cast.input[0]], SrcT=cast.attr["SrcT"].type, DstT=tf.float32),
    )
    for part, number in (("high", high), ("low", low)):
        constant = definition.node.add(op="Const", name=f"{name}/{part}")
        constant.attr["dtype"].type = tf.float32.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(number))
        value = _add(definition, "Sub", f"{name}/minus_{part}", [value, constant.name], T=tf.float32)
    node.Clear()
    node.op, node.name = "Cast", name
    node.input.append(value)
    node.attr["SrcT"].type, node.attr["DstT"].type = tf.float32.as_datatype_enum, tf.float64.as_datatype_enum


def _add(definition: Any, op: str, name: str, inputs: list[str], **types: Any) -> str:
    node = definition.node.add(op=op, name=name)
    node.input.extend(inputs)
    for attribute, kind in types.items():
        node.attr[attribute].type = tf.as_dtype(kind).as_datatype_enum
    return name
