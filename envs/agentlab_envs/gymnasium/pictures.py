"""Converts pictures of Gymnasium environments to one format."""

from __future__ import annotations

import numpy as np

from agentlab import errors

CHANNELS = (1, 3, 4)  # grey, red-green-blue, and the same with an opacity that is left out


def picture(frames: object) -> np.ndarray | None:
    """Returns the picture of row 0, `[height, width, 3]` uint8; None where a window shows it.

    Args:
        frames: what a vector's `render` returned: a picture per row, grey or coloured.

    Raises:
        EnvironmentFault: it is no picture.
    """
    frame = frames[0] if isinstance(frames, (tuple, list)) and frames else None
    if frame is None:
        return None

    # [height, width, channels], grey pictures with one channel.
    array = np.asarray(frame)
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] not in CHANNELS or 0 in array.shape:
        kind = f"{array.dtype}{list(np.shape(frame))}" if isinstance(frame, np.ndarray) else f"a {type(frame).__name__}"
        raise errors.EnvironmentFault(f"its render returned {kind}; expected a picture uint8[height, width, 3].")
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array[..., :3]
