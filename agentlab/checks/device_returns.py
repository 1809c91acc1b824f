"""Checks of what the methods of a DeviceEnvironment return, as the loop is traced: structures, shapes and dtypes."""

from __future__ import annotations

from typing import Any, NoReturn

import tensorflow as tf

from agentlab.checks.values import short
from agentlab.errors import EnvironmentFault
from agentlab.spec import EnvironmentSpec, SpaceNest, describe, joined
from agentlab.types import Nest, Tensor


class DeviceReturns:
    """Whether a DeviceEnvironment returns what its contract says; numbers are checked as the loop runs.

    Args:
        spec: of the environment.
        rows: B.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        self._spec, self._rows = spec, rows

    def initial(self, state: Nest) -> Nest:
        """Returns the state that `initial` returned.

        Raises:
            EnvironmentFault: a tensor of it has no row for each environment.
        """
        for leaf in tf.nest.flatten(state):
            tensor = self._tensor("initial", "a state", leaf)
            if not tensor.shape.rank or not tensor.shape[:1].is_compatible_with([self._rows]):
                self._refuse("initial", f"a state with a tensor of shape {tuple(tensor.shape)}", f"[{self._rows}, ...]")
        return state

    def state(self, method: str, state: Nest, like: Nest) -> Nest:
        """Returns the state that `method` returned.

        Raises:
            EnvironmentFault: it is not like the one before it.
        """
        try:
            tf.nest.assert_same_structure(like, state)
        except (TypeError, ValueError):
            self._refuse(method, f"a state of the structure {_structure(state)}", f"{_structure(like)}, as before")
        for before, leaf in zip(tf.nest.flatten(like), tf.nest.flatten(state), strict=True):
            expected = tf.convert_to_tensor(before)
            self._check(method, "a state", leaf, tuple(expected.shape), expected.dtype.name)
        return state

    def transition(self, result: Any, like: Nest) -> tuple[Nest, Tensor, Tensor, Nest]:
        """Returns what `transition` returned from a state such as `like`.

        Raises:
            EnvironmentFault: it is not (state, reward, terminated, target), or one of these is wrong.
        """
        if not isinstance(result, (tuple, list)) or len(result) != 4:
            what = f"{len(result)} values" if isinstance(result, (tuple, list)) else short(result)
            self._refuse("transition", what, "(state, reward, terminated, target)")
        state, reward, terminated, target = result
        self.state("transition", state, like)
        self._check("transition", "a reward", reward, (self._rows,), "float32")
        self._check("transition", "'terminated'", terminated, (self._rows,), "bool")
        self._check_target(target)
        return state, reward, terminated, target

    def truncated(self, truncated: Any) -> Tensor:
        """Returns what `truncated` returned.

        Raises:
            EnvironmentFault: it is not one bool for each row.
        """
        self._check("truncated", "a value", truncated, (self._rows,), "bool")
        return truncated

    def observation(self, observation: Nest) -> Nest:
        """Returns what `observe` returned.

        Raises:
            EnvironmentFault: it is not a batch of the observations that the spec describes.
        """
        self._check_space("observe", "an observation", self._spec.observation, observation)
        return observation

    def _check_target(self, target: Nest) -> None:
        space, is_empty = self._spec.target, isinstance(target, tuple) and not target
        if space is None and not is_empty:
            self._refuse("transition", f"a target, {short(target)}", "(), as its spec has none")
        if space is not None and is_empty:
            self._refuse("transition", "no target", f"a {describe(space)} for every row, as its spec says")
        if space is not None:
            self._check_space("transition", "a target", space, target)

    def _check_space(self, method: str, what: str, space: SpaceNest, value: Nest, path: str = "") -> None:
        if not isinstance(space, dict):
            where = f"{what}, entry {path!r}," if path else what
            self._check(method, where, value, (self._rows, *space.shape), space.dtype)
            return
        if not isinstance(value, dict) or value.keys() != space.keys():
            got = f"the entries {sorted(value)}" if isinstance(value, dict) else short(value)
            self._refuse(method, f"{what} that is {got}", f"a mapping with {sorted(space)}")
        for name in sorted(space):
            self._check_space(method, what, space[name], value[name], joined(path, name))

    def _check(self, method: str, what: str, value: Any, shape: tuple[int | None, ...], dtype: str) -> None:
        tensor = self._tensor(method, what, value)
        if not tensor.shape.is_compatible_with(shape) or tensor.dtype.name != dtype:
            self._refuse(method, f"{what} of {tensor.dtype.name} {list(tensor.shape)}", f"{dtype} {list(shape)}")

    def _tensor(self, method: str, what: str, value: Any) -> Tensor:
        try:
            return tf.convert_to_tensor(value)
        except (TypeError, ValueError):
            self._refuse(method, f"{what} that is {short(value)}", "a tensor")

    def _refuse(self, method: str, got: str, expected: str) -> NoReturn:
        raise EnvironmentFault(f"The environment {self._spec.name!r} returned {got} from '{method}'; expected {expected}.")


def _structure(nest: Nest) -> str:
    """Returns a description of a structure, with a dot for each tensor."""
    try:
        return str(tf.nest.map_structure(lambda _: ".", nest)).replace("'.'", ".")[:80]
    except (TypeError, ValueError):
        return short(nest)
