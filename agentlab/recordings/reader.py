"""Reads Minari data sets in HDF5: numbers only, block by block, checked; nothing in them is executed or unpickled."""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import attrs
import h5py
import numpy as np

from agentlab import errors
from agentlab.checks.values import Values
from agentlab.recordings.location import DATA, MAIN, METADATA, directory_of
from agentlab.recordings.spaces import from_environment, read_space
from agentlab.spec import Array, Space, SpaceNest, blank, leaves_of
from agentlab.system import files, free_memory
from agentlab.types import Nest

BLOCK = 65_536  # steps that are read at once
LARGEST_BLOCK = 2**26  # bytes in which a file may store numbers together
SMALLEST_PICTURE = 32  # pixels along an axis from which on Minari takes an array for a picture
COPIES = 2  # of all steps: as they are read, and on the device
FLAG = Array((), "bool")


@attrs.frozen(eq=False)
class RecordedSteps:
    """All steps of a data set, one episode after the other; each has one place more than steps, for its final observation.

    `P` places, `E` episodes. What belongs to an action is zero at the last place of an episode.

    Attributes:
        observation: `[P, *O]`.
        action: `[P, *A]`, choices counted from 0.
        reward: `[P]` float32, for the action at this place.
        terminated: `[P]` bool, whether the task ended with this action.
        return_to_go: `[P]` float32, the sum of this reward and all later ones of the episode.
        first: `[E]` int64, the first place of each episode.
        length: `[E]` int64, its steps, at least 1.
    """

    observation: Nest
    action: Nest
    reward: np.ndarray
    terminated: np.ndarray
    return_to_go: np.ndarray
    first: np.ndarray
    length: np.ndarray


@attrs.frozen
class Recording:
    """A data set that is there, and what its metadata say.

    Attributes:
        name: by which it was asked for.
        path: of the directory with its two files.
        observation: the space of observations.
        action: of actions.
        num_episodes: E.
        reference_returns: the returns that stand for a score of 0 and of 1, or None.
    """

    name: str
    path: pathlib.Path
    observation: SpaceNest
    action: SpaceNest
    num_episodes: int
    reference_returns: tuple[float, float] | None = None

    def read(self) -> RecordedSteps:
        """Returns all steps.

        Raises:
            UsageError: the file is damaged, holds anything but numbers of these spaces, or more than there is memory for.
        """
        with self._opened() as file:
            episodes = [self._episode(file, number) for number in range(self.num_episodes)]
            lengths = np.array([self._length(episode) for episode in episodes], np.int64)
            steps = self._blank(lengths)
            for number, episode in enumerate(episodes):
                self._read_episode(episode, steps, number)
        return steps

    @contextlib.contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        """Opens the file; whatever HDF5 raises over it becomes one sentence."""
        try:
            with h5py.File(self.path / MAIN, "r") as file:
                if len(file) != self.num_episodes:
                    raise ValueError(f"it holds {len(file):,} episodes, where {METADATA} says {self.num_episodes:,}")
                yield file
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, errors.EnvironmentFault) as error:
            reason = errors.first_line(error).rstrip(".")
            raise errors.UsageError(
                f"Data set {self.name!r} can't be read: {reason}. {MAIN} must be as Minari writes it; copy or collect it again."
            ) from error

    def _episode(self, file: h5py.File, number: int) -> h5py.Group:
        return _child(file, f"episode_{number}", h5py.Group)

    def _length(self, episode: h5py.Group) -> int:
        rewards = _numbers(episode, "rewards")
        if len(rewards.shape) != 1 or not rewards.shape[0]:
            raise ValueError(f"{rewards.name[1:]} has shape {rewards.shape}; expected a number for each step, at least 1")
        return int(rewards.shape[0])

    def _blank(self, length: np.ndarray) -> RecordedSteps:
        """Returns steps of zeros, once it is known that there is memory for them."""
        # The bytes of one place, of which there is one more than steps in every episode.
        places = int(length.sum()) + len(length)
        leaves = [*leaves_of(self.observation).values(), *leaves_of(self.action).values(), Array((3,))]
        size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves)
        free_memory.check_free(COPIES * places * size, f"Data set {self.name!r} of {places:,} observations", "environment.data")

        # [P] rewards and returns; [E] where each episode begins, after those before it.
        numbers = [np.zeros(places, np.float32) for _ in range(2)]
        first = np.cumsum(length + 1) - (length + 1)
        observation, action = blank(self.observation, places), blank(self.action, places)
        return RecordedSteps(observation, action, numbers[0], np.zeros(places, np.bool_), numbers[1], first, length)

    def _read_episode(self, episode: h5py.Group, steps: RecordedSteps, number: int) -> None:
        """Reads one episode into its places."""
        begin, length = int(steps.first[number]), int(steps.length[number])
        place = f"episode {number}"
        _read(episode, "observations", self.observation, steps.observation, begin, length + 1, place)
        _read(episode, "actions", self.action, steps.action, begin, length, place)
        _read(episode, "rewards", Array(()), steps.reward, begin, length, place)
        _read(episode, "terminations", FLAG, steps.terminated, begin, length, place)

        # An episode ends once, at its end: by termination, or cut off.
        end = begin + length
        if steps.terminated[begin : end - 1].any():
            raise ValueError(f"{place} continues after it has terminated")

        # [T] sums from each step to the end, in float64 so that long episodes lose nothing.
        later = np.cumsum(steps.reward[begin:end][::-1], dtype=np.float64)[::-1]
        steps.return_to_go[begin:end] = later


def open_recording(name: str) -> Recording:
    """Returns the data set of a name, see `agentlab.recordings.directory_of`; its steps are not read yet.

    Raises:
        UsageError: there is none, its metadata can't be read, or it is of a kind that agentlab doesn't read.
    """
    directory = directory_of(name)
    path = directory / DATA if (directory / DATA).is_dir() else directory
    if not path.is_dir():
        raise errors.UsageError(
            f"There is no data set {name!r}: no directory {str(directory)!r}. Name one by its path, such as "
            f"'./{directory.name}', or by its id in Minari's folder; 'agentlab collect RUN --output NAME' writes one."
        )
    for file in (METADATA, MAIN):
        if not (path / file).is_file():
            raise errors.UsageError(
                f"{str(path)!r} is not a Minari data set in HDF5: there is no {file}. Copy or collect it again."
            )
    try:
        metadata = files.read_json(path / METADATA)
    except files.UnreadableError as error:
        raise errors.UsageError(f"Data set {name!r} can't be read: {error}. Copy or collect it again.") from error
    return _of_metadata(name, path, metadata)


def _of_metadata(name: str, path: pathlib.Path, metadata: dict[str, Any]) -> Recording:
    """Returns the data set that metadata describe; raises UsageError if they describe none."""
    # What every data set of Minari says, then what agentlab reads of it.
    missing = [key for key in ("total_episodes", "observation_space", "action_space") if key not in metadata]
    count, kind = metadata.get("total_episodes"), metadata.get("data_format", "hdf5")
    if missing or type(count) is not int or count < 1:
        raise errors.UsageError(
            f"The {METADATA} of data set {name!r} has {f'no {missing[0]!r}' if missing else f'total_episodes {count!r}'}; "
            "expected that of a Minari data set with at least one episode."
        )
    if kind != "hdf5":
        raise errors.UsageError(
            f"Data set {name!r} is in the format {errors.quoted(kind)}; expected 'hdf5'. Write it again in that format."
        )
    observation, action = (read_space(metadata[f"{what}_space"], f"{what} space") for what in ("observation", "action"))
    if metadata.get("jpeg_encoding", True) and any(map(_is_picture, leaves_of(observation).values())):
        raise errors.UsageError(
            f"Data set {name!r} has compressed pictures, which lose detail; expected plain arrays. Write it again with "
            "jpeg_encoding=False, as 'agentlab collect' does."
        )
    return Recording(name, path, observation, action, count, _reference(metadata))


def _reference(metadata: dict[str, Any]) -> tuple[float, float] | None:
    low, high = (metadata.get(key) for key in ("ref_min_score", "ref_max_score"))
    are_numbers = all(isinstance(score, (int, float)) and math.isfinite(score) for score in (low, high))
    return (float(low), float(high)) if are_numbers and low != high else None  # type: ignore[arg-type]


def _is_picture(space: Space) -> bool:
    """Returns whether Minari takes arrays of a space for pictures."""
    large = len(space.shape) in (2, 3) and min(space.shape[:2]) >= SMALLEST_PICTURE
    return large and space.is_numeric and space.dtype == "uint8" and space.limits is None


def _child(group: h5py.Group, name: str, kind: type) -> Any:
    """Returns what a group holds under a name; links to other files, or elsewhere, are not followed."""
    if name not in group or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise KeyError(f"{group.name} has no {name!r} of its own")
    child = group[name]
    if not isinstance(child, kind):
        raise TypeError(f"{child.name} is a {type(child).__name__}, where a {kind.__name__} is expected")
    return child


def _numbers(group: h5py.Group, name: str) -> h5py.Dataset:
    """Returns an array of numbers that a group holds; anything else, such as pickled objects, is refused unread."""
    array = _child(group, name, h5py.Dataset)
    if array.is_virtual or array.external:
        raise ValueError(f"{array.name[1:]} is stored in another file")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{array.name[1:]} holds {array.dtype} values; expected numbers")

    # HDF5 unpacks a whole block for any number of it, and a block may be larger than the array.
    size = math.prod(array.chunks or ()) * array.dtype.itemsize
    if size > LARGEST_BLOCK:
        raise ValueError(f"{array.name[1:]} is stored in blocks of {size:,} bytes; expected at most {LARGEST_BLOCK:,}")
    return array


def _read(group: h5py.Group, name: str, space: SpaceNest, into: Nest, begin: int, count: int, place: str) -> None:
    """Reads `count` values of a space into the rows of a nest `[P, *shape]` from `begin` on, and checks them."""
    if isinstance(space, dict):
        parts = _child(group, name, h5py.Group)
        for key, part in space.items():  # parts of a Tuple are named "_index_0", ...
            _read(parts, key if key in parts else f"_index_{key}", part, into[key], begin, count, place)
        return

    # Shape and dtype are compared before a byte of it is read.
    array = _numbers(group, name)
    if array.shape != (count, *space.shape):
        raise ValueError(f"{array.name[1:]} has shape {array.shape}; expected {(count, *space.shape)}")
    if not np.can_cast(array.dtype, space.dtype, "same_kind"):
        raise TypeError(f"{array.name[1:]} has dtype {array.dtype}; expected {space.dtype}")

    # Block by block, so that no more than one is there twice.
    for start in range(0, count, BLOCK):
        block = array[start : start + BLOCK]
        into[begin + start : begin + start + len(block)] = from_environment(block, space)
    _check(space, name, into[begin : begin + count], place)


def _check(space: Space, name: str, values: np.ndarray, place: str) -> None:
    """Raises EnvironmentFault unless numbers are finite and within the limits of their space."""
    try:
        Values(space, name).check(values)
    except errors.EnvironmentFault as error:
        raise errors.EnvironmentFault(f"in {place}, {str(error).replace('row', 'step', 1)}") from error
