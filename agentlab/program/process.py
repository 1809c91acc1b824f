"""Process-wide settings of the command line program, which a library must not touch: streams, signals, display of warnings."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator

from agentlab import errors
from agentlab.system import console, terminal
from agentlab.system.processes import patience, supervision, threads

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

ENDING_SECONDS = 5.0  # that Python may take to end once a command has


def prepare_streams() -> None:
    """Opens the standard streams that a service has closed, and has all of them take any text.

    The next file opened would otherwise get a closed one's number, and with it what native code prints.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, pathlib.Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good
        elif mode == "w" and getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # such as a file's name, where the locale is not UTF-8


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """Has what can't be written to standard output raise an OutputFault, for commands whose output is all there is of them."""
    stream = sys.stdout
    with console.blocking(stream):
        sys.stdout = console.Checked(stream)
        try:
            yield
            with contextlib.suppress(BrokenPipeError):  # the reader has left
                sys.stdout.flush()
        finally:
            sys.stdout = stream


def end_streams() -> None:
    """Writes out what the standard streams hold, or drops it where nobody takes it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            console.give_up(stream)


def limit_ending(code: int) -> None:
    """Sees to it that this program ends, with an exit code, once its main thread has: whatever is left running.

    Python waits for threads and processes that other people's code has left running; all that a command
    writes is written by then.
    """
    watching = threading.Thread(target=_end, args=(code, ENDING_SECONDS), name="ending", daemon=True)  # ends with Python itself
    threads.start(watching)


def _end(code: int, seconds: float) -> None:
    threading.main_thread().join()  # which Python ends first as it shuts down

    # Threads that still run get a few seconds; then the program says who they are and ends.
    waiting = patience.Patience(seconds)
    while wait := waiting.next_wait():
        time.sleep(wait)
    left = [repr(thread.name) for thread in threading.enumerate() if not thread.daemon and thread.is_alive()]
    what = f"the threads {', '.join(left)}" if left else "what an environment or plugin has left running"
    console.print_line(
        f"agentlab: warning: Python does not end for {what}, {seconds:g} seconds after all was written; the program was ended.",
        sys.stderr,
    )
    end_streams()
    os._exit(code)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Collects SIGINT, SIGTERM and SIGHUP; the run ends at the next slice, and a second signal ends the program at once.

    A hangup that is ignored, as after `nohup`, stays so.
    """
    if threading.current_thread() is not threading.main_thread():  # to which alone Python gives signals
        yield []
        return
    with _Listener() as listener:
        # The exit code says which signal it was.
        try:
            yield listener.received
        except errors.AgentlabError as error:
            if listener.received and error.exit_code == 130:
                error.exit_code = 128 + listener.received[0]
            raise


def asked(received: list[int]) -> Callable[[], bool]:
    """Returns a function that says whether a signal was received; calling it is a sign of life of this program."""

    def is_asked() -> bool:
        supervision.give_sign_of_life()
        return bool(received)

    return is_asked


class _Listener:
    """Receives signals on a thread of its own, because the main thread may be compiling for minutes.

    Attributes:
        received: the numbers of those that came.
    """

    current: _Listener | None = None

    def __init__(self) -> None:
        self.received: list[int] = []

    def __enter__(self) -> _Listener:
        # Python runs handlers between two steps of the main thread, which native code can hold up; a thread hears at once.
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        heard = [number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, _leave_to_the_listener) for number in heard}
        self._descriptor = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        _Listener.current = self
        threads.start(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._writing.shutdown(socket.SHUT_RDWR)  # which ends the thread, also where a child process has the socket too
        self._thread.join()
        for end in (self._reading, self._writing):
            end.close()

    def let_go(self) -> None:
        """Has signals do what they did before; in a child process too, whose signals are not the program's."""
        _Listener.current = None
        signal.set_wakeup_fd(self._descriptor)
        for number, handler in self._handlers.items():
            if handler is not None:  # not one of Python's
                signal.signal(number, handler)

    def _listen(self) -> None:
        while numbers := self._reading.recv(64):
            for number in numbers:
                if number in self._handlers:
                    self._hear(number)

    def _hear(self, number: int) -> None:
        # The second signal ends the program without a checkpoint.
        if self.received:
            os._exit(128 + number)
        self.received.append(number)
        again = "Pressing Ctrl-C again" if number == signal.SIGINT else "A second signal"
        console.print_line(
            f"\nagentlab: Got {signal.Signals(number).name}; stopping with a checkpoint once the present step has ended, "
            f"which takes longer while functions are being compiled. {again} ends the program at once, without one.",
            sys.stderr,
        )


def _leave_to_the_listener(_number: int, _frame: types.FrameType | None) -> None:
    """Does nothing: a handler of Python's runs in the main thread, and not before that is back from native code."""


def _let_go_in_child() -> None:
    if _Listener.current is not None:
        _Listener.current.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Shows what a run warns of as a sentence, without the line of code that others are shown with."""
    with warnings.catch_warnings():
        show: Callable[..., None] = warnings.showwarning

        def plain(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
            if issubclass(category, errors.RunWarning):
                sentence = f"agentlab: warning: {' '.join(str(message).split())}"
                console.print_line(terminal.wrapped(sentence, stream=sys.stderr), sys.stderr)
            else:
                with contextlib.suppress(OSError, ValueError):
                    show(message, category, *where, **more)

        # Every warning of a run is shown, the same one too.
        warnings.simplefilter("always", errors.RunWarning)
        warnings.showwarning = plain
        yield
