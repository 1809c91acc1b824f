"""Makes a Gymnasium vector environment and its spec from an id and arguments, or raises an error that says why not."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from agentlab import errors
from agentlab.foreign import guard
from agentlab.registry.environment_files import path_of, registered
from agentlab.registry.environment_objects import display_name
from agentlab.spec import EnvironmentSpec
from agentlab.system import tracebacks
from agentlab_envs.gymnasium import advice as advice
from agentlab_envs.gymnasium import leaves as leaves
from agentlab_envs.gymnasium import nests as nests

SUPPORTED = "Box, Discrete, MultiDiscrete or MultiBinary, or a Dict or Tuple of such"
MOST_SYMBOLS = 2**20  # of an observation that becomes one-hot
EXTRAS = ("box2d", "envpool", "mujoco")  # of agentlab, by the name that errors of environments that need them contain
TIME_LIMIT = "max_episode_steps"
OLD_LAYERS = ("GymV21Environment-v0", "GymV26Environment-v0")


def make_vector(
    id: str, arguments: dict[str, Any], vectorizer: Callable[[str, dict[str, Any]], VectorEnv], render_mode: str | None = None
) -> VectorEnv:
    """Returns `vectorizer(id, arguments)`, once what the id needs is imported.

    Args:
        id: Gymnasium's.
        arguments: for the constructor.
        vectorizer: raises whatever the environment does.
        render_mode: goes to the constructor too, unless it is None.

    Raises:
        UsageError: there is no such environment, a package is missing, the arguments are not what it takes, or it has no
            pictures.
    """
    inner_id, inner_arguments = _old_gym(id, arguments) if id.startswith("GymV") else (registered(id), arguments)
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    try:
        return vectorizer(inner_id, {**rendering, **inner_arguments})
    except BaseException as error:
        if guard.is_interrupt(error) or isinstance(error, (errors.UsageError, errors.RunWarning)):
            raise
        raise errors.UsageError(_not_made(id, arguments, error, render_mode)) from error


def _not_made(id: str, arguments: dict[str, Any], error: BaseException, render_mode: str | None) -> str:
    """Returns why an environment cannot be made, and what can be done."""
    name = display_name(id)
    if isinstance(error, gymnasium.error.UnregisteredEnv):
        return _unknown(id, name)
    if isinstance(error, (gymnasium.error.DependencyNotInstalled, ImportError)):
        return missing(id, error if isinstance(error, gymnasium.error.DependencyNotInstalled) else error.__cause__ or error)
    if render_mode is not None and _is_of_pictures(error):
        return f"{name} has no pictures to show: its constructor takes no render_mode {render_mode!r}."
    if isinstance(error, (gymnasium.error.Error, errors.EnvironmentFault)):
        return f"{name} cannot be made: {str(error).rstrip('.')}."
    clause = f" with the arguments {arguments}" if arguments else ""
    cause = error.__cause__ or error  # Gymnasium raises a longer one of the same type
    return f"{name} cannot be made{clause}: {tracebacks.describe_error(cause)}."


def _is_of_pictures(error: BaseException) -> bool:
    """Whether a constructor failed because it knows nothing of pictures."""
    text = f"{error} {error.__cause__ or ''}"
    return isinstance(error, TypeError) and ("render_mode" in text or "takes no arguments" in text)


def imported_modules(id: object, arguments: object) -> list[str]:
    """Returns the modules that are imported for an id such as "module:ID", and for the id of the old gym package in it or among
    the arguments; the file, for one such as "FILE.py:NAME"."""
    if file := path_of(id):
        return [file, *imported_modules(None, arguments)]
    texts = [id, *_texts(arguments)]
    return [text.partition(":")[0].rpartition("/")[2] for text in texts if isinstance(text, str) and ":" in text]


def _texts(value: object) -> list[str]:
    """Returns all texts in nested tables and lists."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [text for item in items for text in _texts(item)]


def missing(id: str, error: BaseException) -> str:
    """Returns the sentence for a package that the environment needs, with the extra that brings it."""
    sentence = f"{display_name(id)} needs a package that is not installed"
    extra = next((extra for extra in EXTRAS if extra in str(error).lower()), None)
    if extra is not None:
        return f"{sentence}: pip install 'agentlab[{extra}]'."
    return f"{sentence}: {str(error).rstrip('.')}."


def environment_spec(id: str, vector: VectorEnv, arguments: dict[str, Any]) -> EnvironmentSpec:
    """Returns what one environment of `vector`, made with these arguments, shows and accepts.

    Raises:
        UsageError: a space is of a kind that agentlab does not know.
    """
    # The time limit, as registered or as it was set for this one.
    limit = None
    if vector.spec is not None:
        limit = vector.spec.kwargs.get(TIME_LIMIT, vector.spec.max_episode_steps)
    observations, actions = vector.single_observation_space, vector.single_action_space
    _check_size(id, observations, "shows observations")
    _check_size(id, actions, "takes actions")
    _check_symbols(id, observations)

    # Spaces that agentlab doesn't know, with the wrapper that makes them known.
    if (stranger := _stranger(observations)) is not None:
        raise errors.UsageError(
            f"{display_name(id)} shows observations from a {_name(observations)} space, where agentlab takes {SUPPORTED}"
            f"{stranger}; {advice.on_observations(id, observations, arguments)}"
        )
    if (stranger := _stranger(actions)) is not None:
        raise errors.UsageError(
            f"{display_name(id)} takes actions from a {_name(actions)} space, where agentlab gives those of {SUPPORTED}"
            f"{stranger}; {advice.on_actions(id, arguments)}"
        )

    # It can be learned from, but by other models and with far more memory than the games' own tasks.
    if sentence := advice.on_screens(id, observations):
        advice.warn_once(sentence)

    # The same as agentlab's own spaces; Gymnasium writes -1 for no limit.
    observation = nests.map_leaves(lambda leaf: leaves.known(leaf).observed(leaf), observations)
    action = nests.map_leaves(lambda leaf: leaves.known(leaf).taken(leaf), actions)
    return EnvironmentSpec(display_name(id), observation, action, None if limit == -1 else limit)


def env_spec(id: str, arguments: dict[str, Any]) -> str:
    """Returns the JSON of the `EnvSpec` that makes an environment with these arguments; empty where JSON can't hold it."""
    try:
        spec = copy.deepcopy(gymnasium.spec(id))
    except gymnasium.error.Error:  # a file's, or of the old gym package
        return ""

    # The time limit isn't an argument of the environment's own constructor.
    own = {name: value for name, value in arguments.items() if name != TIME_LIMIT}
    spec.kwargs.update(own)
    spec.max_episode_steps = arguments.get(TIME_LIMIT, spec.max_episode_steps)
    try:
        return spec.to_json()
    except (TypeError, ValueError):  # a function stands for its class, or is an argument
        return ""


def _stranger(space: gymnasium.Space) -> str | None:
    """Returns the rest of a sentence about a space with a part that agentlab does not know; None if it knows all."""
    strangers = [(path, leaf) for path, leaf in nests.leaves_of(space).items() if leaves.kind_of(leaf) is None]
    if not strangers:
        return None
    path, leaf = strangers[0]
    return f", and {path!r} is a {_name(leaf)}" if path else ""


def _name(space: gymnasium.Space) -> str:
    return type(space).__name__


def _check_size(id: str, space: gymnasium.Space, what: str) -> None:
    spaces = nests.leaves_of(space)
    shapes = [leaf.shape for leaf in spaces.values() if leaves.kind_of(leaf) is not None and 0 in (leaf.shape or ())]
    if shapes or not spaces:
        which = f"of shape {shapes[0]}, which hold no number" if shapes else "without any part"
        raise errors.UsageError(f"{display_name(id)} {what} {which}; expected at least one. Fix the environment's space.")


def _check_symbols(id: str, space: gymnasium.Space) -> None:
    """Raises UsageError if observations are one of too many symbols for one-hot vectors to fit into memory."""
    for leaf in nests.leaves_of(space).values():
        if isinstance(leaf, gymnasium.spaces.Discrete) and leaf.n > MOST_SYMBOLS:
            raise errors.UsageError(
                f"{display_name(id)} shows one of {leaf.n:,} symbols, each a place in a one-hot vector; expected at most "
                f"{MOST_SYMBOLS:,}. Show them as numbers, in a Box."
            )


def _unknown(id: str, name: str) -> str:
    if name != id:
        return (
            f"The environment was given as an object ({name}), which lasted as long as the process that was given it. Register "
            f"one by the same name to continue: gymnasium.register({id!r}, {name})."
        )
    return f"No Gymnasium environment named {id!r}. {advice.on_unknown(id)}"


def _old_gym(id: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns Shimmy's id and arguments for an environment of the old gym package, written "LAYER/ID" or as Shimmy wants it.

    gym 0.26 is the only gym that installs beside NumPy 2, so the 0.21 `step` goes through the layer that gym 0.26 has for it:
    Shimmy's own sits above gym's time limit, which can no longer read what such a `step` returns.
    """
    layer, _, old_id = id.partition("/")
    arguments = dict(arguments)
    old_id = old_id or arguments.pop("env_id", "")

    # The layer and the packages that it needs.
    if layer not in OLD_LAYERS or not old_id:
        known = " or ".join(f"'{name}/ID'" for name in OLD_LAYERS)
        raise errors.UsageError(f"{id!r} names no environment of the old gym package; write {known}, ID being gym's.")
    if not all(importlib.util.find_spec(package) for package in ("shimmy", "gym")):
        raise errors.UsageError(f"{id} needs the old gym package and Shimmy: pip install 'agentlab[gym]'.")
    import shimmy  # noqa: F401 - registers the layers with Gymnasium

    # gym's own checker names a NumPy type that NumPy 2 has dropped; Gymnasium's checks the same outside.
    make_arguments = {"disable_env_checker": True, **arguments.pop("make_kwargs", {}), **arguments}
    if layer == "GymV21Environment-v0":
        make_arguments["apply_api_compatibility"] = True
    return "GymV26Environment-v0", {"env_id": old_id, "make_kwargs": make_arguments}
