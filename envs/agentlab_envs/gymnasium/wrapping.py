"""Gymnasium's wrappers by name, with settings that a file can hold: numbers, texts, true, false and lists of these."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import gymnasium
import numpy as np

from agentlab import errors
from agentlab.foreign import guard
from agentlab.registry.environment_objects import display_name
from agentlab.system import tracebacks

MOST_WRAPPERS = 100
LONGEST_LIST = 1_000
MOST = {  # what takes memory or time
    "bins": 10_000,
    "buffer_length": 100_000,
    "delay": 10_000,
    "frame_skip": 1_000,
    "noop_max": 10_000,
    "num_repeats": 1_000,
    "obstruction_width": 10_000,
    "repeat_action_duration": 1_000_000,
    "screen_size": 1_024,
    "shape": 4_096,
    "skip": 1_000,
    "stack_size": 1_000,
}
DTYPES = ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

# A config that somebody else wrote may choose among these, so each is named, and a new one is looked at first.
ALLOWED = (
    "AddRenderObservation",
    "AddWhiteNoise",
    "AtariPreprocessing",
    "ClipAction",
    "ClipReward",
    "DelayObservation",
    "DiscretizeAction",
    "DiscretizeObservation",
    "DtypeObservation",
    "FilterObservation",
    "FlattenObservation",
    "FrameStackObservation",
    "GrayscaleObservation",
    "MaxAndSkipObservation",
    "NormalizeObservation",
    "NormalizeReward",
    "ObstructView",
    "OrderEnforcing",
    "PassiveEnvChecker",
    "RecordEpisodeStatistics",
    "RepeatAction",
    "RescaleAction",
    "RescaleObservation",
    "ReshapeObservation",
    "ResizeObservation",
    "StickyAction",
    "TimeAwareObservation",
    "TimeLimit",
)
FUNCTION = "it calls a function, which settings can't hold; wrap the environment in Python: environment=lambda: ..."
ARRAYS = "agentlab's environments show NumPy arrays"
REFUSED = {
    "ArrayConversion": ARRAYS,
    "Autoreset": "agentlab resets environments itself; set environment.autoreset",
    "HumanRendering": "it opens a window; set environment.render_mode to 'human'",
    "JaxToNumpy": ARRAYS,
    "JaxToTorch": ARRAYS,
    "NumpyToTorch": ARRAYS,
    "RecordVideo": "it writes files; 'agentlab play RUN --video FILE.gif' records episodes",
    "RenderCollection": "it keeps every picture in memory; 'agentlab play RUN --video FILE.gif' records episodes",
    "TransformAction": FUNCTION,
    "TransformObservation": FUNCTION,
    "TransformReward": FUNCTION,
}
Plain = bool | int | float | str | None


@attrs.frozen
class Wrapping:
    """Wrappers to be put around an environment, the first innermost. It can cross to a worker process.

    Attributes:
        tables: of each wrapper, its `name` and its arguments, checked.
    """

    tables: tuple[dict[str, Any], ...] = ()

    def around(self, env: gymnasium.Env) -> gymnasium.Env:
        """Returns the environment wrapped.

        Raises:
            UsageError: a wrapper doesn't suit it; the environment is closed.
        """
        for table in self.tables:
            arguments = {name: value for name, value in table.items() if name != "name"}
            try:
                env = getattr(gymnasium.wrappers, table["name"])(env, **arguments)
            except gymnasium.error.DependencyNotInstalled:
                raise
            except BaseException as error:  # of whatever kind: a wrapper is other people's code
                guard.close(str(env), env.close, guard.BRIEF_SECONDS)
                if guard.is_interrupt(error):
                    raise
                name = display_name(env.spec.id) if env.spec is not None else str(env)
                reason = f"{table['name']} can't wrap {name}: {tracebacks.summarize_error(error)}"
                raise errors.UsageError(f"{reason}. Change its arguments, or leave it out.") from error
        return env


def checked(tables: tuple[dict[str, Any], ...]) -> Wrapping:
    """Returns wrappers from a setting.

    Args:
        tables: of each wrapper, its `name` in gymnasium.wrappers and its arguments.

    Raises:
        UsageError: a wrapper doesn't exist or can't be a setting, or an argument is unknown, too large or not a plain value.
    """
    if len(tables) > MOST_WRAPPERS:
        raise errors.UsageError(f"environment.wrappers has {len(tables):,} elements; expected at most {MOST_WRAPPERS}.")
    return Wrapping(tuple(map(_checked, tables)))


def _checked(table: dict[str, Any]) -> dict[str, Any]:
    name = table.get("name")
    if not isinstance(name, str):
        raise errors.UsageError(
            f"An element of environment.wrappers is {errors.quoted(table)}; expected a table with the name of a wrapper, such "
            'as {name="TimeLimit", max_episode_steps=200}.'
        )
    if name in REFUSED:
        raise errors.UsageError(f"Wrapper {name!r} can't be a setting: {REFUSED[name]}.")
    if name not in ALLOWED:
        raise errors.UsageError(errors.unknown("wrapper", name, ALLOWED) + " They are those of gymnasium.wrappers.")
    return {"name": name, **_arguments(name, {key: value for key, value in table.items() if key != "name"})}


def _arguments(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a wrapper as its constructor takes them."""
    _, _, *parameters = inspect.signature(getattr(gymnasium.wrappers, name).__init__).parameters.values()
    known = {parameter.name: parameter for parameter in parameters}

    # Every argument is one of the constructor's, within limits.
    for argument, value in arguments.items():
        if argument not in known:
            raise errors.UsageError(_unknown(name, argument, known))
        _check(f"{argument!r} of wrapper {name!r}", value, MOST.get(argument))
        if argument == "dtype" and value not in DTYPES:
            raise errors.UsageError(errors.unknown("dtype", str(value), DTYPES))

    # Arguments without a default have to be given.
    if missing := [key for key, parameter in known.items() if parameter.default is parameter.empty and key not in arguments]:
        raise errors.UsageError(f"Wrapper {name!r} needs {', '.join(map(repr, missing))}; add it to its table.")
    return {argument: _converted(value, str(known[argument].annotation)) for argument, value in arguments.items()}


def _unknown(name: str, argument: str, known: Mapping[str, Any]) -> str:
    if not known:
        return f"Wrapper {name!r} takes no arguments, but has {argument!r}; leave it out."
    return errors.unknown("argument", argument, known, f"Arguments of wrapper {name!r}")


def _check(where: str, value: Any, most: int | None) -> None:
    """Raises UsageError for a value that is not plain, or has a number larger than `most`."""
    if isinstance(value, (list, tuple)) and len(value) <= LONGEST_LIST:
        for item in value:
            _check(where, item, most)
    elif not isinstance(value, Plain):
        raise errors.UsageError(
            f"Argument {where} is {errors.quoted(value)}; expected a number, a text, true, false, or a list of at most "
            f"{LONGEST_LIST:,} of these."
        )
    elif most is not None and isinstance(value, (int, float)) and not value <= most:
        raise errors.UsageError(f"Argument {where} is {value}; expected at most {most:,}.")


def _converted(value: Any, annotation: str) -> Any:
    """Returns a list as an array where a wrapper takes one, else as a tuple; a number as NumPy's where it takes one."""
    if isinstance(value, (list, tuple)):
        many = "ndarray" in annotation
        return np.array(value, np.float32) if many else tuple(_converted(item, annotation) for item in value)
    return np.float32(value) if "np.floating" in annotation else value


def maker(make: Callable[[], gymnasium.Env], wrapping: Wrapping) -> Callable[[], gymnasium.Env]:
    """Returns what makes an environment and wraps it."""
    return lambda: wrapping.around(make())
