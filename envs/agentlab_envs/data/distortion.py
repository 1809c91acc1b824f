"""Distortions of images, each row by an amount of its own: shifts by whole pixels, and rotations."""

from __future__ import annotations

import tensorflow as tf

from agentlab.types import Tensor


def shifted(images: Tensor, shift: Tensor, limit: int) -> Tensor:
    """Returns images moved down and to the right, the gap filled with zeros; traceable.

    Args:
        images: `[B, H, W, C]`.
        shift: `[B, 2]` int64, each in -limit to limit.
        limit: the largest shift.
    """
    _, height, width, _ = images.shape
    padded = tf.pad(images, [[0, 0], [limit, limit], [limit, limit], [0, 0]])
    rows = tf.range(limit, limit + height, dtype=tf.int64) - shift[:, :1]
    columns = tf.range(limit, limit + width, dtype=tf.int64) - shift[:, 1:]
    moved = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(moved, columns[:, None, :] + tf.zeros_like(rows)[:, :, None], axis=2, batch_dims=2)


def rotated(images: Tensor, angle: Tensor) -> Tensor:
    """Returns images turned clockwise about their centres, bilinearly interpolated, zeros beyond their edges; traceable.

    Args:
        images: `[B, H, W, C]` float32.
        angle: `[B]` float32, in radians.
    """
    rows, height, width, channels = images.shape

    # Pixels relative to the centre, [1, H, 1] and [1, 1, W].
    vertical = tf.range(height, dtype=tf.float32)[None, :, None] - (height - 1) / 2
    horizontal = tf.range(width, dtype=tf.float32)[None, None, :] - (width - 1) / 2

    # Where each pixel comes from, [N, H, W]; a border of zeros takes what lies outside.
    cosine, sine = tf.cos(angle)[:, None, None], tf.sin(angle)[:, None, None]
    row = tf.clip_by_value(cosine * vertical - sine * horizontal + (height - 1) / 2, -1.0, float(height))
    column = tf.clip_by_value(sine * vertical + cosine * horizontal + (width - 1) / 2, -1.0, float(width))

    # Its upper left neighbour, and how far beyond it, [N, H, W].
    top = tf.minimum(tf.floor(row), height - 1.0)
    left = tf.minimum(tf.floor(column), width - 1.0)
    down, right = (row - top)[..., None], (column - left)[..., None]

    # Neighbours by their place in the padded image as one list, [N, (H + 2) * (W + 2), C].
    padded = tf.reshape(tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]]), [rows, -1, channels])
    place = tf.cast((top + 1.0) * (width + 2.0) + left + 1.0, tf.int32)

    def at(offset: int) -> Tensor:
        return tf.gather(padded, place + offset, axis=1, batch_dims=1)

    # [N, H, W, C] between the four neighbours.
    upper = at(0) * (1.0 - right) + at(1) * right
    lower = at(width + 2) * (1.0 - right) + at(width + 3) * right
    return upper * (1.0 - down) + lower * down
