"""Checkpoints: a directory per step with a manifest and safetensors files, each there as a whole or not at all."""

from __future__ import annotations

import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import numpy as np

from agentlab import errors
from agentlab.system import arrays, files
from agentlab.system.files import UnreadableError

SCHEMA = 1
MANIFEST = "manifest.json"
FACTS = ("metrics_bytes", "best", "exact")  # what a run keeps in its manifests besides arrays
TEMPORARY = (".saving-", ".removing-")  # what a process that was killed may have left


@attrs.frozen
class Checkpoint:
    """A checkpoint whose manifest was read; `verify` compares its files with it.

    Attributes:
        path: its directory, `step-N`.
        step: N, environment steps.
        sizes: of its files in bytes, by name.
        hashes: their sha256, by name.
        facts: `metrics_bytes`, the length of metrics.jsonl; `best`, the best evaluation's step and mean return, or None; and
            `exact`, whether all was as one session would have left it.
    """

    path: pathlib.Path
    step: int
    sizes: dict[str, int]
    hashes: dict[str, str]
    facts: dict[str, Any]

    def verify(self, groups: Iterable[str] | None = None) -> None:
        """Compares files, those of some `groups` or all, with the manifest.

        Raises:
            UnreadableError: one is missing, or has another size or sha256.
        """
        names = list(self.sizes) if groups is None else [self.file(group).name for group in groups]
        for name in names:
            if arrays.sha256(self.path / name, self.sizes[name]) != self.hashes[name]:
                raise UnreadableError(f"{name} has another sha256 than the manifest says")

    def has(self, group: str) -> bool:
        """Returns whether it holds arrays of a group."""
        return _file_name(group) in self.sizes

    def file(self, group: str) -> pathlib.Path:
        """Returns the file with the arrays of a group.

        Raises:
            UnreadableError: it holds none of that group.
        """
        if not self.has(group):
            raise UnreadableError(f"{_file_name(group)} is not in the manifest")
        return self.path / _file_name(group)


class Checkpoints:
    """The checkpoints of a run.

    They are committed by writing to a temporary directory, putting every file and the directory on disk, renaming it, and
    putting the parent on disk; whichever of these a crash comes between, what had been committed before is still there.

    Args:
        directory: holds them, `step-N` each.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def steps(self) -> list[int]:
        """Returns the steps of those there are, ascending, whether whole or damaged."""
        names = [path.name for path in self.directory.glob("step-*")]
        return sorted({int(name[5:]) for name in names if name[5:].isascii() and name[5:].isdigit()})

    def save(self, step: int, groups: Mapping[str, Mapping[str, np.ndarray]], facts: Mapping[str, Any]) -> pathlib.Path:
        """Commits the arrays of each group, in the place of a checkpoint of the same step, and returns its directory.

        Raises:
            WriteFault: it can't be written; the checkpoints there were are untouched, and no temporary file is left.
        """
        final = self.directory / f"step-{step}"
        try:
            self.directory.mkdir(exist_ok=True)
            temporary = pathlib.Path(tempfile.mkdtemp(prefix=TEMPORARY[0], dir=self.directory))
            try:
                self._write(temporary, step, groups, facts)
                self._put_in_place(temporary, final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        except OSError as error:
            kept = self.steps()
            newest = f"the newest is step-{kept[-1]}" if kept else "there is none yet"
            raise errors.WriteFault(
                f"The checkpoint of step {step:,} can't be written to {str(self.directory)!r}: {error.strerror or error}; "
                f"{newest}. Make room or mend the disk, then 'agentlab resume {self.directory.parent}'."
            ) from error
        return final

    def _write(
        self, temporary: pathlib.Path, step: int, groups: Mapping[str, Mapping[str, np.ndarray]], facts: Mapping[str, Any]
    ) -> None:
        written = {_file_name(group): arrays.write(temporary / _file_name(group), found) for group, found in groups.items()}
        entries = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in written.items()}
        files.write_new_json(temporary / MANIFEST, {"schema": SCHEMA, "step": step, "files": entries, **facts})
        temporary.chmod(0o755)
        files.sync_directory(temporary)

    def _put_in_place(self, temporary: pathlib.Path, final: pathlib.Path) -> None:
        if final.exists():  # a damaged one, or one of a run that went on from an earlier step
            self._remove(final)
        temporary.rename(final)
        files.sync_directory(self.directory)

    def prune(self, keep: Iterable[int]) -> None:
        """Removes all checkpoints but those of the steps to `keep`.

        Raises:
            WriteFault: one can't be removed.
        """
        wanted = set(keep)
        try:
            for step in self.steps():
                if step not in wanted:
                    self._remove(self.directory / f"step-{step}")
        except OSError as error:
            raise errors.WriteFault(
                f"An old checkpoint in {str(self.directory)!r} can't be removed: {error.strerror or error}. "
                "Mend that directory's permissions."
            ) from error

    def sweep(self) -> None:
        """Removes what a process that was killed has left; only for whoever holds the run's lock."""
        for prefix in TEMPORARY:
            for path in self.directory.glob(f"{prefix}*"):
                files.remove(path)

    def open(self, step: int) -> Checkpoint:
        """Returns the checkpoint of a step, its manifest read and well formed, its files not looked at yet.

        Raises:
            UnreadableError: it is none.
        """
        path = self.directory / f"step-{step}"
        if path.is_symlink() or not path.is_dir():
            raise UnreadableError("it is not a directory")
        found = files.read_json(path / MANIFEST)
        if found.get("schema") != SCHEMA or found.get("step") != step:
            told = f"schema {found.get('schema')!r} and step {found.get('step')!r}"
            raise UnreadableError(f"{MANIFEST} says {told[:100]}; expected {SCHEMA} and {step}")
        entries = found.get("files")
        if not isinstance(entries, dict) or not all(_is_entry(name, entry) for name, entry in entries.items()):
            raise UnreadableError(f"{MANIFEST} lists files in a way that no checkpoint does")
        facts = {name: found.get(name) for name in FACTS}
        if not _are_facts(**facts):
            raise UnreadableError(f"{MANIFEST} says something else of {', '.join(FACTS)} than a checkpoint does")
        sizes, hashes = ({name: entry[key] for name, entry in entries.items()} for key in ("bytes", "sha256"))
        return Checkpoint(path, step, sizes, hashes, facts)

    def _remove(self, path: pathlib.Path) -> None:
        """Removes a checkpoint so that at no moment half of it looks like a whole one."""
        aside = pathlib.Path(tempfile.mkdtemp(prefix=TEMPORARY[1], dir=self.directory))
        path.rename(aside / path.name)
        files.sync_directory(self.directory)
        files.remove(aside)


def _file_name(group: str) -> str:
    return f"{group}.safetensors"


def _is_entry(name: str, entry: Any) -> bool:
    """Whether a manifest's entry is a file of the checkpoint's own directory, with its size and sha256."""
    group = name.removesuffix(".safetensors")
    plain = group != name and len(name) < 100 and group.isascii() and group.replace("_", "").isalnum()
    if not plain or not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
        return False
    return type(entry["bytes"]) is int and entry["bytes"] >= 0 and isinstance(entry["sha256"], str)


def _are_facts(metrics_bytes: Any, best: Any, exact: Any) -> bool:
    known = best is None or (
        isinstance(best, dict) and [type(best.get(key)) for key in ("step", "return_mean")] == [int, float]
    )
    return type(metrics_bytes) is int and metrics_bytes >= 0 and known and isinstance(exact, bool)
