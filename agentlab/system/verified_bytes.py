"""Bytes of files in blocks whose hashes are known, so that what is read is what was verified."""

from __future__ import annotations

import abc
import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from agentlab.system import files
from agentlab.system.files import UnreadableError

CHANGED = "changed while it was read"


class VerifiedBytes(abc.ABC):
    """Bytes in blocks whose hashes are known; a block is hashed when it is read.

    Args:
        name: for messages.
        size: of all, in bytes.
        block: bytes of a block; the last may have fewer.
    """

    def __init__(self, name: str, size: int, block: int) -> None:
        self.name = name
        self.size = size
        self._block = block
        self._held = -1, b""  # the number of the block that was read last, and its bytes

    def pieces(self, begin: int, end: int) -> Iterator[memoryview]:
        """Yields the bytes from `begin` to `end`, verified, block by block.

        Raises:
            UnreadableError: they are not those that were verified.
        """
        while begin < end:
            number, offset = divmod(begin, self._block)
            piece = memoryview(self.verified(number))[offset : offset + end - begin]
            yield piece
            begin += len(piece)

    def verified(self, number: int) -> bytes:
        """Returns a block's bytes; raises UnreadableError as `pieces`."""
        if self._held[0] != number:
            data = self._read(number)
            if hashlib.sha256(data).digest() != self._digest(number):
                raise UnreadableError(self._complaint(number))
            self._held = number, data
        return self._held[1]

    def _length(self, number: int) -> int:
        """Returns how many bytes a block has."""
        return min(self._block, self.size - number * self._block)

    @abc.abstractmethod
    def _read(self, number: int) -> bytes:
        """Returns a block's bytes as they are now; raises UnreadableError if there aren't as many."""

    @abc.abstractmethod
    def _digest(self, number: int) -> bytes:
        """Returns the sha256 that a block has to have."""

    @abc.abstractmethod
    def _complaint(self, number: int) -> str:
        """Returns a clause about a block that has another."""


class FileBytes(VerifiedBytes):
    """The bytes of an open file: hashed when it is opened, and each block again when it is read.

    Args:
        opened: the file.
        name: for messages.

    Attributes:
        sha256: of the file.
    """

    def __init__(self, opened: BinaryIO, name: str) -> None:
        super().__init__(name, os.fstat(opened.fileno()).st_size, files.BLOCK)
        self._opened = opened

        # Every block is hashed once here, and again when it is read: the file may change in between.
        whole, self._digests = hashlib.sha256(), []
        count = -(-self.size // self._block)
        for number in range(count):
            data = self._read(number)
            whole.update(data)
            self._digests.append(hashlib.sha256(data).digest() if count > 1 else whole.digest())
        self.sha256 = whole.hexdigest()

    def _read(self, number: int) -> bytes:
        return read_exactly(self._opened, number * self._block, self._length(number), self.name)

    def _digest(self, number: int) -> bytes:
        return self._digests[number]

    def _complaint(self, number: int) -> str:
        return f"{self.name} {CHANGED}"


def read_exactly(opened: BinaryIO, begin: int, length: int, name: str) -> bytes:
    """Returns `length` bytes of an open file from `begin` on; raises UnreadableError if there are fewer."""
    try:
        data = os.pread(opened.fileno(), length, begin)
        while data and len(data) < length:  # Linux reads 2 GiB at once, at most; other systems less
            more = os.pread(opened.fileno(), length - len(data), begin + len(data))
            data = data + more if more else b""
    except OSError as error:
        raise UnreadableError(files.reason(name, error)) from error
    if len(data) < length:
        raise UnreadableError(f"{name} {CHANGED}")
    return data
