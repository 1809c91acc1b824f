"""Noise inside a model: a layer that draws gets the seed of the present call here, and adds no noise without one."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

from agentlab.tensors.aliases import Seed

_SEED: contextvars.ContextVar[Seed] = contextvars.ContextVar("seed of a model's noise", default=None)


@contextlib.contextmanager
def drawn_from(seed: Seed) -> Iterator[None]:
    """Lets models that are called inside draw noise from `seed`, `[2]` int64; None keeps them free of it, as outside.

    Keras hands `training` to the layers that want it in the same way: by the call under way, not by an argument of each layer.
    """
    token = _SEED.set(seed)
    try:
        yield
    finally:
        _SEED.reset(token)


def present_seed() -> Seed | None:
    """Returns the seed of the call under way, `[2]` int64, for a layer to draw from; or None: it is to be free of noise."""
    return _SEED.get()
