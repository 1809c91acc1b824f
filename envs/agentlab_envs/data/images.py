"""Images: a labelled data set as an environment; an action names an image's class, and the reward is 1 if it is right."""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import FINITE, Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.data import datasets
from agentlab_envs.data.distortion import rotated, shifted
from agentlab_envs.data.stream import Reading, Stream


@attrs.frozen(eq=False)
class _State:
    """The state of B rows.

    Attributes:
        reading: where in the data set.
        shift: `[B, 2]` int64, pixels by which the image is moved down and to the right; `()` if none is moved.
        angle: `[B]` float32, radians by which it is turned clockwise; `()` if none is turned.
    """

    reading: Reading
    shift: Tensor
    angle: Tensor


@attrs.define(slots=False, eq=False)
class Images(DeviceEnvironment):
    """Shows images one after another; an episode is one step: reward 1 if the action is the image's class, else 0.

    The mean return is the accuracy. Pixels are stored as uint8 and shown as float32 from 0 to 1. Any labelled arrays will do,
    samples of another rank than images' too.

    Attributes:
        data: "digits" (bundled), "mnist" or another of Keras's data sets, NAME for NAME.npz in the folder AGENTLAB_DATA, the
            path of an .npz file with x_train, y_train, x_test and y_test, or a dict of these arrays.
        split: "train", "validation" (the end of the training samples) or "test".
        shuffle: each epoch shows all samples once, in an order of its own; else in the order of the data.
        replacement: instead, each step draws any sample.
        validation_fraction: of the training samples, 0 to less than 1, set aside for validation.
        max_shift: images are moved by up to so many pixels in each direction, with new draws each time; zeros fill up.
        max_rotation: images are turned by up to so many degrees to either side, with new draws each time.
        num_classes: by default one more than the largest label of the training samples.
    """

    data: str | Any = "digits"
    split: Literal["train", "validation", "test"] = "train"
    shuffle: bool = True
    replacement: bool = False
    validation_fraction: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    max_shift: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    max_rotation: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.le(180)])
    num_classes: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(2)))

    def __attrs_post_init__(self) -> None:
        self._dataset = datasets.load(self.data, self.num_classes)
        self._samples = self._dataset.test if self.split == "test" else self._dataset.train
        self._scale = np.float32(1.0 / self._dataset.unit)  # graphs turn a division by a constant into this product anyway
        self._offset, size = self._rows()
        shape = self._dataset.shape
        if (self.max_shift or self.max_rotation) and not (len(shape) == 3 and self.max_shift < min(shape[:2])):
            raise errors.UsageError(
                f"Data set {self._dataset.name!r} has samples of shape {shape}, which can't be moved by {self.max_shift} "
                f"pixels and turned by {self.max_rotation:g} degrees. Lower environment.max_shift and max_rotation."
            )

        # The order in which samples are shown, and what is seen of them: pixels from 0 to 1.
        self._stream = Stream(self._dataset.name, size, self.shuffle, self.replacement)
        limits = (0.0, 1.0) if self._samples.inputs.dtype == tf.uint8 else (-math.inf, math.inf)
        classes = Discrete(self._dataset.num_classes)
        num_episodes = None if self.replacement else size
        self._spec = EnvironmentSpec(
            self._dataset.name, Array(shape, "float32", *limits), classes, target=classes, num_episodes=num_episodes
        )

    @property
    def spec(self) -> EnvironmentSpec:
        return self._spec

    def initial(self, seed: Seed, batch: int) -> Nest:
        return self._looking(self._stream.start(seed, batch), seed)

    def restart(self, state: Nest, seed: Seed) -> Nest:
        return self._looking(self._stream.following(state.reading, seed), seed)

    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        label = tf.gather(self._samples.labels, self._place(state))
        return state, tf.cast(tf.equal(action, label), tf.float32), tf.ones_like(label, tf.bool), label

    def state_ranges(self) -> Nest:
        shift = Range(-self.max_shift, self.max_shift) if self.max_shift else ()
        return _State(self._stream.ranges(), shift, FINITE if self.max_rotation else ())

    def observe(self, state: Nest) -> Nest:
        stored = tf.reshape(tf.gather(self._samples.inputs, self._place(state)), [-1, *self._dataset.shape])
        if self.max_shift:
            stored = shifted(stored, state.shift, self.max_shift)
        image = tf.cast(stored, tf.float32)
        if self._dataset.unit != 1.0:
            image = image * self._scale
        return rotated(image, state.angle) if self.max_rotation else image

    def picture(self, state: Nest) -> np.ndarray | None:
        image = np.asarray(self.observe(state))[0]
        if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)):
            return None  # samples that are no images
        coloured = np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))
        return np.clip(np.round(255.0 * coloured), 0, 255).astype(np.uint8)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns all of the split's observations `[N, *O]` float32 and labels `[N]` int64, as Keras's `fit` takes them."""
        rows = slice(self._offset, self._offset + self._stream.size)
        inputs = self._samples.inputs[rows].numpy().reshape(-1, *self._dataset.shape).astype(np.float32)
        return inputs * self._scale, self._samples.labels[rows].numpy()

    def _rows(self) -> tuple[int, int]:
        """Returns the split's first row and the number of its rows."""
        count = self._samples.inputs.shape[0]
        if self.split == "test":
            return 0, count

        # Validation samples are the last ones of the training file, so that both splits are the same in every run.
        held = round(self.validation_fraction * count)
        begin, size = (count - held, held) if self.split == "validation" else (0, count - held)
        if size == 0:
            raise errors.UsageError(
                f"The {self.split} split of data set {self._dataset.name!r} is empty: validation_fraction is "
                f"{self.validation_fraction:g} of {count} samples. Set environment.validation_fraction, such as 0.1."
            )
        return begin, size

    def _looking(self, reading: Reading, seed: Seed) -> _State:
        rows = reading.position.shape[0]
        shift: Tensor = ()
        if self.max_shift:
            drawn = seeds.integers(seeds.child(seed, "shift"), [rows, 2], 2 * self.max_shift + 1)
            shift = drawn - self.max_shift
        limit = math.radians(self.max_rotation)
        angle = seeds.uniform(seeds.child(seed, "rotation"), [rows], -limit, limit) if self.max_rotation else ()
        return _State(reading, shift, angle)

    def _place(self, state: _State) -> Tensor:
        return state.reading.sample + self._offset
