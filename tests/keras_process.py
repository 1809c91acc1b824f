"""A process in which a program has set Keras up in its own way."""

import contextlib

import keras


@contextlib.contextmanager
def settings_of_keras(floatx="float32", policy=None, data_format="channels_last", epsilon=1e-7):
    config = keras.config
    before = config.floatx(), config.dtype_policy(), config.image_data_format(), config.epsilon()
    config.set_floatx(floatx)
    config.set_dtype_policy(policy or floatx)
    config.set_image_data_format(data_format)
    config.set_epsilon(epsilon)
    try:
        yield
        assert (config.floatx(), config.dtype_policy().name) == (floatx, policy or floatx)
        assert (config.image_data_format(), config.epsilon()) == (data_format, epsilon)
    finally:
        config.set_floatx(before[0])
        config.set_dtype_policy(before[1])
        config.set_image_data_format(before[2])
        config.set_epsilon(before[3])
