"""Large arrays, cut into blocks, so that a checkpoint holds a block once that several of them have."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

import attrs
import numpy as np

from agentlab.system import arrays
from agentlab.system.array_rows import appended_slots

BLOCK_BYTES = 2**22  # of a block; what is no larger is not cut
BLOCK_LIMIT = 2**24  # bytes of a block that somebody else has cut
NAME = re.compile(r"[0-9a-f]{64}")  # of a block: its sha256


@attrs.define(eq=False)
class CutArray:
    """A large array in blocks of its bytes, which begin where its rows begin that lie first.

    Attributes:
        dtype: of the array.
        shape: of the array.
        blocks: in order, the bytes `[n]` uint8 of a block; or its sha256 once it is stored; or "" where it is unknown.
        block_bytes: n, of a block; the last may have fewer.
        appended: how many rows had been appended, see `agentlab.memory.Memory.appended_rows`; 0 if that is unknown.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    blocks: list[np.ndarray | str] = attrs.field(factory=list)
    block_bytes: int = attrs.field(factory=lambda: BLOCK_BYTES)
    appended: int = 0

    @property
    def num_bytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def num_blocks(self) -> int:
        """How many blocks that makes."""
        return -(-self.num_bytes // self.block_bytes)

    def bounds(self, number: int) -> tuple[int, int]:
        """Returns from which to which byte of the array a block goes."""
        begin = number * self.block_bytes
        return begin, min(begin + self.block_bytes, self.num_bytes)

    def unchanged(self, later: CutArray, rows: int) -> dict[int, str]:
        """Returns the sha256, by number, of those stored blocks that are the same in a later state of this array.

        Args:
            later: the array with more rows appended; its blocks are not looked at.
            rows: of the variable, written from the first to the last and then from the first again.
        """
        before, now = ((cut.dtype, cut.shape[1:], cut.block_bytes) for cut in (self, later))
        if before != now or not 0 < self.appended <= later.appended:
            return {}

        # From which to which byte the array was written since.
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        slots = appended_slots(rows, self.appended, later.appended)
        changes = [(part.start * row_bytes, part.stop * row_bytes) for part in slots]

        # A block that is longer now is another one.
        same = {}
        for number, block in enumerate(self.blocks):
            begin, end = self.bounds(number)
            is_written = any(first < end and begin < stop for first, stop in changes)
            if isinstance(block, str) and block and later.bounds(number) == (begin, end) and not is_written:
                same[number] = block
        return same

    def digests(self) -> list[str]:
        """Returns the sha256 of all blocks, in order; they are stored."""
        return [block for block in self.blocks if isinstance(block, str)]

    def as_data(self, name: str) -> dict[str, Any]:
        """Returns what a manifest says of the array of this name; its blocks are stored."""
        sizes = {"dtype": arrays.DTYPES[self.dtype.name], "shape": list(self.shape), "block_bytes": self.block_bytes}
        described = {**sizes, "blocks": self.digests()}
        return {"sha256": _sha256_of(name, described), **described}

    @classmethod
    def from_data(cls, name: str, value: object) -> CutArray | None:
        """Returns the array that a manifest describes, None if it is malformed: whoever wrote it may have meant harm."""
        if not isinstance(value, dict) or value.keys() != {"sha256", "dtype", "shape", "block_bytes", "blocks"}:
            return None

        # What it names are hashes, never paths; their number follows from the sizes.
        kind, block_bytes, blocks = arrays.kind_of(value["dtype"], value["shape"]), value["block_bytes"], value["blocks"]
        if kind is None or type(block_bytes) is not int or not 0 < block_bytes <= BLOCK_LIMIT or not isinstance(blocks, list):
            return None
        if not all(isinstance(block, str) and NAME.fullmatch(block) for block in blocks):
            return None
        cut = cls(*kind, blocks, block_bytes)
        described = {key: value[key] for key in ("dtype", "shape", "block_bytes", "blocks")}
        return cut if cut.num_blocks == len(blocks) and value["sha256"] == _sha256_of(name, described) else None


def cut_if_large(array: np.ndarray) -> np.ndarray | CutArray:
    """Returns an array in blocks, which are not copied; itself if it is no larger than a block."""
    if array.nbytes <= BLOCK_BYTES:
        return array
    flat, cut = arrays.bytes_of(array), CutArray(array.dtype, array.shape)
    cut.blocks = [np.frombuffer(flat[slice(*cut.bounds(number))], np.uint8) for number in range(cut.num_blocks)]
    return cut


def _sha256_of(name: str, described: dict[str, Any]) -> str:
    """Returns the sha256 of all that a manifest says of an array: of its blocks in another order it is another one."""
    return hashlib.sha256(json.dumps([name, described], sort_keys=True).encode()).hexdigest()
