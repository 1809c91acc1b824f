"""Blocks: files named by their sha256, each stored once for all checkpoints of a run that have it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection

import attrs
import numpy as np

from agentlab.runs.checkpoints.cutting import NAME, CutArray
from agentlab.system import files
from agentlab.system.arrays import Entry
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder
from agentlab.system.verified_bytes import VerifiedBytes, read_exactly

FOLDER = "blocks"
TEMPORARY = ".saving"  # a block that is being written, which a process that was killed may have left


class Blocks:
    """The blocks of a run's checkpoints.

    Args:
        parent: opens the folder of the checkpoints, which holds that of the blocks.
    """

    def __init__(self, parent: Callable[[], Folder]) -> None:
        self._parent = parent
        self._sound: dict[str, tuple[int, int, int]] = {}  # by sha256, the version of the file that was written or verified

    def open(self) -> Folder:
        """Opens the folder of the blocks; raises UnreadableError if there is none."""
        return self._parent().folder(FOLDER)

    def with_sound(self, cut: CutArray) -> CutArray:
        """Returns an array without the names of blocks that are not there as this object has written or verified them."""
        try:
            folder = self.open()
        except UnreadableError:  # somebody has removed all of them
            return attrs.evolve(cut, blocks=[])
        names = (block if isinstance(block, str) else "" for block in cut.blocks)
        return attrs.evolve(cut, blocks=[name if self._is_sound(folder, name) else "" for name in names])

    def store(self, cut: CutArray) -> None:
        """Puts those blocks of an array on disk that are not there, and names all of them instead of holding them.

        Raises:
            OSError: one can't be written.
            UnreadableError: their folder is something else.
        """
        folder = self._parent().make_folder(FOLDER)
        for number, block in enumerate(cut.blocks):
            if not isinstance(block, str):
                cut.blocks[number] = self._put(folder, block)  # so that its copy takes no memory any more
        folder.sync()
        self._parent().sync()

    def _put(self, folder: Folder, block: np.ndarray) -> str:
        digest = hashlib.sha256(block.data).hexdigest()
        if not self._is_sound(folder, digest) and not self._verifies(folder, digest, len(block)):
            self._write(folder, digest, block)
            self.note(digest, folder.version(digest))
        return digest

    def _verifies(self, folder: Folder, digest: str, length: int) -> bool:
        """Returns whether a block is on disk, such as one of an earlier session; a damaged one is as good as none."""
        version = folder.version(digest)
        if version is None:
            return False
        with contextlib.suppress(UnreadableError):
            if hashlib.sha256(read_block(folder, digest, length)).hexdigest() == digest:
                self.note(digest, version)
                return True
        return False

    def _write(self, folder: Folder, digest: str, block: np.ndarray) -> None:
        # Whole and on disk before it takes the name.
        try:
            with folder.create(TEMPORARY) as opened:
                opened.write(block.data)
                files.sync(opened)
            if folder.is_folder(digest):  # which no file can replace
                folder.remove(digest)
            folder.rename(TEMPORARY, folder, digest)
        except BaseException:
            with contextlib.suppress(OSError):  # what went wrong is raised already
                folder.remove(TEMPORARY)
            raise

    def note(self, digest: str, version: tuple[int, int, int] | None) -> None:
        """Notes that a version of a block's file was verified."""
        if version is not None:
            self._sound[digest] = version

    def _is_sound(self, folder: Folder, digest: str) -> bool:
        return digest in self._sound and folder.version(digest) == self._sound[digest]

    def remove_unused(self, used: Collection[str]) -> None:
        """Removes all blocks but those that are `used`.

        Raises:
            OSError: one can't be removed.
            UnreadableError: their folder is something else.
        """
        if not self._parent().has(FOLDER):
            return
        folder = self.open()
        for name in folder.names():
            if NAME.fullmatch(name) and name not in used:
                folder.remove(name)
                self._sound.pop(name, None)

    def sweep(self) -> None:
        """Removes what a process that was killed has left; raises OSError if it can't."""
        with contextlib.suppress(UnreadableError):  # there are none, or something else has their place
            self.open().remove(TEMPORARY)

    def entry(self, name: str, cut: CutArray) -> Entry:
        """Returns where an array of a checkpoint lies, all its blocks verified; raises UnreadableError if one is not whole."""
        source = BlockBytes(self, name, cut)
        source.verify()
        return Entry(cut.dtype, cut.shape, 0, cut.num_bytes, source)


class BlockBytes(VerifiedBytes):
    """The bytes of an array in blocks, each read from its file and hashed.

    Args:
        blocks: among which they are.
        name: of the array.
        cut: the array, its blocks stored.

    Raises:
        UnreadableError: there are no blocks.
    """

    def __init__(self, blocks: Blocks, name: str, cut: CutArray) -> None:
        super().__init__(name, cut.num_bytes, cut.block_bytes)
        self._blocks, self._folder, self._digests = blocks, blocks.open(), cut.digests()

    def verify(self) -> None:
        """Reads every block once; raises UnreadableError if one is missing, or is not what its name says."""
        lengths: dict[str, int] = {}
        for number, digest in enumerate(self._digests):
            if lengths.get(digest) != self._length(number):  # one that is there many times, such as of zeros, is read once
                version = self._folder.version(digest)
                self.verified(number)
                lengths[digest] = self._length(number)
                self._blocks.note(digest, version)

    def _read(self, number: int) -> bytes:
        try:
            return read_block(self._folder, self._digests[number], self._length(number))
        except UnreadableError as error:
            raise UnreadableError(f"{self.name} can't be read: its block {error}") from error

    def _digest(self, number: int) -> bytes:
        return bytes.fromhex(self._digests[number])

    def _complaint(self, number: int) -> str:
        return f"{self.name} can't be read: its block {self._digests[number]} has another sha256"


def read_block(folder: Folder, digest: str, length: int) -> bytes:
    """Returns the bytes of a block, not verified; raises UnreadableError if it isn't a plain file of that length."""
    with folder.open_file(digest) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size != length:
            raise UnreadableError(f"{digest} has {size:,} bytes instead of {length:,}")
        return read_exactly(opened, 0, length, digest)
