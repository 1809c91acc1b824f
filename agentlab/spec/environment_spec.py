"""EnvironmentSpec: what an environment shows and accepts, how long its episodes last, and how config.json holds it."""

from __future__ import annotations

import math
import sys
from typing import Any

import attrs
import numpy as np

from agentlab import errors
from agentlab.spec import vocabulary
from agentlab.spec.nests import leaves_of
from agentlab.spec.spaces import DTYPES, Array, Discrete, MultiBinary, MultiDiscrete, Space, SpaceNest
from agentlab.spec.vocabulary import Vocabulary
from agentlab.types import Nest

LARGEST = 2**28  # elements of an observation or an action, or values to choose among, that a file may ask for
MOST_ENTRIES = 1_000  # of a mapping, or choices in one action, in a file
LONGEST_NAME = 255  # characters of an entry's name in a file
DEEPEST = 8  # mappings in mappings in a file
MOST_AXES = 32  # of an array in a file
MASK = "action_mask"  # the entry of an observation that says which actions are allowed
KINDS: dict[str, type[Space]] = {
    "array": Array,
    "discrete": Discrete,
    "multi_binary": MultiBinary,
    "multi_discrete": MultiDiscrete,
}


@attrs.frozen
class EnvironmentSpec:
    """What an environment shows and accepts, and how long its episodes last.

    Attributes:
        name: for messages.
        observation: one environment's observation, without the batch axis: a space, or a mapping of names to spaces. An entry
            "action_mask" says which actions are allowed; models don't see it.
        action: one environment's action, a space or a mapping.
        max_episode_steps: episodes are truncated after so many steps; None if the environment keeps its own limit, or none.
        target: the right answer to an action, where the environment knows it.
        num_episodes: of a finite data set, how many episodes read it through once; None where there is no such end.
        vocabulary: what the numbers of observations and actions stand for, where they stand for text.
        group_size: G, how many rows side by side, from row 0 on, begin each episode in the same state, such as attempts at one
            problem; 1 where every row has its own. Where there are more, all rows begin together and every episode lasts
            `max_episode_steps`.
        is_recorded: whether it shows what somebody else did, whatever the agent does. Then `target` is a mapping, whose entry
            "action" is the action that was taken, and "return_to_go" the sum of its reward and all later ones of the episode.
        reference_returns: the returns that stand for a score of 0 and of 1, such as those of a random and of a good agent;
            None where nobody says.
    """

    name: str
    observation: SpaceNest
    action: SpaceNest
    max_episode_steps: int | None = None
    target: SpaceNest | None = None
    num_episodes: int | None = None
    vocabulary: Vocabulary | None = None
    group_size: int = 1
    is_recorded: bool = False
    reference_returns: tuple[float, float] | None = None

    def taken(self, action: Nest, target: Nest) -> Nest:
        """Returns the actions that were taken: the agent's `action`, or those of the `target` where somebody else acted."""
        return target["action"] if self.is_recorded else action

    @property
    def has_mask(self) -> bool:
        """Whether an entry of the observation says which actions are allowed."""
        return isinstance(self.observation, dict) and MASK in self.observation

    @property
    def seen(self) -> SpaceNest:
        """The observation without the action mask: what models see. A mapping of which one entry is left is that entry."""
        return self.see(self.observation)

    def see(self, observation: Nest) -> Nest:
        """Returns what models see of an observation or a batch, see `seen`."""
        if not self.has_mask:
            return observation
        entries = {name: entry for name, entry in observation.items() if name != MASK}
        return next(iter(entries.values())) if len(entries) == 1 else entries

    def as_data(self) -> dict[str, Any]:
        """Returns the spec as JSON can hold it, the inverse of `from_data`."""
        spaces = {name: _as_data(getattr(self, name)) for name in ("observation", "action", "target")}
        words = self.vocabulary.as_data() if self.vocabulary is not None else None
        limits = {name: getattr(self, name) for name in ("max_episode_steps", "num_episodes", "group_size")}
        recorded = {"is_recorded": self.is_recorded, "reference_returns": self.reference_returns}
        return {"name": self.name, **spaces, **limits, "vocabulary": words, **recorded}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> EnvironmentSpec:
        """Returns the spec that `as_data` described.

        Raises:
            UsageError: it describes none.
        """
        try:
            spaces = {name: _from_data(data[name]) for name in ("observation", "action", "target")}
            words = vocabulary.from_data(data["vocabulary"]) if data["vocabulary"] is not None else None
            reference = _references(data.get("reference_returns"))
            spec = cls(**{**data, **spaces, "vocabulary": words, "reference_returns": reference})

            # The data come from a file: everything is checked before it is used.
            limits = (spec.max_episode_steps, spec.num_episodes, spec.group_size)
            if not isinstance(spec.name, str) or spec.observation is None or spec.action is None:
                raise TypeError("a name or a space is missing")
            if spec.group_size is None or not all(limit is None or (type(limit) is int and limit > 0) for limit in limits):
                raise TypeError("a limit is no whole number of at least 1")
            _check_recorded(spec)
            return spec
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise errors.UsageError(
                f"The spec {str(data)[:60]!r} can't be read: {error}. Expected that of a run's config.json."
            ) from error


def _references(returns: object) -> tuple[float, float] | None:
    """Returns the reference returns from a file; raises TypeError if they are no two different numbers."""
    if returns is None:
        return None
    if not isinstance(returns, (list, tuple)) or len(returns) != 2 or any(type(value) not in (int, float) for value in returns):
        raise TypeError(f"reference_returns are {str(returns)[:40]!r}")
    low, high = map(float, returns)
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        raise TypeError(f"reference_returns are {low} and {high}")
    return low, high


def _check_recorded(spec: EnvironmentSpec) -> None:
    """Raises TypeError unless a spec from a file says what was recorded, if it says that something was."""
    if type(spec.is_recorded) is not bool:
        raise TypeError(f"is_recorded is {str(spec.is_recorded)[:40]!r}")
    if spec.is_recorded and not (isinstance(spec.target, dict) and {"action", "return_to_go"} == spec.target.keys()):
        raise TypeError("it is recorded, but has no target with 'action' and 'return_to_go'")


def _as_data(space: SpaceNest | None) -> dict[str, Any] | None:
    """Returns a space as JSON can hold it, which knows no infinity."""
    if space is None:
        return None
    if isinstance(space, dict):
        return {"kind": "mapping", "entries": {name: _as_data(entry) for name, entry in space.items()}}

    # Fields by name; infinities are left out, as JSON knows none.
    kind = next(name for name, cls in KINDS.items() if type(space) is cls)
    values = {name: _finite(value) for name, value in attrs.asdict(space).items()}  # type: ignore[arg-type]
    return {"kind": kind, **{name: value for name, value in values.items() if value is not None}}


def _finite(value: object) -> Any:
    """Returns a bound with None for an infinity; other values as they are."""
    if isinstance(value, tuple):
        return [_finite(item) for item in value]
    return None if value in (-math.inf, math.inf) else value


def _from_data(data: object, depth: int = 0) -> SpaceNest | None:
    """Returns the space that was described; raises TypeError where none was, or a part is larger than any run's could be."""
    if data is None:
        return None
    if not isinstance(data, dict):
        raise TypeError(f"a space is {str(data)[:40]!r}")
    kind = data.get("kind", "discrete" if "num_values" in data else "array")  # version 1 named no kinds
    if kind == "mapping":
        return _mapping(data.get("entries"), depth)
    if not isinstance(kind, str) or kind not in KINDS:
        raise TypeError(f"a kind of space is {str(kind)[:40]!r}")

    # Fields of the space's class, then what only the whole space can tell.
    values = {name: value for name, value in data.items() if name != "kind" and value is not None}
    space = KINDS[kind](**_checked(values))
    if not isinstance(space, Array) and np.dtype(space.dtype).kind not in "iub":
        raise TypeError(f"choices are of dtype {space.dtype}")
    if space.limits is not None and not _are_starts(getattr(space, "start", 0), space):
        raise TypeError(f"start is {str(getattr(space, 'start', 0))[:40]!r}")
    if space.num_features > LARGEST:
        raise TypeError(f"a space of shape {str(space.shape)[:40]} has more than {LARGEST:,} numbers")
    return space


def _are_starts(start: int | tuple[int, ...], space: Space) -> bool:
    """Whether choices can be counted from `start` in whole numbers of the space's dtype."""
    if not start:
        return type(start) in (int, tuple)
    if isinstance(start, tuple) != isinstance(space, MultiDiscrete) or np.dtype(space.dtype).kind not in "iu":
        return False

    # The last choice counted from `start` has to fit into the dtype as well.
    info, (_, largest) = np.iinfo(space.dtype), space.limits or (0, 0)
    last = [first + int(count) for first, count in zip(np.ravel(start).tolist(), np.ravel(largest).tolist(), strict=True)]
    return int(info.min) <= min(np.ravel(start).tolist()) and max(last) <= int(info.max)


def _mapping(entries: object, depth: int) -> SpaceNest:
    if not isinstance(entries, dict) or not 0 < len(entries) <= MOST_ENTRIES or depth >= DEEPEST:
        raise TypeError(f"the entries of a space are {str(entries)[:40]!r}")
    if odd := [name for name in entries if len(name) > LONGEST_NAME or not name.isprintable()]:
        raise TypeError(f"the name of an entry is {odd[0][:40]!r}")
    spaces = {name: _from_data(entry, depth + 1) for name, entry in entries.items()}
    if any(space is None for space in spaces.values()):
        raise TypeError("an entry of a space is missing")
    if len(leaves_of(spaces)) > MOST_ENTRIES:
        raise TypeError("a space has too many entries")
    return spaces


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a space from a file, lists as tuples; raises TypeError if one is not what a space has."""
    # By field: what a file may say there.
    checked: dict[str, Any] = {}
    for name, value in values.items():
        valid = {
            "shape": lambda value: _are_sizes(value) and math.prod(value) <= LARGEST,
            "sizes": lambda value: _are_sizes(value, MOST_ENTRIES) and min(value, default=0) > 0 and sum(value) <= LARGEST,
            "dtype": lambda value: isinstance(value, str) and value in DTYPES,
            "num_values": lambda value: _is_size(value) and value > 0,
            "start": _is_start,
            "minimum": _is_bound,
            "maximum": _is_bound,
        }.get(name)
        if valid is None or not valid(value):
            raise TypeError(f"{name[:40]} is {str(value)[:40]!r}")
        checked[name] = _without_none(value, -math.inf if name == "minimum" else math.inf)
    return checked


def _without_none(value: object, infinity: float) -> Any:
    if isinstance(value, list):
        return tuple(_without_none(item, infinity) for item in value)
    return infinity if value is None else value


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _are_sizes(value: object, most: int = MOST_AXES) -> bool:
    return isinstance(value, list) and len(value) <= most and all(map(_is_size, value))


def _is_start(value: object) -> bool:
    limit = np.iinfo(np.int64).max // 2
    values = value if isinstance(value, list) else [value]
    return all(type(item) is int and abs(item) <= limit for item in values)


def _is_bound(value: object, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < MOST_AXES and all(_is_bound(item, depth + 1) for item in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value is None
    return abs(value) <= sys.float_info.max  # which nan and larger whole numbers are not
