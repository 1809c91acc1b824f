"""What the command line program does to its own process, and a library must not: streams, signals, how warnings are shown."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from agentlab import errors


def replace_closed_streams() -> None:
    """Opens what a service may have closed; the next file opened would get its number, and with it what native code prints."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, pathlib.Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good


@contextlib.contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; the run ends at the next chunk, and a second signal ends the program at once."""
    received: list[int] = []

    def handle(number: int, _frame: Any) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        with contextlib.suppress(OSError):  # nobody may be reading any more
            print("\nStopping at the end of this chunk; press Ctrl-C again to stop at once.", file=sys.stderr)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    except errors.AgentlabError as error:
        if received and error.exit_code == 130:
            error.exit_code = 128 + received[0]
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Shows what a run warns of as a sentence, without the line of code that others are shown with."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def plain(message: Any, category: Any, *where: Any, **more: Any) -> None:
            if issubclass(category, errors.RunWarning):
                with contextlib.suppress(OSError):
                    print(f"agentlab: warning: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
            else:
                show(message, category, *where, **more)

        warnings.simplefilter("always", errors.RunWarning)
        warnings.showwarning = plain
        yield
