"""Writes Minari data sets in HDF5."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import shutil
import types
from typing import Any

import attrs
import h5py
import numpy as np

from agentlab import errors
from agentlab.recordings.location import DATA, MAIN, METADATA, directory_of, id_of
from agentlab.recordings.spaces import space_text
from agentlab.spec import SpaceNest, to_environment
from agentlab.system import files
from agentlab.types import Nest, map_leaves

VERSION = "0.5.4"  # of Minari: the first that can have pictures as plain arrays
MEGABYTE = 1_000_000


@attrs.frozen(eq=False)
class Episode:
    """One episode of T steps, choices counted from 0.

    Attributes:
        observation: `[T + 1, *O]`, the final one included.
        action: `[T, *A]`.
        reward: `[T]`.
        terminated: whether the task ended; else the episode was cut off.
    """

    observation: Nest
    action: Nest
    reward: np.ndarray
    terminated: bool


class RecordingWriter:
    """Writes a new data set, episode by episode; it is there when the `with` block ends, whole, or not at all.

    Args:
        name: of the data set, see `agentlab.recordings.directory_of`.
        observation: the space of observations.
        action: of actions.
        metadata: more entries for `metadata.json`.

    Attributes:
        metadata: all entries, to which more may be added until the block ends.
        steps: written.
        returns: of the episodes written.

    Raises:
        UsageError: there is a data set or a file of this name already, or a space that Minari has not.
    """

    def __init__(self, name: str, observation: SpaceNest, action: SpaceNest, metadata: dict[str, Any]) -> None:
        self._directory, self._id = directory_of(name), id_of(name)
        check_new(name)
        self._spaces = observation, action
        texts = {"observation_space": space_text(observation), "action_space": space_text(action)}
        described = {"dataset_id": self._id, "data_format": "hdf5", "jpeg_encoding": False, "minari_version": VERSION}
        self.metadata = {**described, **texts, **metadata}
        self.steps = 0
        self.returns: list[float] = []

    @property
    def path(self) -> pathlib.Path:
        """The directory of the data set."""
        return self._directory

    def __enter__(self) -> RecordingWriter:
        # Beside its place, so that it can be moved there.
        self._partial = self._directory.with_name(f".{self._directory.name}-{secrets.token_hex(4)}")
        try:
            (self._partial / DATA).mkdir(parents=True)
            self._file = h5py.File(self._partial / DATA / MAIN, "x", track_order=True)
        except OSError as error:
            raise self._fault(error) from error
        return self

    def add(self, episode: Episode) -> None:
        """Writes an episode.

        Raises:
            WriteFault: it can't be written.
        """
        observation, action = (
            to_environment(*pair) for pair in zip((episode.observation, episode.action), self._spaces, strict=True)
        )

        # [2, T] terminations and truncations: one of the two at the last step.
        steps = len(episode.reward)
        ends = np.zeros((2, steps), np.bool_)
        ends[:, -1] = episode.terminated, not episode.terminated
        arrays = {
            "observations": observation,
            "actions": action,
            "rewards": episode.reward,
            "terminations": ends[0],
            "truncations": ends[1],
        }

        # Episodes are numbered in the order in which they are written.
        try:
            number = len(self.returns)
            group = self._file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": steps})
            _put(group, arrays)
        except OSError as error:
            raise self._fault(error) from error
        self.returns.append(float(np.sum(episode.reward, dtype=np.float64)))
        self.steps += steps

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if kind is None:
                self._finish()
        except (OSError, files.UnwritableError) as fault:
            raise self._fault(fault) from fault
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _finish(self) -> None:
        """Writes the metadata, and moves everything to its place."""
        data = self._partial / DATA
        size = round((data / MAIN).stat().st_size / MEGABYTE, 1)
        counts = {"total_episodes": len(self.returns), "total_steps": self.steps, "dataset_size": size}
        (data / METADATA).write_bytes(files.json_bytes({**self.metadata, **counts}, METADATA))
        self._partial.rename(self._directory)

    def _fault(self, error: Exception) -> errors.WriteFault:
        reason = getattr(error, "strerror", None) or errors.first_line(error)
        return errors.WriteFault(f"The data set {str(self._directory)!r} can't be written: {reason}. Nothing is left of it.")


def check_new(name: str) -> pathlib.Path:
    """Returns the directory of a data set that is to be written.

    Raises:
        UsageError: there is something already.
    """
    directory = directory_of(name)
    with contextlib.suppress(OSError):
        directory.lstat()
        raise errors.UsageError(f"{str(directory)!r} exists already, and data sets are never overwritten. Choose another name.")
    return directory


def _put(group: h5py.Group, arrays: dict[str, Any]) -> None:
    """Writes arrays `[N, ...]`, mappings of them as groups; they can grow along the first axis, as Minari's do."""
    for name, value in arrays.items():
        if isinstance(value, dict):
            _put(group.create_group(name), value)
        else:
            group.create_dataset(name, data=value, chunks=True, maxshape=(None, *value.shape[1:]))


class EpisodeBuffer:
    """Gathers the steps of B environments side by side, and hands each episode to a writer when it ends.

    Args:
        writer: of the data set.
        rows: B.
    """

    def __init__(self, writer: RecordingWriter, rows: int) -> None:
        self._writer = writer
        self._running: list[list[tuple[Nest, Nest, float]]] = [[] for _ in range(rows)]

    def add(self, row: int, observation: Nest, action: Nest, reward: float) -> None:
        """Takes in one step of an environment: `observation` `[*O]`, `action` `[*A]` and the reward for it."""
        self._running[row].append((observation, action, reward))

    def end(self, row: int, final_observation: Nest, terminated: bool) -> None:
        """Writes the episode of an environment, which has ended."""
        observations, actions, rewards = zip(*self._running[row], strict=True)
        self._running[row] = []
        observation, action = _stacked([*observations, final_observation]), _stacked(list(actions))
        self._writer.add(Episode(observation, action, np.array(rewards, np.float32), terminated))


def _stacked(values: list[Nest]) -> Nest:
    """Returns nests of arrays as one, with a new first axis."""
    first = values[0]
    if isinstance(first, dict):
        return {name: _stacked([value[name] for value in values]) for name in first}
    return np.stack(values)


def row_of(values: Nest, row: int) -> Nest:
    """Returns a row of a nest of arrays `[B, ...]`, with memory of its own."""
    return map_leaves(lambda array: np.array(array[row]), values)
