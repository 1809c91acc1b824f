"""The LSTM recurrence (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735) and its backward pass through time.

    gates = projection + h U                            i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of gates
    c' = f c + i g                                      h' = o tanh(c')

The gates are in the order of Keras: input, forget, candidate, output. Backwards, with dh and dc the gradients of h' and c',

    dc += dh o (1 - tanh(c')^2)                         dgates = [dc, dc, dc, dh] * slopes
    dh <- dgates U^T                                    dc <- dc f

where all that multiplies a gradient is known in the forward pass already. It is computed there, on values that are still in
the cache, and stored over the projections, which are read only once; the gradients of the gates are stored over the slopes.
The kernel's gradient is then a single product over all positions. Where a sequence begins anew within a row, `keep` is 0: it
multiplies the state before that position, and the gradients that leave it.

Concatenating gates costs a copy; a select over four gates in a row, without copies, makes the whole update twice as slow under
XLA.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from agentlab.types import Tensor
from agentlab_models.recurrence import timesteps


def scan(
    projections: Tensor, kernel: Tensor, state: tuple[Tensor, Tensor], every_position: bool, keep: Tensor | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Runs an LSTM over a sequence; traceable, differentiable once in all its tensors.

    Args:
        projections: `[T, B, 4 * units]`, inputs times the input kernel, plus bias; T is at least 1.
        kernel: `[units, 4 * units]`, the recurrent kernel.
        state: (h, c) before the first position, `[B, units]` each.
        every_position: whether to return the outputs of all positions, or only the last one's.
        keep: `[T, B, 1]`, 0 where the state is reset before a position, else 1; None if it never is.

    Returns:
        Outputs `[T, B, units]` or `[B, units]`, and the state (h, c) after the last position. All have one float dtype.
    """

    def run(projections: Tensor, kernel: Tensor, h: Tensor, c: Tensor) -> Tensor:
        previous, last, saved = _forward(projections, kernel, h, c, keep)

        def gradient(outputs: Tensor, d_h: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
            d_outputs = timesteps.split(outputs) if every_position else None
            d_gates, d_first = _backward(saved, kernel, d_outputs, (d_h if every_position else d_h + outputs, d_c), keep)
            before = timesteps.masked(previous, keep)
            product = tf.matmul(timesteps.rows(before), timesteps.rows(d_gates), transpose_a=True)
            return d_gates, product, *d_first

        return (timesteps.shifted(previous, last[0]) if every_position else tf.identity(last[0]), *last), gradient

    outputs, *last = tf.custom_gradient(run)(projections, kernel, *state)
    return outputs, tuple(last)


def step(projection: Tensor, kernel: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Takes one step: as `scan` with `projection` `[B, 4 * units]`, for one position; returns h' and the state (h', c')."""
    h, c = state
    _, gates, c, squashed = _cell(projection, kernel, h, c)
    h = gates[3] * squashed
    return h, (h, c)


def _cell(projection: Tensor, kernel: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Returns tanh of the scaled gates, the four gates, the new c and tanh of it.

    One tanh serves all four gates, as sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: XLA compiles it to one loop, and tanh is its
    fastest transcendental function.
    """
    scale, offset = _scale(projection)
    tanh = tf.tanh((projection + tf.matmul(h, kernel)) * scale)
    i, f, g, o = tf.split(tanh * scale + offset, 4, axis=1)
    c = f * c + i * g
    return tanh, [i, f, g, o], c, tf.tanh(c)


def _scale(gates: Tensor) -> tuple[np.ndarray, np.ndarray]:
    units = gates.shape[-1] // 4
    scale = np.repeat([0.5, 0.5, 1.0, 0.5], units).astype(gates.dtype.as_numpy_dtype)
    return scale, 1 - scale


def _forward(
    projections: Tensor, kernel: Tensor, h: Tensor, c: Tensor, keep: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, ...]]:
    """Returns h before each position `[T, B, units]`, the last state, and the slopes for the backward pass.

    Those are d gates / d (c', c', c', h') `[T, B, 4 * units]`, dc' / dh' and dc' / dc, `[T, B, units]`.
    """
    length = tf.shape(projections)[0]
    scale, _ = _scale(projections)

    def body(
        t: Tensor, h: Tensor, c: Tensor, gates: Tensor, squashings: Tensor, forgets: Tensor, previous: Tensor
    ) -> tuple[Tensor, ...]:
        # One step; h before it is stored for the gradient of the kernel.
        previous = timesteps.write(previous, t, h)
        h, c = timesteps.kept_at(h, keep, t), timesteps.kept_at(c, keep, t)
        tanh, (i, f, g, o), new_c, squashed = _cell(timesteps.read(gates, t, projections), kernel, h, c)

        # The slopes of the gates, of which the backward pass needs no activation any more.
        slopes = tf.concat([g, c, i, squashed], axis=1) * ((1 - tanh * tanh) * (scale * scale))
        gates = timesteps.write(gates, t, slopes)
        squashings = timesteps.write(squashings, t, o * (1 - squashed * squashed))
        new_h = o * squashed
        new_h.set_shape(h.shape)
        new_c.set_shape(c.shape)
        return t + 1, new_h, new_c, gates, squashings, timesteps.write(forgets, t, f), previous

    # Positions live in lists, so that the loop's body is compiled once, whatever T.
    blanks = [timesteps.blank(h, length) for _ in range(3)]
    start = (tf.constant(0), h, c, timesteps.split(projections), *blanks)
    _, last_h, last_c, gates, *lists = tf.while_loop(lambda t, *_: t < length, body, start)
    squashings, forgets, previous = (timesteps.join(positions, h, projections.shape[0]) for positions in lists)
    return previous, (last_h, last_c), (timesteps.join(gates, projections, projections.shape[0]), squashings, forgets)


def _backward(
    saved: tuple[Tensor, ...], kernel: Tensor, d_outputs: Tensor, d_last: tuple[Tensor, Tensor], keep: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Returns the gradients of the gates `[T, B, 4 * units]` and of the first state."""
    slopes, squashings, forgets = saved
    transposed = tf.transpose(kernel)  # once: multiplying by the kernel's transpose in each round takes half as long again
    length = tf.shape(slopes)[0]

    def body(count: Tensor, d_h: Tensor, d_c: Tensor, gates: Tensor) -> tuple[Tensor, ...]:
        # Positions from the last to the first.
        t = length - 1 - count
        if d_outputs is not None:
            d_h += timesteps.read(d_outputs, t, d_h)

        # Gradients of this position's gates [B, 4 * units] and of the state before it.
        d_c += d_h * squashings[t]
        d_gates = timesteps.read(gates, t, slopes) * tf.concat([d_c, d_c, d_c, d_h], axis=1)
        new_d_h = timesteps.kept_at(tf.matmul(d_gates, transposed), keep, t)
        new_d_c = timesteps.kept_at(d_c * forgets[t], keep, t)
        new_d_h.set_shape(d_h.shape)
        new_d_c.set_shape(d_c.shape)
        return count + 1, new_d_h, new_d_c, timesteps.write(gates, t, d_gates)

    start = (tf.constant(0), *d_last, timesteps.split(slopes))
    _, d_h, d_c, gates = tf.while_loop(lambda count, *_: count < length, body, start)
    return timesteps.join(gates, slopes, slopes.shape[0]), (d_h, d_c)
