"""Guard: all calls of other people's environments. Whatever an environment raises is reported as its fault."""

from __future__ import annotations

import contextlib
import dis
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import numpy as np

from agentlab import errors
from agentlab.environment import Environment
from agentlab.spec import EnvironmentSpec
from agentlab.system.processes import patience
from agentlab.system.processes.watchdog import Watch
from agentlab.system.ranges import Range
from agentlab.system.tracebacks import describe_error
from agentlab.types import TimeStep

CLOSE_SECONDS = 5.0  # that what an environment holds may take to close
BRIEF_SECONDS = 1.0  # the same of one that was only asked for its spaces, or tried out
SLOWEST_CLOSE = 2 * CLOSE_SECONDS  # of an environment that has such a limit itself, for what it holds

T = TypeVar("T")


def is_interrupt(error: BaseException) -> bool:
    """Returns whether an exception only passed through foreign code: Ctrl-C, or a time limit.

    Ctrl-C raises KeyboardInterrupt between two instructions, wherever the program is; one that a `raise` statement raised was
    the code's own idea.
    """
    if isinstance(error, patience.Overdue):
        return True
    if type(error) is not KeyboardInterrupt or error.__traceback__ is None:
        return False

    # A signal interrupts between two instructions; code that raises KeyboardInterrupt itself is at a `raise`.
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] != dis.opmap["RAISE_VARARGS"]


def ask(function: Callable[[], T], fault: Callable[[BaseException], Exception]) -> T:
    """Calls foreign code and returns its result; `fault` converts an exception of it to the error to raise.

    Errors and warnings of agentlab's own, which already say what is wrong, and Ctrl-C go through.
    """
    try:
        return function()
    except (errors.AgentlabError, errors.RunWarning):
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise fault(error) from error


def close(name: str, function: Callable[[], object], seconds: float = CLOSE_SECONDS) -> None:
    """Closes something of an environment's; if that fails or takes too long, this is a warning, for the run is done with it."""
    # The run is done with it, so nothing here ends the run.
    try:
        ended = patience.within(seconds, function)
        reason = "" if ended else f"it has not ended within {seconds:g} seconds and was left as it is"
    except BaseException as error:
        if is_interrupt(error):
            raise
        reason = str(error).rstrip(".") if isinstance(error, errors.AgentlabError) else f"it raised {describe_error(error)}"
    if reason:
        warnings.warn(
            f"Closing the environment {name} failed: {reason}. No data of a run is lost.",
            errors.RunWarning,
            stacklevel=2,
        )


class Guarded(Environment):
    """Another author's environment: what it raises, `SystemExit` included, is an EnvironmentFault; closing it can't fail.

    While entered, it is watched: a call that takes long causes a warning.

    Args:
        environment: to be called through this.
    """

    def __init__(self, environment: Environment) -> None:
        self._inner = environment
        self._name = type(environment).__name__
        self._begun = 0  # turns when the environment was reset
        self._closed = False

        # From here on the environment is asked, and so may raise anything.
        self._spec: EnvironmentSpec = self._ask("spec", lambda: environment.spec)
        self._name = self._spec.name
        self.num_environments = self._ask("num_environments", lambda: environment.num_environments)
        self._watch = Watch(self._name)
        self._watch.call = ""
        self._watching = self._watch if environment.watched else contextlib.nullcontext()
        self._step = environment.step

    @property
    def spec(self) -> EnvironmentSpec:
        return self._spec

    def reset(self, seed: int) -> TimeStep:
        try:
            return self._call("reset", self._inner.reset, seed)
        finally:
            self._begun = self._watch.turns

    @property
    def is_asynchronous(self) -> bool:
        return self._ask("is_asynchronous", lambda: self._inner.is_asynchronous)

    def step(self, action: np.ndarray) -> TimeStep:
        return self._at_step(1, self._step, action)

    def send(self, action: np.ndarray) -> None:
        self._at_step(0, self._inner.send, action)

    def receive(self) -> TimeStep:
        return self._at_step(1, self._inner.receive)

    def _at_step(self, turns: int, function: Callable[..., T], *arguments: np.ndarray) -> T:
        """Calls what takes a step or a part of one, watched and guarded; returns its result. So many turns end with it."""
        watch = self._watch
        watch.call = "vector step"
        try:
            return function(*arguments)
        except (errors.AgentlabError, errors.RunWarning):
            raise
        except BaseException as error:  # as `ask`, written out: this is called at every step
            if is_interrupt(error):
                raise
            raise self._fault("step", f"it raised {describe_error(error)}") from error
        finally:
            watch.call = ""
            watch.turns += turns

    def inexact(self) -> str:
        return self._call("inexact", self._inner.inexact)

    def state(self) -> dict[str, np.ndarray]:
        return self._call("state", self._inner.state)

    def ranges(self) -> dict[str, Range]:
        return self._call("ranges", self._inner.ranges)

    def restore(self, state: dict[str, np.ndarray]) -> np.ndarray:
        return self._call("restore", self._inner.restore, state)

    @property
    def unguarded(self) -> Environment:
        return self._inner

    def change(self, name: str, value: float) -> None:
        self._call("change", self._inner.change, name, value)

    def env_spec(self) -> str:
        return self._call("env_spec", self._inner.env_spec)

    def render(self) -> np.ndarray | None:
        return self._call("render", self._inner.render)

    def close(self) -> None:
        """Closes it, once, however often this is called; what goes wrong there is warned of."""
        if not self._closed:
            self._closed = True
            self._call("close", close, self._name, self._inner.close, SLOWEST_CLOSE)

    def __enter__(self) -> Guarded:
        self._watching.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._watching.__exit__(kind, error, trace)

    def _call(self, name: str, function: Callable[..., T], *arguments: object) -> T:
        """Calls a method, watched and guarded, and returns its result."""
        with self:
            self._watch.call = name
            try:
                return self._ask(name, lambda: function(*arguments))
            finally:
                self._watch.call = ""

    def _ask(self, name: str, function: Callable[[], T]) -> T:
        return ask(function, lambda error: self._fault(name, f"it raised {describe_error(error)}"))

    def _fault(self, name: str, what: str) -> errors.EnvironmentFault:
        when = f"vector step {self._watch.turns - self._begun + 1}" if name == "step" else name
        return errors.failed_call(self._name, when, what)


def guarded(environment: Environment) -> Guarded:
    """Returns an environment behind the guard, if it isn't yet."""
    return environment if isinstance(environment, Guarded) else Guarded(environment)
