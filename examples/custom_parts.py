"""A layer, a loss and a metric of one's own, learning through agentlab's loop: `python examples/custom_parts.py`.

They are plain Keras classes: nothing in them knows of agentlab, and nothing has to be registered.
"""

import keras
import tensorflow as tf

import agentlab


class LinearLayer(keras.layers.Layer):
    """Outputs `x w + b`."""

    def __init__(self, units):
        super().__init__()
        self.units = units

    def build(self, input_shape):
        """Makes the weights once the number of inputs is known."""
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="zeros", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, inputs):
        """Returns `[B, units]` for inputs `[B, K]`."""
        return tf.matmul(inputs, self.w) + self.b


class LinearModel(keras.Model):
    """The flattened observation through one LinearLayer."""

    def __init__(self, units):
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.layer = LinearLayer(units)

    def call(self, inputs):
        """Returns `[B, units]` for observations `[B, ...]`."""
        return self.layer(self.flatten(inputs))


class MeanSquaredError(keras.losses.Loss):
    """The mean of squared differences; classes count as one-hot vectors, as `num_outputs` of them."""

    def call(self, y_true, y_pred):
        """Returns `[B]` for targets `[B]` or `[B, K]` and outputs `[B, K]`."""
        if len(y_true.shape) < len(y_pred.shape):
            y_true = tf.one_hot(tf.cast(y_true, tf.int64), y_pred.shape[-1])
        return tf.reduce_mean(tf.square(y_pred - y_true), axis=-1)


class OwnAccuracy(keras.metrics.Metric):
    """The share of right answers."""

    def __init__(self):
        super().__init__(name="own_accuracy")
        self.total = self.add_variable((), "zeros", dtype="int64", name="total")
        self.right = self.add_variable((), "zeros", dtype="int64", name="right")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts targets `[B]` and outputs `[B, K]`."""
        hits = tf.equal(tf.cast(y_true, tf.int64), tf.argmax(y_pred, axis=-1))
        self.total.assign_add(tf.size(hits, out_type=tf.int64))
        self.right.assign_add(tf.reduce_sum(tf.cast(hits, tf.int64)))

    def result(self):
        """Returns the share, 0 to 1."""
        return self.right / self.total


def regress():
    """Fits the straight line of task linear-regression and returns its run."""
    return agentlab.run("linear-regression", changes={"trainer": {"loss_function": MeanSquaredError()}}, model=LinearModel(1))


def classify():
    """Classifies scikit-learn's digits and returns the run."""
    trainer = {"loss_function": MeanSquaredError(), "metrics": [OwnAccuracy()], "learning_rate": 0.003}
    return agentlab.run("classifier-digits", changes={"trainer": trainer, "steps": 48_000}, model=LinearModel(10))


if __name__ == "__main__":
    weights, bias = regress().model.get_weights()
    print("w", weights.ravel(), "b", bias)
    evaluation = classify().result["evaluation"]
    print("accuracy", evaluation["accuracy"], "as the metric of one's own counts it", evaluation["own_accuracy"])
