"""provenance.json: how each session of a run was started, where, and how it ended."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import types
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import attrs

from agentlab import errors
from agentlab.runs.files.run_directory import CONFIG, PROVENANCE, RESULT, RunDirectory
from agentlab.system import files, lock, origin
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder

Status: TypeAlias = Literal["running", "finished", "interrupted", "failed", "killed"]

MOST_SESSIONS = 1_000  # that a file holds; of a run that is resumed more often, the newest
MOST_TAGS = 32
LONGEST_TAG = 100  # characters
ENDED: tuple[Status, ...] = ("finished", "interrupted", "failed")


class SessionRecord:
    """Records a session of a run in provenance.json: from `begin` to the end of the `with` block.

    Args:
        directory: of the run, locked.
        tags: of the run, for a new one; those of one that is resumed stay.
    """

    def __init__(self, directory: RunDirectory, tags: Iterable[str] = ()) -> None:
        self._directory, self._tags = directory, list(tags)
        self._data: dict[str, Any] = {}

    def begin(self, age: float) -> None:
        """Writes that the session is running, since `age` seconds ago."""
        before = _read(self._directory.folder)
        begin = _now() - datetime.timedelta(seconds=age)
        session = {"status": "running", "begin": begin.isoformat(timespec="seconds"), **origin.facts()}
        sessions = [*_sessions(before), session][-MOST_SESSIONS:]
        self._data = {"tags": self._tags or _tags(before), "sessions": sessions}
        with self._directory.writing(PROVENANCE):
            self._write()

    def __enter__(self) -> SessionRecord:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        """Writes how the session ended, if it has begun."""
        if not self._data:
            return
        self._data["sessions"][-1] |= {**_ending(error), "end": _now().isoformat(timespec="seconds")}
        if error is None:
            with self._directory.writing(PROVENANCE):
                self._write()
        else:
            with contextlib.suppress(OSError):  # such as of a full disk, which is why it ended
                self._write()

    def _write(self) -> None:
        self._directory.folder.replace(PROVENANCE, [files.json_bytes(self._data, PROVENANCE)]).close()


def _ending(error: BaseException | None) -> dict[str, str]:
    """Returns the status of a session that an error ended, None if it came to its end; and the sentence of a failure."""
    if error is None:
        return {"status": "finished"}
    if isinstance(error, errors.Interrupted | KeyboardInterrupt | GeneratorExit):
        return {"status": "interrupted"}
    text = str(error) if isinstance(error, errors.AgentlabError) else errors.printable(f"{type(error).__name__}: {error}")
    return {"status": "failed", "error": text[: errors.LONGEST]}


def checked_tags(tags: Iterable[str]) -> list[str]:
    """Returns tags, each once.

    Raises:
        UsageError: one is empty, too long or not printable, or there are too many.
    """
    plain = list(dict.fromkeys([tags] if isinstance(tags, str) else tags))
    for tag in plain:
        if not isinstance(tag, str) or not tag.strip() or not tag.isprintable() or len(tag) > LONGEST_TAG:
            raise errors.UsageError(
                f"The tag {errors.quoted(tag)} can't be used; expected printable text of at most {LONGEST_TAG} characters."
            )
    if len(plain) > MOST_TAGS:
        raise errors.UsageError(f"There are {len(plain)} tags; expected at most {MOST_TAGS}.")
    return plain


@attrs.frozen
class Provenance:
    """What provenance.json says, as far as it can be read.

    Attributes:
        status: of the run: "running", "finished", "interrupted", "failed", or "killed" if its process ended without a word.
        error: the sentence of a failure; else empty.
        tags: of the run.
        sessions: the facts of each, the newest last.
    """

    status: Status
    error: str = ""
    tags: tuple[str, ...] = ()
    sessions: tuple[dict[str, Any], ...] = ()

    @classmethod
    def read(cls, directory: pathlib.Path) -> Provenance:
        """Returns the provenance of the run in a directory, which may be one of before there was such a file.

        Raises:
            UnreadableError: the directory can't be opened.
        """
        try:
            folder = Folder.open(directory)
        except OSError as error:
            raise UnreadableError(files.reason(directory, error)) from error
        data = _read(folder)
        sessions = tuple(_sessions(data))
        last = sessions[-1] if sessions else {}
        sentence = last.get("error")
        text = sentence if isinstance(sentence, str) else ""
        return cls(_status(folder, last), text, tuple(_tags(data)), sessions)


def _status(folder: Folder, session: dict[str, Any]) -> Status:
    """Returns the status of a run by its last session, which is empty for a run of before there was provenance.json."""
    for status in ENDED:
        if session.get("status") == status:
            return status
    if not session and folder.has(RESULT) and folder.has(CONFIG):
        return "finished"

    # A session that has not ended, and that holds the lock no more, was killed.
    return "running" if lock.is_held(folder) else "killed"


def _read(folder: Folder) -> dict[str, Any]:
    """Returns the content of provenance.json; empty if there is none that can be read."""
    with contextlib.suppress(UnreadableError):
        return folder.read_json(PROVENANCE)
    return {}


def _sessions(data: dict[str, Any]) -> list[dict[str, Any]]:
    sessions = data.get("sessions")
    return [session for session in sessions if isinstance(session, dict)] if isinstance(sessions, list) else []


def _tags(data: dict[str, Any]) -> list[str]:
    tags = data.get("tags")
    return [tag for tag in tags if isinstance(tag, str)][:MOST_TAGS] if isinstance(tags, list) else []


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
