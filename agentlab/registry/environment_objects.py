"""Environment objects instead of names: they are registered with Gymnasium, so that they run like any other environment."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import attrs

from agentlab import errors
from agentlab.task import Part, Task

NAMESPACE = "agentlab-object/"  # of the ids under which Gymnasium knows objects

_numbers = itertools.count()


def with_environment(task: Task, environment: object) -> Task:
    """Returns the task in a Gymnasium environment that is given as an object, to learn in and to be judged in.

    Gymnasium's registry gets an entry for it, which lasts as long as the process.

    Args:
        task: to be changed.
        environment: a `gymnasium.Env`, which is copied for every row and left as it is; or a function without arguments
            that makes one.

    Raises:
        UsageError: it is neither, or can't be copied.
    """
    import gymnasium

    factory = _factory(environment, gymnasium.Env)
    name = getattr(environment, "__name__", type(environment).__name__).strip("<>").replace(".", "-")
    identity = f"{NAMESPACE}{name}-{next(_numbers)}-v0"
    gymnasium.register(identity, entry_point=lambda **_: factory())
    evaluation = attrs.evolve(task.evaluation, environment=None)
    return attrs.evolve(task, environment=Part("gymnasium", {"id": identity}), evaluation=evaluation)


def display_name(id: str) -> str:
    """Returns the name of an environment for messages: its id, or the name of the object's class.

    >>> display_name("agentlab-object/Guess-0-v0"), display_name("CartPole-v1")
    ('Guess', 'CartPole-v1')
    """
    return id.removeprefix(NAMESPACE).rsplit("-", 2)[0] if id.startswith(NAMESPACE) else id


def _factory(environment: object, kind: type) -> Callable[[], Any]:
    """Returns a function that makes a new environment at each call."""
    # An environment is copied for each row; a function is called for each.
    if isinstance(environment, kind):
        try:
            copy.deepcopy(environment)
        except Exception as error:  # the object is foreign code, which may raise anything
            raise errors.UsageError(
                f"The environment {environment} can't be copied: {errors.first_line(error)}. Give a function that makes one."
            ) from error
        return lambda: copy.deepcopy(environment)
    if callable(environment):
        return environment
    raise errors.UsageError(
        f"The environment is {environment!r}; expected a gymnasium.Env, or a function that makes one. Parts of agentlab's own "
        "kinds are named in the task."
    )
