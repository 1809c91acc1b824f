"""Changes Keras's process-wide settings for a test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def settings_of_keras(
    floatx: str = "float32", policy: str | None = None, data_format: str = "channels_last", epsilon: float = 1e-7
) -> Iterator[None]:
    """Sets Keras up inside the block; `policy` is the layers' dtype policy, by default that of `floatx`."""
    config = keras.config
    before = config.floatx(), config.image_data_format(), config.epsilon(), config.dtype_policy()
    _assign(floatx, data_format, epsilon, policy or floatx)
    try:
        yield
    finally:
        _assign(*before)


def _assign(floatx: str, data_format: str, epsilon: float, policy: str | keras.DTypePolicy) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_image_data_format(data_format)
    keras.config.set_epsilon(epsilon)
    keras.config.set_dtype_policy(policy)
