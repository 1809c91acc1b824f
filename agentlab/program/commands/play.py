"""The command `agentlab play`: a run's agent shown in a window, a video or in print."""

from __future__ import annotations

import argparse
import os

from agentlab import configuration
from agentlab.program import process, tensorflow_setup
from agentlab.program.commands.command import Command
from agentlab.program.shared_options import add_changes, add_trust, check_positive


def play(options: argparse.Namespace) -> int:
    """Shows a run's agent at play, in a window or in a video.

    An agent trained on a data set is shown sample by sample; one trained on text writes some.
    """
    check_positive("--episodes", options.episodes)

    # SDL reads these when pygame is imported.
    if options.video is not None:
        os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")  # some take "dummy" as not to draw
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.program.play import play as play_episodes

    with process.plain_warnings():
        returns = play_episodes(
            options.run, options.episodes, options.video, trust=options.trust, changes=configuration.dotted(options.set)
        )
    if not returns:  # text, which says it all
        return 0
    where = f" Written to {options.video}." if options.video else ""
    print(f"return {', '.join(f'{value:g}' for value in returns)}.{where}")
    return 0


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's directory")
    command.add_argument("--episodes", type=int, default=1, help="number of episodes, or of samples of a data set (default: 1)")
    command.add_argument("--video", metavar="FILE", help="write FILE.gif or FILE.mp4 instead of opening a window")
    add_changes(command)
    add_trust(command)


PLAY = Command("play", "watch a trained agent", play, _add_options)
