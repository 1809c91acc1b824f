"""Whether there is a screen: without one, drawing in a window may end the process by a signal."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys

from agentlab import errors

PROBE = "import pygame; pygame.display.init(); pygame.display.set_mode((1, 1)); print(pygame.display.get_driver())"


def check(advice: str) -> None:
    """Checks that a window can be opened.

    Args:
        advice: what to do instead, as the end of a sentence.

    Raises:
        UsageError: there is no screen to open one on.
    """
    if "SDL_VIDEODRIVER" in os.environ or importlib.util.find_spec("pygame") is None:
        return  # chosen by the user; or for the environment to say that it needs pygame
    if not _opens():
        raise errors.UsageError(f"There is no screen to open a window on; {advice}.")


@functools.cache
def _opens() -> bool:
    """Asks for a window in a process of its own, which may end."""
    probed = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    return probed.returncode == 0 and probed.stdout.split()[-1:] not in (["offscreen"], ["dummy"])
