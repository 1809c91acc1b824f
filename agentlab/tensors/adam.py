"""Adam, with a variable changed by one operation where that is faster."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from agentlab.tensors.aliases import Tensor

SMALL = 30_000  # elements of a variable up to which waking a thread costs more than passing over it a dozen times


class Adam(keras.optimizers.Adam):
    """Keras's Adam (Kingma and Ba 2015, arXiv:1412.6980), which passes over a variable once where Keras does a dozen times.

    The numbers are Keras's but for rounding, and the same to the last bit however many passes it takes: that depends on the
    variable's size and the threads of this process. With `amsgrad` it is Keras's own.
    """

    def update_step(self, gradient: Tensor, variable: tf.Variable, learning_rate: Tensor) -> None:
        """Changes `variable` and its two moments by one step along `gradient`."""
        if self.amsgrad:
            super().update_step(tf.convert_to_tensor(gradient), variable, learning_rate)
            return

        # The fused kernel shares its work among threads, however little it is.
        is_small = math.prod(variable.shape) <= SMALL
        has_threads = tf.config.threading.get_intra_op_parallelism_threads() != 1
        update = self._pass_often if is_small and has_threads else self._pass_once
        dtype = tf.as_dtype(variable.dtype)
        update(
            variable,
            tf.cast(tf.convert_to_tensor(gradient), dtype),
            tf.cast(learning_rate, dtype),
            tf.cast(self.iterations.value + 1, dtype),
        )

    def _pass_once(self, variable: tf.Variable, gradient: Tensor, learning_rate: Tensor, step: Tensor) -> None:
        index = self._get_variable_index(variable)
        beta_1, beta_2, epsilon = self._numbers(gradient.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=learning_rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )

    def _pass_often(self, variable: tf.Variable, gradient: Tensor, learning_rate: Tensor, step: Tensor) -> None:
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]
        beta_1, beta_2, epsilon = self._numbers(gradient.dtype)

        # The fused kernel's arithmetic, in its order: 1 - beta is taken of beta as a number of the variable's dtype.
        rate = learning_rate * tf.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        self.assign_add(first, (gradient - first) * (1 - beta_1))
        self.assign_add(second, (tf.square(gradient) - second) * (1 - beta_2))
        self.assign_sub(variable, first * rate / (tf.sqrt(second.value) + epsilon))

    def _numbers(self, dtype: tf.DType) -> list[Tensor]:
        """Returns both decay rates and epsilon as scalars of a dtype."""
        return [tf.constant(value, dtype) for value in (self.beta_1, self.beta_2, self.epsilon)]
