"""Recordings: what agents did, written and read as Minari data sets; `minari` itself isn't needed."""

from agentlab.recordings.location import directory_of
from agentlab.recordings.reader import RecordedSteps, Recording, open_recording
from agentlab.recordings.writer import RecordingWriter

__all__ = ["RecordedSteps", "Recording", "RecordingWriter", "directory_of", "open_recording"]
