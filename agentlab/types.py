"""The values that the parts of the loop exchange: TimeStep, Decision, Step and Batch.

`B` environments side by side, `O` an observation, `A` an action, `K` outputs, `N` rows of a batch, `T` steps of a sequence.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np

from agentlab.tensors.aliases import Nest, Seed, Shape, Tensor

__all__ = ["Batch", "Decision", "Metrics", "Nest", "Seed", "Shape", "Step", "Tensor", "TimeStep"]

Packer: TypeAlias = Callable[[Sequence[Any]], Nest]  # from leaves to a nest
Metrics: TypeAlias = dict[str, Tensor]  # scalars [] or one number per row [N], by name


@attrs.frozen(eq=False)
class TimeStep:
    """The answer of B environments, side by side, to an action. Leaves are NumPy arrays on the host and tensors on the device.

    Attributes:
        observation: `[B, *O]`, to act on now; where an episode has just ended, already the new one's first.
        reward: `[B]` float32, for the action just taken; 0 after a reset.
        terminated: `[B]` bool, the task ended: there is no value beyond.
        truncated: `[B]` bool, the episode was cut off: the value beyond still counts.
        final_observation: `[B, *O]`, what the action led to, before any reset.
        target: `[B, *A]`, the right answer to the action just taken, or `()`.
        acted: `[B]` bool, False for rows that were only being reset: there is no transition.
    """

    observation: Nest
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_observation: Nest
    target: Nest = ()
    acted: Tensor = True

    @classmethod
    def begin(cls, observation: Nest) -> TimeStep:
        """Returns the time step that begins an episode of one environment in state `observation` `[*O]`."""
        return cls(observation, 0.0, False, False, observation, acted=False)

    @classmethod
    def reset(cls, observation: Nest, target: Nest = ()) -> TimeStep:
        """Returns the time step after a reset of B environments on the host, `observation` `[B, *O]`."""
        leaf = observation
        while isinstance(leaf, dict):
            leaf = next(iter(leaf.values()))
        rows = len(leaf)
        never = np.zeros(rows, np.bool_)
        return cls(observation, np.zeros(rows, np.float32), never, never, observation, target, never)

    @property
    def ended(self) -> Tensor:
        """`[B]` bool, the rows whose episode has just ended, by termination or truncation."""
        return self.terminated | self.truncated

    @property
    def begun(self) -> Tensor:
        """`[B]` bool, the rows whose next decision belongs to another episode than the last one."""
        return self.ended | ~self.acted


@attrs.frozen(eq=False)
class Decision:
    """An action for each of B environments, and how it was decided.

    Attributes:
        observation: `[B, *O]`, what was acted on.
        state: the model's state before this step `[B, ...]`, or `()`.
        action: `[B, *A]`.
        output: `[B, ..., K]`, the model's.
        next_state: the policy's state after this step: the model's, and the sampler's where it carries one.
    """

    observation: Nest
    state: Nest
    action: Nest
    output: Tensor
    next_state: Nest


@attrs.frozen(eq=False)
class Step:
    """What a memory stores of one turn of N environments: the decision and where it led.

    Attributes:
        observation: `[N, *O]`, what was acted on.
        action: `[N, *A]`.
        reward: `[N]` float32.
        discount: `[N]` float32, 0 where the task terminated and 1 elsewhere, truncation included.
        next_observation: `[N, *O]`, what the action led to: never a new episode's first observation.
        ended: `[N]` bool, whether the next step belongs to another episode: this one terminated, was truncated, or is no
            transition.
        acted: `[N]` bool, False for rows that are no transition, as they were only being reset.
        target: `[N, *A]`, or `()`.
        output: `[N, ..., K]`, the model's output when it acted, if the trainer asks for it; else `()`.
        state: the model's state before it acted `[N, ...]`, if the trainer asks for it; else `()`.
    """

    observation: Nest
    action: Nest
    reward: Tensor
    discount: Tensor
    next_observation: Nest
    ended: Tensor
    acted: Tensor
    target: Nest = ()
    output: Tensor = ()
    state: Nest = ()

    @classmethod
    def between(cls, decision: Decision, timestep: TimeStep, keep: tuple[str, ...] = ()) -> Step:
        """Returns the step from `decision` to `timestep`; the one place where `discount` is computed. Traceable.

        Args:
            decision: of B rows.
            timestep: where it led.
            keep: which of "output" and "state" to keep of the decision.
        """
        import tensorflow as tf

        return cls(
            observation=decision.observation,
            action=decision.action,
            reward=timestep.reward,
            discount=1.0 - tf.cast(timestep.terminated, tf.float32),
            next_observation=timestep.final_observation,
            ended=timestep.begun,
            acted=timestep.acted,
            target=timestep.target,
            output=decision.output if "output" in keep else (),
            state=decision.state if "state" in keep else (),
        )


@attrs.frozen(eq=False)
class Batch(Step):
    """What a memory returns: steps `[N, ...]`, or `[N, T, ...]` where the trainer asks for sequences.

    Where the trainer asks for steps of n, `reward` is the sum of `factor**k` times the reward of step k over the h <= n steps
    up to an end, `discount` is multiplied by `factor**(h - 1)`, and `next_observation` and `ended` are those of the last one.

    Attributes:
        weight: `[N]` float32, or `[N, T]`, how much each row counts in the loss, or `()` if all count alike.
        place: what the memory needs to recognise the rows again, see `Memory.update_priorities`; or `()`.
    """

    weight: Tensor = ()
    place: Nest = ()


def numbered(name: str, structure: Nest) -> dict[str, Tensor]:
    """Returns the leaves of a structure by `name/000`, `name/001`, ... in TensorFlow's order; () has none."""
    import tensorflow as tf

    return {f"{name}/{index:03d}": leaf for index, leaf in enumerate(tf.nest.flatten(structure))}


def packers(structures: Sequence[Nest]) -> list[Packer]:
    """Returns for every structure a function that makes a nest like it of the leaves of all, a sequence in TensorFlow's order.

    `tf.nest.pack_sequence_as` looks at the structure at every call, which takes ten times as long: too long for every step of a
    host program.
    """
    places = itertools.count()
    return [_packer(structure, places) for structure in structures]


def _packer(structure: Nest, places: Iterator[int]) -> Packer:
    kind = type(structure)
    if is_empty(structure):
        return lambda _leaves: structure
    if kind is dict:
        parts = {name: _packer(structure[name], places) for name in sorted(structure)}
        return lambda leaves: {name: part(leaves) for name, part in parts.items()}
    if attrs.has(kind):
        fields = [_packer(getattr(structure, field.name), places) for field in attrs.fields(kind)]
        return lambda leaves: kind(*[part(leaves) for part in fields])
    if not isinstance(structure, (tuple, list)):
        return operator.itemgetter(next(places))
    items = [_packer(part, places) for part in structure]
    if kind is tuple or kind is list:
        return lambda leaves: kind([part(leaves) for part in items])
    return lambda leaves: kind(*[part(leaves) for part in items])  # a tuple with names


def is_empty(value: Nest) -> bool:
    """Returns whether a nest is `()`: a state that a model doesn't have, a target that an environment doesn't know."""
    return isinstance(value, tuple) and not value


def map_leaves(function: Callable[[Any], Any], value: Nest) -> Nest:
    """Returns `function(leaf)` for every leaf of mappings; a tenth of the time that `tf.nest.map_structure` takes."""
    if isinstance(value, dict):
        return {name: map_leaves(function, entry) for name, entry in value.items()}
    return function(value)


def first_leaf(value: Nest) -> Any:
    """Returns one leaf of nested mappings, of which at least one has an entry."""
    while isinstance(value, dict):
        value = next(iter(value.values()))
    return value


def any_true(flags: np.ndarray) -> bool:
    """Returns whether any of an array of bools is True; of a few, in a quarter of the time that NumPy takes."""
    return b"\1" in flags.tobytes()


def all_true(flags: np.ndarray) -> bool:
    """Returns whether all of an array of bools are True, as fast as `any_true`."""
    return b"\0" not in flags.tobytes()


def arrays(value: Nest) -> Nest:
    """Returns a nest of eager tensors as NumPy arrays."""
    return map_leaves(_array, value)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()
