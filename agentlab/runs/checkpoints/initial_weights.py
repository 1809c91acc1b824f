"""Initial weights from another run, for the networks that both have."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Mapping, Sequence

import keras

from agentlab import errors
from agentlab.loop.agent import MODEL, model_variables
from agentlab.runs.checkpoints import Checkpoints
from agentlab.runs.checkpoints.choice import check_agent, newest
from agentlab.runs.run_config import open_run, read_config
from agentlab.runs.run_directory import CHECKPOINTS
from agentlab.spec import EnvironmentSpec
from agentlab.system.arrays import ArrayFile
from agentlab.system.files import UnreadableError
from agentlab.system.ranges import FINITE, CheckedFile


class InitialWeights:
    """The weights of a run's newest complete checkpoint, for networks of another run.

    Its acting network is the first of the run, whatever its name; others are taken where both runs have one of the name.

    Args:
        path: of the run's directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)

    def assign(self, models: Mapping[str, Sequence[keras.Model]], spec: EnvironmentSpec) -> None:
        """Gives the models their weights.

        Args:
            models: built, by network; the first network acts.
            spec: of the environment they are for.

        Raises:
            UsageError: there is no such run, it has no checkpoint, or its networks have other weights.
        """
        folder = open_run(self.path)
        config = read_config(folder, self.path, trust=True)  # nothing is built of it
        if config.spec.vocabulary != spec.vocabulary:
            raise errors.UsageError(
                f"The run {str(self.path)!r} was trained with another vocabulary than {spec.name!r} has, so its weights "
                "stand for other symbols. Name a run of the same text with --init-from."
            )

        # Its newest checkpoint that is whole.
        checkpoint = newest(Checkpoints(self.path / CHECKPOINTS, folder), check_agent)
        if checkpoint is None:
            raise errors.UsageError(f"The run {str(self.path)!r} holds no checkpoint to begin with. Name another run.")

        # The acting network has to be there; others keep their initial weights if the run has none of that name.
        with contextlib.closing(checkpoint):
            file = checkpoint.file("agent")
            for index, (name, copies) in enumerate(models.items()):
                for copy, model in enumerate(copies):
                    prefix = MODEL if index == copy == 0 else f"trainer/trained/{name}/models/{copy:03d}/"
                    if index == 0 or file.likes(lambda entry, prefix=prefix: entry.startswith(prefix)):  # type: ignore[misc]
                        self._assign(file, prefix, model)

    def _assign(self, file: ArrayFile, prefix: str, model: keras.Model) -> None:
        variables = model_variables(model, prefix)
        try:
            file.check(variables, prefix=prefix)
            checked = CheckedFile(file, {name: FINITE for name, value in variables.items() if value.dtype.is_floating})
            for name, value in variables.items():
                value.assign(checked.read(name, value))
        except UnreadableError as error:
            raise errors.UsageError(
                f"Model {model.name!r} can't begin with the weights of the run {str(self.path)!r}: {error}. Give it the same "
                "settings and an environment of the same shapes, or leave out --init-from."
            ) from error
