"""Checkpoints: a directory per step with a manifest and safetensors files, committed atomically; large arrays in blocks."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import numpy as np

from agentlab import errors
from agentlab.runs.checkpoints.blocks import Blocks
from agentlab.runs.checkpoints.cutting import CutArray
from agentlab.runs.checkpoints.facts import are_facts, known_facts
from agentlab.system import arrays, files
from agentlab.system.arrays import ArrayFile
from agentlab.system.files import UnreadableError, UnwritableError
from agentlab.system.folder import Folder

SCHEMA = 2
SCHEMAS = (1, SCHEMA)  # that are read: the first has no arrays in blocks
MANIFEST = "manifest.json"
TEMPORARY = (".saving-", ".removing-")  # what a process that was killed may have left
NAME = re.compile(r"step-(0|[1-9][0-9]{0,17})")

Groups = Mapping[str, Mapping[str, np.ndarray | CutArray]]
CUT_GROUP = "memory"  # whose arrays may be cut: their shapes are compared with variables before anything is allocated


@attrs.frozen(eq=False)
class Checkpoint:
    """A checkpoint whose manifest has been read. Its files are verified against it when they are opened, and stay open.

    Attributes:
        path: its directory, `step-N`.
        step: N, environment steps.
        sizes: of its files in bytes, by name.
        hashes: their sha256, by name.
        cut: the arrays in blocks of the group whose arrays may be, by name.
        facts: `metrics_bytes`, the length of metrics.jsonl; `best`, the best evaluation's step and mean return, or None;
            `exact`, whether all was as one session would have left it; `seconds`, what the run has taken so far, by
            phase; `trackers`, their states by name; and `live`, the live settings that were changed, by name. One of an older
            agentlab lacks the last three.
    """

    path: pathlib.Path
    step: int
    sizes: dict[str, int]
    hashes: dict[str, str]
    cut: dict[str, CutArray]
    facts: dict[str, Any]
    _folder: Folder
    _blocks: Blocks
    _files: dict[str, ArrayFile] = attrs.field(factory=dict, init=False)

    def verify(self, groups: Iterable[str] | None = None) -> None:
        """Compares files and blocks, those of some `groups` or all, with the manifest.

        Raises:
            UnreadableError: one is missing, or has another size or sha256.
        """
        names = list(self.sizes) if groups is None else [_file_name(group) for group in groups]
        for name in names:
            self._open(name)

    def has(self, group: str) -> bool:
        """Returns whether it holds arrays of a group."""
        return _file_name(group) in self.sizes

    def file(self, group: str) -> ArrayFile:
        """Returns the file with the arrays of a group, compared with the manifest.

        Raises:
            UnreadableError: it holds none of that group, or the file has another size or sha256.
        """
        return self._open(_file_name(group))

    def close(self) -> None:
        """Closes its files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _open(self, name: str) -> ArrayFile:
        if name not in self.sizes:
            raise UnreadableError(f"{name} is not in the manifest")
        if name not in self._files:
            cut = self.cut if name == _file_name(CUT_GROUP) else {}
            beside = {array: self._blocks.entry(array, in_blocks) for array, in_blocks in cut.items()}
            file = ArrayFile(self._folder.open_file(name), name, self.sizes[name], beside)
            if file.sha256 != self.hashes[name]:
                raise UnreadableError(f"{name} doesn't match the sha256 in the manifest")
            self._files[name] = file
        return self._files[name]


class Checkpoints:
    """The checkpoints of a run.

    They are committed by writing to a temporary directory, putting every file and the directory on disk, renaming it, and
    putting the parent on disk; whichever of these a crash comes between, what had been committed before is still there.
    Blocks are on disk before a manifest names them, and are removed once none does.

    Args:
        directory: holds them, `step-N` each; a symbolic link in its place is not followed.
        run: the directory that holds `directory`, if it is open already.

    Raises:
        OSError: the directory that holds `directory` can't be opened.
    """

    def __init__(self, directory: pathlib.Path, run: Folder | None = None) -> None:
        self._run = run or Folder.open(directory.parent)
        self._name = directory.name
        self.blocks = Blocks(lambda: self._run.folder(self._name))
        self.resuming = f"agentlab resume {directory.parent}"  # which messages give

    @property
    def directory(self) -> pathlib.Path:
        """Where they are."""
        return self._run.path / self._name

    def steps(self) -> list[int]:
        """Returns the steps of those there are, ascending, whether whole or damaged.

        Raises:
            UnreadableError: they are not in a directory of the run, but behind a symbolic link.
        """
        names = self._run.folder(self._name).names() if self._run.has(self._name) else []
        return sorted(int(match[1]) for match in map(NAME.fullmatch, names) if match)

    def has(self, step: int) -> bool:
        """Returns whether there is one of a step, whole or damaged."""
        try:
            return self._run.folder(self._name).has(f"step-{step}")
        except UnreadableError:
            return False

    def save(self, step: int, groups: Groups, facts: Mapping[str, Any]) -> pathlib.Path:
        """Commits the arrays of each group, in the place of a checkpoint of the same step, and returns its directory.

        Raises:
            WriteFault: it can't be written, or could not be read back; the checkpoints there were are untouched, and no
                temporary file is left.
        """
        try:
            _check_writable(groups, facts)  # reported before anything is written
            folder = self._run.make_folder(self._name)
            with self._discarded_on_error(folder) as temporary:
                for cut in cut_arrays(groups).values():
                    self.blocks.store(cut)
                _write(folder.folder(temporary), step, groups, facts)
                self._put_in_place(folder, temporary, f"step-{step}")
        except (OSError, UnwritableError, UnreadableError) as error:
            raise errors.WriteFault(
                f"The checkpoint of step {step:,} can't be written to {str(self.directory)!r}: "
                f"{getattr(error, 'strerror', None) or error}; {self._newest()}. {_remedy(error)} "
                f"'{self.resuming}'."
            ) from error
        return self.directory / f"step-{step}"

    def _newest(self) -> str:
        """Returns a clause about what can be resumed from."""
        try:
            steps = self.steps()
        except (OSError, UnreadableError):
            steps = []
        return f"the newest is step-{steps[-1]}" if steps else "there is none yet"

    @contextlib.contextmanager
    def _discarded_on_error(self, folder: Folder) -> Iterator[str]:
        """Makes a temporary directory; if what it is for goes wrong, removes it and the blocks that were for it."""
        temporary = folder.make_temporary(TEMPORARY[0])
        try:
            yield temporary
        except BaseException:
            with contextlib.suppress(OSError, UnreadableError):  # what went wrong is raised already
                folder.remove(temporary)
                self._remove_unused_blocks()
            raise

    def _remove_unused_blocks(self) -> None:
        """Removes the blocks that no checkpoint names; none as long as there is a damaged one, which may name any."""
        with contextlib.suppress(UnreadableError):
            used = {digest for step in self.steps() for cut in self.open(step).cut.values() for digest in cut.digests()}
            self.blocks.remove_unused(used)

    def _put_in_place(self, folder: Folder, temporary: str, final: str) -> None:
        if folder.has(final):  # a damaged one, or one of a run that went on from an earlier step
            _remove(folder, final)
        folder.rename(temporary, folder, final)
        folder.sync()

    def prune(self, keep: Iterable[int]) -> None:
        """Removes all checkpoints but those of the steps to `keep`, and the blocks that none of these names.

        Raises:
            WriteFault: one can't be removed.
        """
        steps_to_keep = set(keep)
        try:
            folder = self._run.folder(self._name)
            for step in self.steps():
                if step not in steps_to_keep:
                    _remove(folder, f"step-{step}")
            self._remove_unused_blocks()
        except (OSError, UnreadableError) as error:
            raise errors.WriteFault(
                f"An old checkpoint in {str(self.directory)!r} can't be removed: {getattr(error, 'strerror', None) or error}. "
                "Fix that directory's permissions."
            ) from error

    def sweep(self) -> None:
        """Removes what a process that was killed has left; only while holding the run's lock.

        Raises:
            UnreadableError: they are not in a directory of the run, but behind a symbolic link.
        """
        if self._run.has(self._name):
            folder = self._run.folder(self._name)
            for name in folder.names():
                if name.startswith(TEMPORARY):
                    folder.remove(name)
            self.blocks.sweep()
            self._remove_unused_blocks()  # of a checkpoint that it was about to remove

    def open(self, step: int) -> Checkpoint:
        """Returns the checkpoint of a step, its manifest read and well formed, its files not looked at yet.

        Raises:
            UnreadableError: it is not a checkpoint.
        """
        # The manifest is read first: it says which files there have to be, how large, and with which hashes.
        name = f"step-{step}"
        folder = self._run.folder(self._name).folder(name)
        manifest = folder.read_json(MANIFEST)
        if manifest.get("schema") not in SCHEMAS or manifest.get("step") != step:
            version_and_step = f"schema {manifest.get('schema')!r} and step {manifest.get('step')!r}"
            raise UnreadableError(f"{MANIFEST} says {version_and_step[:100]}; expected {SCHEMA} and {step}")
        entries = manifest.get("files")
        cut = cut_of(entries)
        if not isinstance(entries, dict) or not all(_is_entry(name, entry) for name, entry in entries.items()) or cut is None:
            raise UnreadableError(f"{MANIFEST} has a malformed list of files")

        # What the run needs to know to resume.
        facts = known_facts(manifest)
        if not are_facts(**facts):
            raise UnreadableError(f"{MANIFEST} has invalid values of {', '.join(facts)}")
        sizes, hashes = ({name: entry[key] for name, entry in entries.items()} for key in ("bytes", "sha256"))
        return Checkpoint(self.directory / name, step, sizes, hashes, cut, facts, folder, self.blocks)


def _check_writable(groups: Groups, facts: Mapping[str, Any]) -> None:
    """Raises UnwritableError if a checkpoint could not be read back."""
    if any(cut_arrays({group: held}) for group, held in groups.items() if group != CUT_GROUP):
        raise UnwritableError(f"only arrays of {CUT_GROUP!r} can be cut into blocks")
    for group, held in groups.items():
        if not _is_entry(_file_name(group), {"bytes": 0, "sha256": ""}):
            raise UnwritableError(f"{group!r} is not the name of a group")
        arrays.header(held)
    files.json_bytes(facts, MANIFEST)
    if not are_facts(**known_facts(facts)):
        raise UnwritableError(f"the facts {str(facts)[:100]} are not those of a checkpoint")


def _write(folder: Folder, step: int, groups: Groups, facts: Mapping[str, Any]) -> None:
    """Writes the files of a checkpoint and puts them on disk."""
    entries: dict[str, dict[str, Any]] = {}
    for group, held in groups.items():
        with folder.create(_file_name(group)) as opened:
            whole = {name: array for name, array in held.items() if not isinstance(array, CutArray)}
            size, digest = arrays.write(opened, whole)
        cut = {name: in_blocks.as_data(name) for name, in_blocks in cut_arrays({group: held}).items()}
        entries[_file_name(group)] = {"bytes": size, "sha256": digest, **({"cut": cut} if cut else {})}

    # The manifest comes last: a directory without one is no checkpoint.
    manifest = {"schema": SCHEMA, "step": step, "files": entries, **facts}
    with folder.create(MANIFEST) as opened:
        opened.write(files.json_bytes(manifest, MANIFEST))
        files.sync(opened)
    folder.sync()


def _remove(folder: Folder, name: str) -> None:
    """Removes a checkpoint so that at no moment half of it looks like a whole one."""
    aside = folder.make_temporary(TEMPORARY[1])
    folder.rename(name, folder.folder(aside), name)
    folder.sync()
    folder.remove(aside)


def _remedy(error: Exception) -> str:
    if isinstance(error, OSError):
        return "Make room or fix the disk, then"
    if isinstance(error, UnreadableError):
        return "Remove it, then"
    return "Fix the part that it is of, then"


def _file_name(group: str) -> str:
    return f"{group}.safetensors"


def _is_entry(name: str, entry: object) -> bool:
    """Whether a manifest's entry is a file of the checkpoint's own directory, with its size and sha256."""
    group = name.removesuffix(".safetensors")
    plain = group != name and len(name) < 100 and group.isascii() and group.replace("_", "").isalnum()
    optional = {"cut"} if group == CUT_GROUP else set()
    if not plain or not isinstance(entry, dict) or entry.keys() - optional != {"bytes", "sha256"}:
        return False
    return type(entry["bytes"]) is int and entry["bytes"] >= 0 and isinstance(entry["sha256"], str)


def cut_arrays(groups: Groups) -> dict[str, CutArray]:
    """Returns the arrays in blocks of some groups, by name."""
    held = [(name, array) for group in groups.values() for name, array in group.items()]
    return {name: array for name, array in held if isinstance(array, CutArray)}


def cut_of(entries: object) -> dict[str, CutArray] | None:
    """Returns the arrays in blocks that a manifest describes, by name; None if one is malformed."""
    entry = entries.get(_file_name(CUT_GROUP)) if isinstance(entries, dict) else None
    described = entry.get("cut", {}) if isinstance(entry, dict) else {}
    if not isinstance(described, dict):
        return None
    cut = {name: in_blocks for name, value in described.items() if (in_blocks := CutArray.from_data(name, value)) is not None}
    return cut if len(cut) == len(described) else None
