"""Lets one of the calls that change what is on disk go wrong."""

import os
import threading


class Saboteur:
    """Counts the calls that change what is on disk, and lets one of them go wrong.

    Args:
        which: call, from 0.
        error: None ends the process at that call, half of a write done; else it is raised.
        thread: the name of the one whose calls count; by default all do.
    """

    CALLS = ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir")

    def __init__(self, which, error=None, thread=""):
        self.which, self.error, self.thread, self.count = which, error, thread, 0

    def due(self):
        if self.thread not in ("", threading.current_thread().name):
            return False
        self.count += 1
        if self.count - 1 != self.which:
            return False
        if self.error is not None:
            raise self.error
        return True

    def install(self, monkeypatch):
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))
        opened, fdopen = os.open, os.fdopen

        def sabotaged_open(path, flags, *more, **named):
            if flags & os.O_CREAT and self.due():
                os._exit(9)
            return opened(path, flags, *more, **named)

        def sabotaged_fdopen(descriptor, mode="r", *more, **named):
            file = fdopen(descriptor, mode, *more, **named)
            return Writer(file, self) if "w" in mode else file

        monkeypatch.setattr(os, "open", sabotaged_open)
        monkeypatch.setattr(os, "fdopen", sabotaged_fdopen)

    def wrapped(self, call):
        def wrapper(*arguments, **named):
            if self.due():
                os._exit(9)
            return call(*arguments, **named)

        return wrapper


class Writer:
    """An open file whose writes are counted too."""

    def __init__(self, file, saboteur):
        self.file, self.saboteur = file, saboteur

    def write(self, data):
        if self.saboteur.due():
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            os._exit(9)
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()
