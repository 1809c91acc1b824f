"""Initial weights from another run, for the networks that both have."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from agentlab import errors
from agentlab.loop.agent import MODEL, Agent, model_variables
from agentlab.runs.checkpoints import Checkpoint, Checkpoints
from agentlab.runs.checkpoints.choice import check_agent, newest
from agentlab.runs.files.run_config import open_run, read_config
from agentlab.runs.files.run_directory import CHECKPOINTS
from agentlab.spec import EnvironmentSpec
from agentlab.system.arrays import ArrayFile
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder
from agentlab.system.ranges import FINITE, CheckedFile, Range

STATISTICS = "normalizer/"  # begins the names of the variables that an agent normalises by
OBSERVATIONS = f"{STATISTICS}observations"
RETURNS = f"{STATISTICS}rewards/returns"  # of the episodes that were under way


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
        checkpoint = self._checkpoint(folder)

        # The acting network has to be there; others keep their initial weights if the run has none of that name.
        with contextlib.closing(checkpoint):
            file = checkpoint.file("agent")
            for index, (name, copies) in enumerate(models.items()):
                for copy, model in enumerate(copies):
                    prefix = MODEL if index == copy == 0 else f"trainer/trained/{name}/models/{copy:03d}/"
                    if index == 0 or file.likes(lambda entry, prefix=prefix: entry.startswith(prefix)):  # type: ignore[misc]
                        self._assign(file, prefix, model)

    def _checkpoint(self, folder: Folder) -> Checkpoint:
        """Returns the run's newest whole checkpoint; raises UsageError if there is none."""
        checkpoint = newest(Checkpoints(self.path / CHECKPOINTS, folder), check_agent)
        if checkpoint is None:
            raise errors.UsageError(f"The run {str(self.path)!r} holds no checkpoint to begin with. Name another run.")
        return checkpoint

    def assign_statistics(self, agent: Agent) -> None:
        """Gives an agent the statistics that the other run normalised by, as far as both have some.

        Raises:
            UsageError: networks saw normalised observations in one of the two runs only, or other ones.
        """
        variables = {name: variable for name, variable in agent.variables().items() if name.startswith(STATISTICS)}
        checkpoint = self._checkpoint(open_run(self.path))
        with contextlib.closing(checkpoint):
            file = checkpoint.file("agent")
            theirs = file.likes(lambda name: name.startswith(STATISTICS))
            seen, seen_there = (any(name.startswith(OBSERVATIONS) for name in names) for names in (variables, theirs))
            if seen != seen_there:
                raise errors.UsageError(
                    f"The networks of the run {str(self.path)!r} saw observations "
                    f"{'normalised' if seen_there else 'as they are'}, so their weights are for such. Set "
                    f"normalization.observations={str(seen_there).lower()}, or leave out --init-from."
                )
            shared = {name: variable for name, variable in variables.items() if name in theirs and name != RETURNS}
            self._assign_variables(file, OBSERVATIONS, shared, agent.ranges())

    def _assign(self, file: ArrayFile, prefix: str, model: keras.Model) -> None:
        variables = model_variables(model, prefix)
        ranges = {name: FINITE for name, value in variables.items() if value.dtype.is_floating}
        self._assign_variables(file, prefix, variables, ranges, f"Model {model.name!r}")

    def _assign_variables(
        self, file: ArrayFile, prefix: str, variables: dict[str, Any], ranges: dict[str, Range], what: str = "The agent"
    ) -> None:
        """Assigns what a file holds to `variables` by name; the file has no others that begin with `prefix`."""
        try:
            file.check({name: value for name, value in variables.items() if name.startswith(prefix)}, prefix=prefix)
            checked = CheckedFile(file, {name: span for name, span in ranges.items() if name in variables})
            for name, value in variables.items():
                value.assign(checked.read(name, value))
        except UnreadableError as error:
            raise errors.UsageError(
                f"{what} can't begin with the weights of the run {str(self.path)!r}: {error}. Give it the same "
                "settings and an environment of the same shapes, or leave out --init-from."
            ) from error
