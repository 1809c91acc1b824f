"""The run that a trainer is built for."""

from __future__ import annotations

import attrs
import keras

from agentlab.spec import EnvironmentSpec


@attrs.frozen(eq=False)
class Setup:
    """The run that a trainer is part of.

    Attributes:
        spec: of the environments.
        models: built Keras models by the network's name, `count` for each network. They take observations without the action
            mask, as `spec.see` returns them, and normalise them themselves where the task asks for that.
        num_environments: B.
        seed: for the trainer's own random streams, see `agentlab.seeds`.
        steps: the budget in environment steps; None if there is none, as in a loop of your own.
    """

    spec: EnvironmentSpec
    models: dict[str, list[keras.Model]]
    num_environments: int = 1
    seed: int = 0
    steps: int | None = None
