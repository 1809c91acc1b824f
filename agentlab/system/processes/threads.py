"""Starting threads, even as the program is about to end."""

from __future__ import annotations

import threading


def start(thread: threading.Thread) -> bool:
    """Starts a thread; returns False where the interpreter is ending and takes none any more, as Python 3.12 does at once."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True
