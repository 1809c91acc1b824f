"""Environments given in a word or as an object: a part by its name, one of Gymnasium's by its id, a file, or an object."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable
from typing import Any

import attrs

from agentlab import errors
from agentlab.registry import environment_files, plugins
from agentlab.task import Part, Task

GYMNASIUM = "gymnasium"  # the part that makes environments of Gymnasium's
NAMESPACE = "agentlab-object/"  # of the ids under which Gymnasium knows objects

_numbers = itertools.count()


def with_environment(task: Task, environment: Part) -> Task:
    """Returns the task in another environment, to learn in and to be judged in."""
    return attrs.evolve(task, environment=environment, evaluation=attrs.evolve(task.evaluation, environment=None))


def changes_to(name: str) -> dict[str, Any]:
    """Returns the changes by which a task is in the environment of a name, see `named_part`, and judged there."""
    return {"environment": table_of(named_part(name)), "evaluation": {"environment": None}}


def table_of(part: Part) -> dict[str, Any]:
    """Returns a part as a table of changes."""
    return {"name": part.name, **part.settings}


def named_part(name: str) -> Part:
    """Returns the environment of a name: of an installed part, of a file, or of Gymnasium.

    Args:
        name: of a part, such as "cartpole"; an id of Gymnasium's, such as "Acrobot-v1" or "module:ID"; "FILE.py:NAME" of a
            class or function in a file, or "FILE.py" where it has one environment only.

    Raises:
        UsageError: there is none.
    """
    if environment_files.path_of(name):
        return Part(GYMNASIUM, {"id": environment_files.absolute(name)})
    if plugins.candidates("environment", name):
        return Part(name)
    # Whatever looks like an id is one: Gymnasium says what it lacks once its module is imported.
    if ":" not in name and not re.search(r"-v\d+$", name):
        import gymnasium

        if name not in gymnasium.registry:
            known = [*(offer.name for offer in plugins.offers("environment")), *gymnasium.registry]
            raise errors.UsageError(
                f"No environment named {name[: errors.LONGEST_NAME]!r}; expected the name of an installed one, a "
                "Gymnasium id such as Acrobot-v1 or module:ID, or a file such as my_env.py:MyEnv."
                f"{errors.suggestion(errors.closest(name, known))} 'agentlab list environment' shows those installed."
            )
    return Part(GYMNASIUM, {"id": name})


def part_of(environment: object) -> Part:
    """Returns the environment that is given as an object, as a part.

    Gymnasium's registry gets an entry for it, which lasts as long as the process.

    Args:
        environment: a `gymnasium.Env`, which is copied for every row and left as it is; or a class or function that makes one
            without arguments.

    Raises:
        UsageError: it is neither, or can't be copied.
    """
    import gymnasium

    factory = _factory(environment, gymnasium.Env)
    name = getattr(environment, "__name__", type(environment).__name__).strip("<>").replace(".", "-")
    identity = f"{NAMESPACE}{name}-{next(_numbers)}-v0"
    gymnasium.register(identity, entry_point=lambda **_: factory())
    return Part(GYMNASIUM, {"id": identity})


def display_name(id: str) -> str:
    """Returns the name of an environment for messages: its id, without the folder of a file, or the name of the object's class.

    >>> display_name("agentlab-object/Guess-0-v0"), display_name("CartPole-v1")
    ('Guess', 'CartPole-v1')
    """
    if not id.startswith(NAMESPACE):
        return environment_files.display_name(id)
    return id.removeprefix(NAMESPACE).rsplit("-", 2)[0]


def _factory(environment: object, kind: type) -> Callable[[], Any]:
    """Returns a function that makes a new environment at each call."""
    # An environment is copied for each row; a function is called for each.
    if isinstance(environment, kind):
        try:
            copy.deepcopy(environment)
        except Exception as error:  # the object is foreign code, which may raise anything
            raise errors.UsageError(
                f"The environment {environment} can't be copied: {errors.first_line(error)}. Pass a function that makes one."
            ) from error
        return lambda: copy.deepcopy(environment)
    if callable(environment):
        return environment
    raise errors.UsageError(
        f"The environment is {environment!r}; expected the name of one, a gymnasium.Env, or a class or function that makes one."
    )
