"""Shows the line that is being checked, and for how many seconds, on a terminal."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator

PERIOD = 0.5  # seconds from one change of the text to the next
ERASE = "\r\033[K"


@contextlib.contextmanager
def show_status(text: str) -> Iterator[None]:
    """Shows on standard error, as long as the block runs, what is under way; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield
        return

    # A thread, because the check itself may be inside native code for seconds.
    ended = threading.Event()
    thread = threading.Thread(target=_show, args=(text, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(text: str, ended: threading.Event) -> None:
    begin = time.monotonic()
    while not ended.wait(PERIOD):
        seconds = f" {time.monotonic() - begin:.0f} s"
        width = shutil.get_terminal_size().columns - len(seconds) - 1
        sys.stderr.write(f"{ERASE}{text[: max(width, 0)]}{seconds}")
        sys.stderr.flush()
    sys.stderr.write(ERASE)
    sys.stderr.flush()
