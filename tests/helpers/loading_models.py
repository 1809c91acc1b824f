"""Loads the models in a directory as anybody would, by Keras, and compares their outputs: a program of `test_keras_models`."""

import pathlib
import sys

import keras
import numpy as np

import agentlab_models

# These make their layers known to Keras:
import agentlab_models.gpt
import agentlab_models.recurrent  # noqa: F401

paths = list(pathlib.Path(sys.argv[1]).glob("*.keras"))
for path in paths:
    model, arrays = keras.models.load_model(path), np.load(path.with_suffix(".npz"))
    if hasattr(model, "initial_state"):
        output, _ = model(arrays["shown"], model.initial_state(2))
    else:
        output = model(arrays["shown"])
    np.testing.assert_allclose(output, arrays["expected"], rtol=1e-6, err_msg=path.name)
print(f"{len(paths)} models")
