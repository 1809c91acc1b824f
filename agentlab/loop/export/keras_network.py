"""The format "keras": the network of a policy as a Keras archive, of Keras's own layers only."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from agentlab.algorithms.normalized_models import as_layers
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export.encounters import Encounter
from agentlab.loop.export.format import Arrays, Format, Signature, UnsupportedError
from agentlab.loop.export.policy_function import described
from agentlab.loop.export.verification import check_same

OWN = "keras"  # the package of layers that every installation of Keras can build
VALUES = ("__keras_tensor__", "__numpy__", "__tensor__", "__tuple__")  # how Keras writes arguments of layers


class KerasNetwork(Format):
    """A Keras archive, which `keras.saving.load_model` opens without agentlab: from observations to the network's outputs.

    A distribution and a sampler are no Keras layers, so that actions are left to who loads it. What was written is never opened
    here: the model that is saved is compared, and that Keras can build it again is seen from its config.
    """

    name = "keras"
    suffix = ".keras"

    def export(self, actor: PolicyActor, encounters: Iterable[Encounter], path: pathlib.Path) -> Signature:
        model = as_layers(actor.policy.network.model, actor.policy.spec)
        check_plain(model)
        check_same(_outputs(model, actor, encounters))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Keras copies its variables in a way that NumPy deprecates
            model.save(path)
        (inputs,), (outputs,) = model.inputs, model.outputs
        return Signature({"observation": described(inputs)}, {"output": described(outputs)})


def check_plain(model: keras.Model) -> None:
    """Raises UnsupportedError if a model, or anything it is made of, is not of Keras's own."""
    if not isinstance(model, (keras.Sequential, keras.Model)) or type(model).__module__.partition(".")[0] != OWN:
        raise UnsupportedError(f"its network is a {type(model).__name__}, which Keras can't build without agentlab")
    for module, name in _classes(keras.saving.serialize_keras_object(model)):
        if module.partition(".")[0] != OWN and name not in VALUES:
            raise UnsupportedError(f"its network has a {name}, which Keras can't build without {module or 'its author'}")


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Yields the module and the name of each class in a config of Keras's."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config.get("module") or "", config["class_name"]
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _classes(value)


def _outputs(model: keras.Model, actor: PolicyActor, encounters: Iterable[Encounter]) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields a model's outputs and those that an actor acts by, step after step."""
    for step in encounters:
        ours = model(actor.policy.spec.see(step.observation), training=False)
        yield {"output": np.asarray(ours)}, {"output": np.asarray(actor.respond(step.observation).output)}
