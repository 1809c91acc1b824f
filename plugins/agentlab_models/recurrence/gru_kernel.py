"""The GRU recurrence (Cho et al. 2014, arXiv:1406.1078) and its backward pass through time.

The variant is Keras's `reset_after=True`, which is cuDNN's too: the reset gate is applied after the recurrent product.

    recurrent = h U + b                                 z, r = sigmoid(projection + recurrent)
    g = tanh(projection + r recurrent)                  h' = z h + (1 - z) g

The gates are in the order of Keras: update z, reset r, candidate g. What multiplies a gradient is computed in the forward pass
and stored over the projections, as in `lstm_kernel`.
"""

from __future__ import annotations

import tensorflow as tf

from agentlab.types import Tensor
from agentlab_models.recurrence import timesteps


def scan(
    projections: Tensor,
    kernel: Tensor,
    bias: Tensor,
    state: tuple[Tensor],
    every_position: bool,
    keep: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor]]:
    """Runs a GRU over a sequence; traceable, differentiable once in all its tensors.

    Args:
        projections: `[T, B, 3 * units]`, inputs times the input kernel, plus the input bias; T is at least 1.
        kernel: `[units, 3 * units]`, the recurrent kernel.
        bias: `[3 * units]`, the recurrent bias.
        state: (h,) before the first position, `[B, units]`.
        every_position: whether to return the outputs of all positions, or only the last one's.
        keep: `[T, B, 1]`, 0 where the state is reset before a position, else 1; None if it never is.

    Returns:
        Outputs `[T, B, units]` or `[B, units]`, and the state (h,) after the last position. All have one float dtype.
    """

    def run(projections: Tensor, kernel: Tensor, bias: Tensor, h: Tensor) -> Tensor:
        previous, last, saved = _forward(projections, kernel, bias, h, keep)

        def gradient(outputs: Tensor, d_h: Tensor) -> tuple[Tensor, ...]:
            d_outputs = timesteps.split(outputs) if every_position else None
            d_last = d_h if every_position else d_h + outputs
            recurrent, candidate, d_first = _backward(saved, kernel, d_outputs, d_last, keep)
            d_projections = tf.concat([recurrent[..., : -kernel.shape[0]], candidate], axis=-1)
            before = timesteps.masked(previous, keep)
            product = tf.matmul(timesteps.rows(before), timesteps.rows(recurrent), transpose_a=True)
            return d_projections, product, tf.reduce_sum(recurrent, axis=[0, 1]), d_first

        return (timesteps.shifted(previous, last) if every_position else tf.identity(last), last), gradient

    outputs, last = tf.custom_gradient(run)(projections, kernel, bias, *state)
    return outputs, (last,)


def step(projection: Tensor, kernel: Tensor, bias: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
    """Takes one step: as `scan` with `projection` `[B, 3 * units]`, for one position; returns h' and the state (h',)."""
    z, _, g, _ = _cell(projection, kernel, bias, *state)
    h = z * state[0] + (1 - z) * g
    return h, (h,)


def _cell(projection: Tensor, kernel: Tensor, bias: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns z, r, g and the recurrent part of the candidate, `[B, units]` each."""
    units = kernel.shape[0]
    recurrent = tf.matmul(h, kernel) + bias
    gates = tf.tanh((projection[:, :-units] + recurrent[:, :-units]) * 0.5) * 0.5 + 0.5  # the sigmoid, see `lstm_kernel`
    z, r = tf.split(gates, 2, axis=1)
    return z, r, tf.tanh(projection[:, -units:] + r * recurrent[:, -units:]), recurrent[:, -units:]


def _forward(
    projections: Tensor, kernel: Tensor, bias: Tensor, h: Tensor, keep: Tensor | None
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Returns h before each position `[T, B, units]`, the last h, and the slopes for the backward pass.

    Those are d recurrent / dh' `[T, B, 3 * units]`, d candidate / dh' and dh' / dh (but for U), `[T, B, units]`.
    """
    length = tf.shape(projections)[0]

    def body(t: Tensor, h: Tensor, gates: Tensor, candidates: Tensor, updates: Tensor, previous: Tensor) -> tuple[Tensor, ...]:
        # One step; h before it is stored for the gradient of the kernel.
        previous = timesteps.write(previous, t, h)
        h = timesteps.kept_at(h, keep, t)
        z, r, g, recurrent = _cell(timesteps.read(gates, t, projections), kernel, bias, h)

        # The slopes of the gates and of the candidate, of which the backward pass needs no activation any more.
        candidate = (1 - z) * (1 - g * g)
        slopes = [(h - g) * z * (1 - z), candidate * recurrent * r * (1 - r), candidate * r]
        gates = timesteps.write(gates, t, tf.concat(slopes, axis=1))
        candidates = timesteps.write(candidates, t, candidate)
        new_h = z * h + (1 - z) * g
        new_h.set_shape(h.shape)
        return t + 1, new_h, gates, candidates, timesteps.write(updates, t, z), previous

    # Positions live in lists, so that the loop's body is compiled once, whatever T.
    blanks = [timesteps.blank(h, length) for _ in range(3)]
    start = (tf.constant(0), h, timesteps.split(projections), *blanks)
    _, last, gates, *lists = tf.while_loop(lambda t, *_: t < length, body, start)
    candidates, updates, previous = (timesteps.join(positions, h, projections.shape[0]) for positions in lists)
    return previous, last, (timesteps.join(gates, projections, projections.shape[0]), candidates, updates)


def _backward(
    saved: tuple[Tensor, ...], kernel: Tensor, d_outputs: Tensor, d_last: Tensor, keep: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of the recurrent part `[T, B, 3 * units]`, of the candidate `[T, B, units]` and of the first h."""
    slopes, candidate_slopes, updates = saved
    transposed = tf.transpose(kernel)
    length = tf.shape(slopes)[0]

    def body(count: Tensor, d_h: Tensor, gates: Tensor, candidates: Tensor) -> tuple[Tensor, ...]:
        # Positions from the last to the first.
        t = length - 1 - count
        if d_outputs is not None:
            d_h += timesteps.read(d_outputs, t, d_h)

        # Gradients of this position's gates [B, 3 * units] and of h before it.
        d_recurrent = timesteps.read(gates, t, slopes) * tf.concat([d_h, d_h, d_h], axis=1)
        d_candidate = timesteps.read(candidates, t, candidate_slopes) * d_h
        new_d_h = timesteps.kept_at(tf.matmul(d_recurrent, transposed) + d_h * updates[t], keep, t)
        new_d_h.set_shape(d_h.shape)
        return count + 1, new_d_h, timesteps.write(gates, t, d_recurrent), timesteps.write(candidates, t, d_candidate)

    start = (tf.constant(0), d_last, timesteps.split(slopes), timesteps.split(candidate_slopes))
    _, d_h, gates, candidates = tf.while_loop(lambda count, *_: count < length, body, start)
    return timesteps.join(gates, slopes, slopes.shape[0]), timesteps.join(candidates, candidate_slopes, slopes.shape[0]), d_h
