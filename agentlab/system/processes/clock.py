"""The time a run takes, summed over the processes it runs in."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator, Mapping

PHASES = ("import", "build", "compile", "train", "evaluate")
_PROGRAM: contextvars.ContextVar[float | None] = contextvars.ContextVar("program", default=None)  # when it began


@contextlib.contextmanager
def of_program(age: float) -> Iterator[None]:
    """Counts a program that began `age` seconds ago, starting Python and importing TensorFlow, to the run that it makes."""
    token = _PROGRAM.set(time.monotonic() - age)
    try:
        yield
    finally:
        _PROGRAM.reset(token)


class Clock:
    """Counts the seconds of a run by phase, from its creation or from the start of the program.

    It is one that nobody can set, so that a jump of the system's time leaves no trace.

    Args:
        notify: called with each phase as it begins, and with "" as it ends.
    """

    def __init__(self, notify: Callable[[str], None] = lambda _: None) -> None:
        self._notify = notify
        now, program = time.monotonic(), _PROGRAM.get()
        self._begun = now if program is None else program
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._seconds["import"] = now - self._begun

    def __getitem__(self, phase: str) -> float:
        return self._seconds[phase]

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the block's time to a phase."""
        begun = time.monotonic()
        self._notify(name)
        try:
            yield
        finally:
            self._seconds[name] += time.monotonic() - begun
            self._notify("")

    def total(self) -> float:
        """Returns the seconds of the run so far, whatever they were spent on."""
        return time.monotonic() - self._begun

    def add(self, earlier: Mapping[str, float]) -> None:
        """Adds what `as_data` returned in the process whose checkpoint the run resumes from."""
        for name in PHASES:
            self._seconds[name] += earlier.get(name, 0.0)
        self._begun -= earlier.get("total", 0.0)

    def as_data(self) -> dict[str, float]:
        """Returns the seconds by phase, and their `total`, which other things take a part of too."""
        return {name: round(value, 3) for name, value in {**self._seconds, "total": self.total()}.items()}
