"""Spaces: the shape, dtype and range of one part of an observation or an action."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias, Union

import attrs
import numpy as np

from agentlab import errors
from agentlab.types import Shape

DTYPES = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)


class Space(abc.ABC):
    """Arrays of one shape and dtype, without the batch axis.

    Attributes:
        shape: of one array.
        dtype: NumPy's name of it.
        is_numeric: whether its numbers are quantities rather than choices.
        num_values: of each element, where all are choices among equally many values; elsewhere None.
        sizes: the number of values of each element, where they are choices among different numbers of values; elsewhere ().
    """

    is_numeric: ClassVar[bool] = False

    shape: Shape
    dtype: str
    num_values: int | None = None
    sizes: tuple[int, ...] = ()

    @property
    @abc.abstractmethod
    def choices(self) -> Shape:
        """The axes of a model's outputs before the last, for actions of this space."""

    @property
    @abc.abstractmethod
    def num_features(self) -> int:
        """Numbers that stand for one array as the input of a dense layer, see `agentlab_models`."""

    @abc.abstractmethod
    def random(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Returns random values `[rows, *shape]`."""

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The least and the largest whole number of every element, int64 that broadcast to `shape`.

        None where the dtype alone decides. Numbers with fractions have no limits here: environments overstep those by rounding,
        and by design.
        """
        return None

    def expected(self, element: tuple[int, ...]) -> str:
        """Returns what a number at a place of an array has to be, for messages."""
        if self.limits is None:
            return f"a finite {self.dtype} number"
        low, high = (np.broadcast_to(limit, self.shape)[element] for limit in self.limits)
        return f"{low} to {high}"

    def to_environment(self, action: np.ndarray) -> np.ndarray:
        """Returns actions `[..., *shape]` as the environment itself numbers them."""
        return action

    def of_targets(self) -> Space:
        """Returns the space of right answers: of choices, a negative one means that there is nothing to be right about."""
        if self.limits is None:
            return self
        largest = np.broadcast_to(self.limits[1], self.shape)
        return Array(self.shape, self.dtype, maximum=largest.tolist())


Bound: TypeAlias = "float | tuple[Any, ...]"  # of all elements of an array, or nested tuples with one for each


def _bound(value: float | Sequence[Any] | np.ndarray) -> Bound:
    """Returns a bound as a number where it is the same for all elements, else as nested tuples."""
    if isinstance(value, (int, float)):
        return float(value)
    array = np.asarray(value, np.float64)
    if array.size and np.all(array == array.flat[0]):
        return float(array.flat[0])
    return _as_tuples(array.tolist())


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


@attrs.frozen
class Array(Space):
    """An array of numbers.

    Attributes:
        shape: without the batch axis.
        dtype: NumPy's name of it.
        minimum: the smallest value of every element: a number for all, or one per element.
        maximum: the largest.

    >>> Array((2,), minimum=[-1.0, -10.0], maximum=[1.0, 0.0]).low
    array([ -1., -10.], dtype=float32)
    """

    is_numeric: ClassVar[bool] = True

    shape: Shape
    dtype: str = "float32"
    minimum: Any = attrs.field(default=-math.inf, converter=_bound)
    maximum: Any = attrs.field(default=math.inf, converter=_bound)

    def __attrs_post_init__(self) -> None:
        for name in ("minimum", "maximum"):
            bounds = np.shape(getattr(self, name))
            if bounds and bounds != tuple(self.shape):
                raise errors.UsageError(
                    f"The {name} of an array of shape {self.shape} has shape {bounds}; expected one number, or {self.shape}."
                )

    def __str__(self) -> str:
        return f"{self.dtype} array of shape {self.shape}"

    @property
    def choices(self) -> Shape:
        return self.shape[:-1]

    @property
    def num_features(self) -> int:
        return math.prod(self.shape)

    def of_targets(self) -> Array:
        return self

    def random(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        low, high = np.maximum(self.low, -1.0), np.minimum(self.high, 1.0)
        swapped = low > high  # of bounds beyond 1, the nearer one
        low, high = np.where(swapped, self.low, low), np.where(swapped, self.low, high)
        return generator.uniform(low, high, (rows, *self.shape)).astype(self.dtype)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        return _whole_limits(self.minimum, self.maximum, self.dtype)

    @property
    def low(self) -> np.ndarray:
        """The smallest value of every element, in `shape` and dtype."""
        return _filled(self.minimum, self.shape, self.dtype)

    @property
    def high(self) -> np.ndarray:
        """The largest value of every element, in `shape` and dtype."""
        return _filled(self.maximum, self.shape, self.dtype)

    @property
    def is_bounded(self) -> bool:
        """Whether every element has a finite range."""
        return bool(np.all(np.isfinite(self.minimum)) and np.all(np.isfinite(self.maximum)))


@functools.lru_cache(maxsize=256)
def _filled(bound: Bound, shape: Shape, dtype: str) -> np.ndarray:
    array = np.broadcast_to(np.asarray(bound, np.float64), shape).astype(dtype if np.dtype(dtype).kind == "f" else np.float64)
    array.flags.writeable = False
    return array


@functools.lru_cache(maxsize=256)
def _whole_limits(minimum: Bound, maximum: Bound, dtype: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the least and the largest whole number within bounds, None where the dtype, or its fractions, leave them open."""
    if np.dtype(dtype).kind not in "iu":
        return None

    # Bounds as wide as the dtype's own limit nothing.
    info = np.iinfo(dtype)
    if np.all(np.asarray(minimum) <= info.min) and np.all(np.asarray(maximum) >= info.max):
        return None
    low = np.ceil(np.maximum(minimum, max(info.min, -(2.0**62)))).astype(np.int64)
    return low, np.floor(np.minimum(maximum, min(info.max, 2.0**62))).astype(np.int64)


@attrs.frozen
class Discrete(Space):
    """A choice among `num_values` values; with a `shape`, one such choice per element.

    Models, memories and `Environment.step` count from 0. Where an environment itself counts from another number, as
    Gymnasium's `Discrete(3, start=1)` does, `start` is that number: `Agent.act` and `Agent.step` add it.

    Attributes:
        num_values: how many.
        dtype: NumPy's name of it.
        shape: without the batch axis.
        start: the environment's number of the first value.
    """

    num_values: int
    dtype: str = "int64"
    shape: Shape = ()
    start: int = 0

    def __str__(self) -> str:
        several = f"{self.shape} choices, each" if self.shape else "choice"
        return f"{several} among {self.num_values} values"

    @property
    def choices(self) -> Shape:
        return self.shape

    @property
    def num_features(self) -> int:
        return math.prod(self.shape) * self.num_values

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        return np.int64(0), np.int64(self.num_values - 1)  # type: ignore[return-value]

    def random(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, self.num_values, (rows, *self.shape)).astype(self.dtype)

    def to_environment(self, action: np.ndarray) -> np.ndarray:
        return action + self.start if self.start else action


@attrs.frozen
class MultiDiscrete(Space):
    """Several choices, each among a number of values of its own.

    Attributes:
        sizes: the number of values of each choice.
        dtype: NumPy's name of it.
        start: the environment's number of each first value; `()` where all are 0.
    """

    sizes: tuple[int, ...]
    dtype: str = "int64"
    start: tuple[int, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.start and len(self.start) != len(self.sizes):
            raise errors.UsageError(
                f"There are {len(self.sizes)} choices, but the start of {len(self.start)}; expected all or none."
            )

    def __str__(self) -> str:
        return f"list of choices among {', '.join(map(str, self.sizes))} values"

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Without the batch axis: one element per choice."""
        return (len(self.sizes),)

    @property
    def choices(self) -> Shape:
        return ()

    @property
    def num_features(self) -> int:
        return sum(self.sizes)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        return np.int64(0), np.asarray(self.sizes, np.int64) - 1  # type: ignore[return-value]

    def random(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, self.sizes, (rows, len(self.sizes))).astype(self.dtype)

    def to_environment(self, action: np.ndarray) -> np.ndarray:
        return action + np.asarray(self.start, action.dtype) if any(self.start) else action


@attrs.frozen
class MultiBinary(Space):
    """An array of zeros and ones, each a choice of its own.

    Attributes:
        shape: without the batch axis.
        dtype: NumPy's name of it.
    """

    shape: Shape
    dtype: str = "int8"

    def __str__(self) -> str:
        return f"array of zeros and ones of shape {self.shape}"

    @property
    def choices(self) -> Shape:
        return self.shape[:-1]

    @property
    def num_features(self) -> int:
        return math.prod(self.shape)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        return np.int64(0), np.int64(1)  # type: ignore[return-value]

    def random(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, 2, (rows, *self.shape)).astype(self.dtype)


SpaceNest: TypeAlias = Union[Space, dict[str, Any]]  # noqa: UP007 - a space, or a mapping of names to such
