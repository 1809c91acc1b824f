"""TensorBoard's event file: the settings, and one summary of scalars per report. Writing it doesn't need TensorBoard."""

from __future__ import annotations

import contextlib
import platform
import secrets
import time
from typing import Any

import numpy as np

from agentlab.configuration import Setting, task_settings
from agentlab.runs.files.run_directory import EVENTS, RunDirectory
from agentlab.system.folder import Folder
from agentlab.tracker import Histogram, Media, Metrics, TrackedRun, Tracker, grouped

MASK = 0xA282EAD8  # what TensorFlow's record format adds to a checksum


class TensorBoard(Tracker):
    """Writes settings, the numbers of every report, texts and frames into the run's `events`; a full disk ends the run.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._file: EventFile | None = None
        self._first_step = 0
        self._settings: dict[str, Setting] = {}

    def begin(self, run: TrackedRun) -> None:
        self._first_step, self._settings = run.step, task_settings(run.config)

    def line(self, metrics: Metrics) -> None:
        with self._directory.writing(EVENTS):
            self._opened().write(metrics["step"], grouped(metrics))

    def media(self, name: str, content: Media, step: int) -> None:
        with self._directory.writing(EVENTS):
            self._opened().write_media(step, name, content)

    def _opened(self) -> EventFile:
        """Returns the file, which is created when there is something to write."""
        if self._file is None:
            self._file = EventFile(self._directory.folder.make_folder(EVENTS), self._first_step)
            self._file.write_settings(self._settings)
        return self._file

    def end(self, result: dict[str, Any] | None) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk was reported when it was written to
                self._file.close()


class EventFile:
    """A new event file in a folder, in TensorFlow's record format.

    Args:
        folder: of the run's event files.
        first_step: where a resumed run continues; 0 for a new one.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, folder: Folder, first_step: int) -> None:
        import tensorflow as tf

        self._v1 = tf.compat.v1
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{secrets.token_hex(4)}"  # which nobody can predict
        self._opened = folder.create(name)

        # A file that can't be written to is not left open.
        try:
            self._begin(first_step)
        except BaseException:
            with contextlib.suppress(OSError):  # which is raised already
                self.close()
            raise

    def _begin(self, first_step: int) -> None:
        self._write(file_version="brain.Event:2")
        if first_step:
            started = self._v1.SessionLog(status=self._v1.SessionLog.START)
            self._write(step=first_step, session_log=started)  # TensorBoard then forgets what came after

    def write_settings(self, settings: dict[str, Setting]) -> None:
        """Writes the settings of the run, which TensorBoard shows as its hyperparameters."""
        plugin = self._v1.SummaryMetadata.PluginData(plugin_name="hparams", content=_session_start(settings))
        value = self._v1.Summary.Value(
            tag="_hparams_/session_start_info", metadata=self._v1.SummaryMetadata(plugin_data=plugin)
        )
        self._write(summary=self._v1.Summary(value=[value]))

    def write(self, step: int, line: dict[str, float]) -> None:
        """Writes numbers by tag, and hands them to the system."""
        Value = self._v1.Summary.Value  # noqa: N806 - a class
        values = [Value(tag=tag, simple_value=value) for tag, value in line.items()]
        self._write(step=step, summary=self._v1.Summary(value=values))

    def write_media(self, step: int, name: str, content: Media) -> None:
        """Writes a text, a histogram, or frames `[T, height, width, 3]` uint8, which TensorBoard shows side by side."""
        import tensorflow as tf

        if isinstance(content, Histogram):
            self._write(
                step=step, summary=self._v1.Summary(value=[self._v1.Summary.Value(tag=name, histo=self._histo(content))])
            )
            return
        if isinstance(content, str):
            plugin, tensor = "text", tf.make_tensor_proto([content.encode("utf-8")])
        else:
            height, width = content.shape[1:3]
            pictures = [tf.io.encode_png(np.ascontiguousarray(frame)).numpy() for frame in content]
            plugin, tensor = "images", tf.make_tensor_proto([str(width).encode(), str(height).encode(), *pictures])

        # The plugin of TensorBoard that shows the tensor is named in the summary's metadata.
        shown_by = self._v1.SummaryMetadata(plugin_data=self._v1.SummaryMetadata.PluginData(plugin_name=plugin))
        value = self._v1.Summary.Value(tag=name, tensor=tensor, metadata=shown_by)
        self._write(step=step, summary=self._v1.Summary(value=[value]))

    def _histo(self, histogram: Histogram) -> Any:
        """Returns TensorFlow's message: its buckets end at the edges, the first of them below all values."""
        edges, counts = histogram.edges, histogram.counts
        middles = (edges[1:] + edges[:-1]) / 2
        return self._v1.HistogramProto(
            min=edges[0], max=edges[-1], num=counts.sum(), sum=counts @ middles, sum_squares=counts @ middles**2,
            bucket_limit=edges, bucket=[0, *counts],
        )  # fmt: skip

    def close(self) -> None:
        """Closes the file."""
        self._opened.close()

    def _write(self, **fields: object) -> None:
        data = self._v1.Event(wall_time=time.time(), **fields).SerializeToString()
        length = len(data).to_bytes(8, "little")
        self._opened.write(length + _masked_checksum(length) + data + _masked_checksum(data))
        self._opened.flush()


def _session_start(settings: dict[str, Setting]) -> bytes:
    """Returns TensorBoard's message `HParamsPluginData` with a `SessionStartInfo`: a mapping of names to values.

    Its definition is a part of TensorBoard, which isn't needed to write it.
    """
    from google.protobuf import struct_pb2

    kinds: dict[type, str] = {bool: "bool_value", str: "string_value"}
    entries = b""
    for name, setting in settings.items():
        value = struct_pb2.Value()
        setattr(value, kinds.get(type(setting), "number_value"), setting)
        entries += _field(1, _field(1, name.encode("utf-8")) + _field(2, value.SerializeToString()))
    return _field(3, entries)


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of a protocol buffer that has a length."""
    length, size = b"", len(content)
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _masked_checksum(data: bytes) -> bytes:
    """Returns the CRC-32C of some bytes, rotated and masked as the record format asks for."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = _TABLE[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    checksum ^= 0xFFFFFFFF
    rotated = (checksum >> 15) | (checksum << 17)
    return ((rotated + MASK) & 0xFFFFFFFF).to_bytes(4, "little")


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial, its bits in reverse
    return byte


_TABLE = [_table_entry(byte) for byte in range(256)]
