"""From an id and arguments to a Gymnasium vector environment and its spec, or to the one sentence that says why not."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from agentlab import errors
from agentlab.spec import Array, Discrete, EnvironmentSpec

OLD_LAYERS = ("GymV21Environment-v0", "GymV26Environment-v0")


def make_vector(id: str, arguments: dict[str, Any], vectorizer: Callable[[str, dict[str, Any]], VectorEnv]) -> VectorEnv:
    """Returns `vectorizer(id, arguments)`, once what the id needs is imported.

    Raises:
        UsageError: there is no such environment, a package is missing, or the arguments are not what it takes.
    """
    inner_id, inner_arguments = _old_gym(id, arguments) if id.startswith("GymV") else (id, arguments)
    try:
        return vectorizer(inner_id, inner_arguments)
    except gymnasium.error.UnregisteredEnv as error:
        raise errors.UsageError(_unknown(id)) from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise errors.UsageError(missing(id, error)) from error
    except ImportError as error:
        raise errors.UsageError(missing(id, error.__cause__ or error)) from error
    except gymnasium.error.Error as error:
        raise errors.UsageError(f"{id} cannot be made: {error}") from error
    except Exception as error:
        given = f" with the arguments {arguments}" if arguments else ""
        cause = error.__cause__ or error  # Gymnasium raises a longer one of the same type
        raise errors.UsageError(f"{id} cannot be made{given}: {type(cause).__name__}: {cause}") from error


def missing(id: str, error: BaseException) -> str:
    """Returns the sentence for a package that the environment needs."""
    return f"{id} needs a package that is not installed: {str(error).rstrip('.')}."


def environment_spec(id: str, vector: VectorEnv) -> EnvironmentSpec:
    """Returns what one environment of `vector` shows and accepts.

    Raises:
        UsageError: a space is of a kind that agentlab does not know.
    """
    limit = None
    if vector.spec is not None:
        limit = vector.spec.kwargs.get("max_episode_steps", vector.spec.max_episode_steps)
    observation = _observation_spec(id, vector.single_observation_space)
    action = _action_spec(id, vector.single_action_space)
    return EnvironmentSpec(id, observation, action, None if limit == -1 else limit)


def _observation_spec(id: str, space: gymnasium.Space) -> Array:
    if isinstance(space, gymnasium.spaces.Discrete):
        return Array((int(space.n),), minimum=0.0, maximum=1.0)
    if isinstance(space, gymnasium.spaces.Box):
        return _box(space)
    raise errors.UsageError(
        f"{id} shows observations from a {type(space).__name__} space, where agentlab takes Box or Discrete; "
        "register it with gymnasium.wrappers.FlattenObservation among its additional_wrappers."
    )


def _action_spec(id: str, space: gymnasium.Space) -> Array | Discrete:
    if isinstance(space, gymnasium.spaces.Discrete):
        return Discrete(int(space.n), str(space.dtype))
    if isinstance(space, gymnasium.spaces.Box):
        return _box(space)
    raise errors.UsageError(
        f"{id} takes actions from a {type(space).__name__} space, where agentlab gives Discrete or Box ones; "
        "register it with a gymnasium.ActionWrapper among its additional_wrappers."
    )


def _box(space: gymnasium.spaces.Box) -> Array:
    return Array(space.shape, str(space.dtype), float(space.low.min()), float(space.high.max()))


def _unknown(id: str) -> str:
    near = difflib.get_close_matches(id.rpartition(":")[2], list(gymnasium.registry), 1)
    hint = (
        f"Did you mean {near[0]!r}?"
        if near
        else "gymnasium.pprint_registry() prints those there are; one that exists only once a module is imported "
        "is written 'module:ID', such as 'ale_py:ALE/Pong-v5'."
    )
    return f"No Gymnasium environment named {id!r}. {hint}"


def _old_gym(id: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns Shimmy's id and arguments for an environment of the old gym package, written "LAYER/ID" or as Shimmy wants it.

    gym 0.26 is the only gym that installs beside NumPy 2, so the 0.21 `step` goes through the layer that gym 0.26 has for it:
    Shimmy's own sits above gym's time limit, which can no longer read what such a `step` returns.
    """
    layer, _, old_id = id.partition("/")
    arguments = dict(arguments)
    old_id = old_id or arguments.pop("env_id", "")
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
