"""A whole policy as one function of named tensors: what an exported policy is in every format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from agentlab import seeds
from agentlab.loop.acting import PolicyActor
from agentlab.loop.perception import ACTION
from agentlab.loop.policy import Policy
from agentlab.model import where_rows
from agentlab.spec import Space, blank, map_space
from agentlab.types import Nest, Tensor

OBSERVATION, STATE, BEGUN, REWARDS, STEP = "observation", "state", "begun", "reward", "step"
OPTIONAL = (REWARDS, STEP)  # inputs that are left out where nothing depends on them


@attrs.frozen(eq=False)
class PolicyFunction:
    """A policy from observations to actions, its weights being constants.

    Attributes:
        concrete: the function, of the inputs in their order to the outputs in theirs.
        inputs: shape and dtype of each input by name. `observation`, or `observation_NAME` for each entry of a mapping,
            `[B, *O]`; where an agent carries something from step to step, `state_0`, ... `[B, ...]`, and `begun`, `[B]` bool,
            True where an episode begins, whose state then counts for nothing; `reward`, `[B]` float32, of the last action,
            where the networks see it; `step`, int64, the number of actions drawn before, where the sampler draws at random.
        outputs: the names of the outputs: `action`, or `action_NAME`, `[B, *A]`, as the environment numbers them; and
            `next_state_0`, ... for the next step's `state_0`, ...
    """

    concrete: Any
    inputs: dict[str, tf.TensorSpec]
    outputs: tuple[str, ...]

    @property
    def states(self) -> list[str]:
        """The names of the inputs that are states, in order."""
        return [name for name in self.inputs if name.startswith(f"{STATE}_")]

    def operations(self) -> dict[str, str]:
        """Returns the types of its operations, each with the name of one."""
        definition = self.concrete.graph.as_graph_def()
        nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
        return {node.op: node.name for node in reversed(nodes)}


def policy_function(actor: PolicyActor) -> PolicyFunction:
    """Returns the policy of an actor as a function, which draws what the actor draws."""
    whole = _Inputs.of(actor.policy)
    needed = _needed(_traced(actor, whole), whole)

    # Traced once more without the inputs on which nothing depends.
    inputs = whole.without([name for name in OPTIONAL if name not in needed])
    concrete = _traced(actor, inputs)
    outputs = tuple(sorted(concrete.structured_outputs))
    constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    return PolicyFunction(constant, inputs.named(), outputs)


@attrs.frozen(eq=False)
class _Inputs:
    """The inputs of a policy's function.

    Attributes:
        nests: of TensorSpecs, by what they are.
    """

    nests: dict[str, Nest]

    @classmethod
    def of(cls, policy: Policy) -> _Inputs:
        """Returns all inputs that a policy may depend on."""
        perception = policy.perception
        nests: dict[str, Nest] = {OBSERVATION: map_space(_spec_of, perception.environment_spec.observation)}
        carried = _carried(policy)
        if tf.nest.flatten(carried) or perception.adds:
            nests[STATE] = tf.nest.map_structure(_any_rows, carried)
            nests[BEGUN] = tf.TensorSpec([None], tf.bool)
        return cls({**nests, REWARDS: tf.TensorSpec([None], tf.float32), STEP: tf.TensorSpec([], tf.int64)})

    def without(self, names: Iterable[str]) -> _Inputs:
        """Returns these inputs without some."""
        return _Inputs({name: nest for name, nest in self.nests.items() if name not in names})

    def named(self) -> dict[str, tf.TensorSpec]:
        """Returns the leaves of all by name, in order."""
        return {
            name: tf.TensorSpec(spec.shape, spec.dtype, name=name)
            for kind, nest in self.nests.items()
            for name, spec in named_leaves(kind, nest).items()
        }

    def packed(self, leaves: Sequence[Tensor]) -> dict[str, Nest]:
        """Returns the values of the leaves, in their order, as nests by what they are."""
        nests = tf.nest.pack_sequence_as(list(self.nests.values()), list(leaves))
        return dict(zip(self.nests, nests, strict=True))


def described(tensor: Tensor) -> str:
    """Returns dtype and shape, such as "float32 [None, 4]"."""
    return f"{tf.as_dtype(tensor.dtype).name} {list(tensor.shape)}"


def named_leaves(name: str, value: Nest) -> dict[str, Any]:
    """Returns the leaves of a nest by names that every format takes, in TensorFlow's order.

    A mapping's are NAME_ENTRY, those of a state are numbered.
    """
    leaves = tf.nest.flatten(value)
    if name.endswith(STATE):
        return {f"{name}_{index}": leaf for index, leaf in enumerate(leaves)}

    # Names that are alike but for other characters than letters and digits are numbered too.
    names = [re.sub(r"\W+", "_", path) for path in _paths(value, name)]
    is_plain = len(set(names)) == len(names)
    return {path if is_plain else f"{path}_{index}": leaf for index, (path, leaf) in enumerate(zip(names, leaves, strict=True))}


def _paths(value: Nest, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [path]
    return [inner for name in sorted(value) for inner in _paths(value[name], f"{path}_{name}")]


def _traced(actor: PolicyActor, inputs: _Inputs) -> Any:
    def act(*leaves: Tensor) -> dict[str, Tensor]:
        return _act(actor.policy, actor.key, inputs.packed(leaves))

    return tf.function(act, input_signature=list(inputs.named().values()), autograph=False).get_concrete_function()


def _act(policy: Policy, key: int, values: dict[str, Nest]) -> dict[str, Tensor]:
    """Returns the actions and the states after them, by name, as `Agent.act` does."""
    observation, state, perception = values[OBSERVATION], (), policy.perception
    step = values.get(STEP, tf.constant(0, tf.int64))

    # Where an episode begins, the state is its first, and nothing came before.
    if STATE in values:
        begun, carried = values[BEGUN], values[STATE]
        fresh = policy.initial_state(1)
        state = tf.nest.map_structure(lambda new, old: where_rows(begun, new, old), fresh, carried["policy"])
        reward = values.get(REWARDS, tf.zeros_like(begun, tf.float32))
        observation = perception.next(observation, carried.get(ACTION, ()), reward, begun)
    decision = policy.decide(observation, state, step, seeds.at(key, step))

    # Choices as the environment numbers them.
    action = map_space(_to_environment, policy.spec.action, decision.action)
    results = named_leaves("action", action)
    if STATE in values:
        after = {name: decision.action if name == ACTION else decision.next_state for name in values[STATE]}
        results |= named_leaves(f"next_{STATE}", after)
    return results


def _carried(policy: Policy) -> dict[str, Nest]:
    """Returns what an agent carries from step to step before its first step, leaves `[1, ...]`."""
    added = policy.perception.first(blank(policy.perception.environment_spec.observation, 1))
    actions = {name: leaf for name, leaf in policy.perception.previous(added).items() if name == ACTION}
    return {"policy": policy.initial_state(1), **actions}


def _to_environment(space: Space, action: Tensor) -> Tensor:
    start = space.to_environment(np.zeros(space.shape, space.dtype))
    return action + tf.constant(start, action.dtype) if start.any() else action


def _spec_of(space: Space) -> tf.TensorSpec:
    return tf.TensorSpec([None, *space.shape], space.dtype)


def _any_rows(value: Any) -> tf.TensorSpec:
    return tf.TensorSpec([None, *value.shape[1:]], value.dtype)


def _needed(concrete: Any, inputs: _Inputs) -> set[str]:
    """Returns the names of the inputs on which the outputs of a function depend."""
    operations = [output.op for output in concrete.outputs]
    seen = set()
    while operations:
        operation = operations.pop()
        if operation.name not in seen:
            seen.add(operation.name)
            operations += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
    placeholders = zip(inputs.named(), concrete.inputs, strict=False)  # captured variables come after
    return {name for name, tensor in placeholders if tensor.op.name in seen}
