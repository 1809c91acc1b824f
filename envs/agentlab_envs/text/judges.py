"""Reward functions of Python: found by name, called, and their answers checked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from agentlab import errors
from agentlab.checks import scalars
from agentlab.foreign import guard
from agentlab.system.tracebacks import describe_error

LARGEST = float(np.finfo(np.float32).max)
SHOWN = 40  # characters of a prompt or completion in a message


def named_function(name: str) -> Callable:
    """Returns the function "module:name".

    Raises:
        UsageError: there is no such module or function.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise errors.UsageError(f'The reward is {name!r}; expected a function, or the "module:name" of one.')

    def fault(error: BaseException) -> errors.UsageError:
        return errors.UsageError(
            f"The reward {name!r} can't be imported: {describe_error(error)}. Install its package, or mend it."
        )

    function = getattr(guard.ask(lambda: importlib.import_module(module), fault), attribute, None)
    if not callable(function):
        raise errors.UsageError(f"The reward {name!r} is no function of that module; it has none called {attribute!r}.")
    return function


def judge(
    function: Callable, prompts: list[str], completions: list[str], columns: dict[str, list[Any]], rows: np.ndarray
) -> np.ndarray:
    """Returns what a function says that completions are worth, `[N]` float32.

    Args:
        function: takes prompts and completions, and columns by name; returns a number for each.
        prompts: N of them.
        completions: N of them.
        columns: N values each.
        rows: of the environment, for messages.

    Raises:
        EnvironmentFault: the function raised, or returned something else.
    """

    def fault(error: BaseException) -> errors.EnvironmentFault:
        where = _described(prompts, completions, rows, 0)
        return errors.EnvironmentFault(
            f"The reward function {_name(function)} failed on {len(rows)} completions, the first of them {where}: it raised "
            f"{describe_error(error)}. Mend it and resume the run."
        )

    returned = guard.ask(lambda: function(list(prompts), list(completions), **columns), fault)
    values = returned.tolist() if hasattr(returned, "tolist") else returned
    if not isinstance(values, (list, tuple)) or len(values) != len(prompts):
        count = f"{len(values)} values" if isinstance(values, (list, tuple)) else errors.quoted(returned)
        raise errors.EnvironmentFault(
            f"The reward function {_name(function)} returned {count} for {len(prompts)} completions, the first of them "
            f"{_described(prompts, completions, rows, 0)}; expected a number for each. Mend it and resume the run."
        )
    for index, value in enumerate(values):
        if not _is_number(value):
            raise errors.EnvironmentFault(
                f"The reward function {_name(function)} returned {errors.quoted(value)} for "
                f"{_described(prompts, completions, rows, index)}; expected a finite number. Mend it and resume the run."
            )
    return np.array(values, np.float32)


def _is_number(value: object) -> bool:
    plain = scalars.plain(value)
    return isinstance(plain, (int, float)) and abs(plain) <= LARGEST  # which nan is not


def _described(prompts: list[str], completions: list[str], rows: np.ndarray, index: int) -> str:
    prompt, completion = (text if len(text) <= SHOWN else text[:SHOWN] + "..." for text in (prompts[index], completions[index]))
    return f"{completion!r} after the prompt {prompt!r} in row {rows[index]}"


def _name(function: Callable) -> str:
    return repr(getattr(function, "__name__", type(function).__name__))
