"""Loads the models in a directory as anybody would, by Keras, and compares their outputs: a program of `test_keras_models`."""

import pathlib
import sys

import keras
import numpy as np

import agentlab_models

# These make their layers known to Keras:
import agentlab_models.decision_transformer
import agentlab_models.gpt
import agentlab_models.recurrent  # noqa: F401


def shown_in(arrays):
    """Returns the observations saved: an array, or a nest of such by the paths of `agentlab.spec.leaves_of`."""
    nest = {}
    for name in arrays:
        *path, last = (entry.replace("~1", "/").replace("~0", "~") for entry in name.split("/"))
        inner = nest
        for entry in path:
            inner = inner.setdefault(entry, {})
        inner[last] = arrays[name]
    return nest["shown"]


paths = list(pathlib.Path(sys.argv[1]).glob("*.keras"))
for path in paths:
    model, arrays = keras.models.load_model(path), np.load(path.with_suffix(".npz"))
    if hasattr(model, "initial_state"):
        output, _ = model(shown_in(arrays), model.initial_state(2))
    else:
        output = model(shown_in(arrays))
    np.testing.assert_allclose(output, arrays["expected"], rtol=1e-6, err_msg=path.name)
print(f"{len(paths)} models")
