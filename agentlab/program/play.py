"""Play: shows a trained agent in a window, or in a GIF where there is no screen."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np

from agentlab import errors, seeds
from agentlab.environment import Environment
from agentlab.loop.agent import Agent
from agentlab.loop.composition import build_environment, evaluation_environment
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.registry import plugins
from agentlab.runs.runner import load_run
from agentlab.task import Task


def play(run_dir: str | os.PathLike[str], episodes: int = 1, video: str | None = None) -> list[float]:
    """Plays whole episodes of a run's agent, in a window or into `video`, a GIF, and returns their returns.

    Raises:
        UsageError: the environment has no pictures, there is no screen, or the file cannot be written.
    """
    if video is None:
        _check_screen()
    else:
        _check_writable(video)
    task, seed, agent = load_run(run_dir)
    environment = _shown(task, "human" if video is None else "rgb_array")
    try:
        returns, frames = _episodes(agent, environment, episodes, seed)
    finally:
        environment.close()
    if video is not None:
        _write_gif(video, frames)
    return returns


def _check_screen() -> None:
    """Asks for a window in a process of its own: where there is no screen, drawing may end the process that asks."""
    if "SDL_VIDEODRIVER" in os.environ or importlib.util.find_spec("pygame") is None:
        return  # chosen by the user; or for the environment to say that it needs pygame
    probe = "import pygame; pygame.display.init(); pygame.display.set_mode((1, 1)); print(pygame.display.get_driver())"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    driver = found.stdout.split()[-1:]
    if found.returncode or driver in (["offscreen"], ["dummy"]):
        raise errors.UsageError("There is no screen to open a window on; write a GIF instead: --video FILE.gif.")


def _shown(task: Task, render_mode: str) -> Environment:
    part = evaluation_environment(task)
    cls = plugins.load("environment", part.name)
    if not (isinstance(cls, type) and issubclass(cls, Environment)):
        raise errors.UsageError(
            f"Environment {part.name!r} has no pictures to show; play needs a run that is evaluated in a Gymnasium environment."
        )
    return build_environment(part, 1, render_mode=render_mode)  # type: ignore[return-value]


def _episodes(agent: Agent, environment: Environment, episodes: int, seed: int) -> tuple[list[float], list[np.ndarray]]:
    timestep = environment.reset(seeds.host_seed(seed, "play"))
    returns: list[float] = []
    frames = [environment.render()]
    statistics = EpisodeStatistics.start(1)
    while len(returns) < episodes:
        timestep = environment.step(agent.act(timestep.observation))
        frames.append(environment.render())
        ended = timestep.terminated | timestep.truncated
        statistics = statistics.reported().after(timestep.reward, ended.astype(np.float32))
        if ended[0]:
            returns.append(float(statistics.return_sum[0]))
    return returns, [frame for frame in frames if frame is not None]


def _check_writable(video: str) -> None:
    parent = pathlib.Path(video).resolve().parent
    if not video.endswith(".gif") or pathlib.Path(video).is_dir() or not os.access(parent, os.W_OK):
        raise _unwritable(video)
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise errors.UsageError("Writing a GIF needs Pillow; install it with: pip install 'agentlab[play]'.") from error


def _write_gif(video: str, frames: list[np.ndarray]) -> None:
    from PIL import Image

    images = [Image.fromarray(frame).convert("P", palette=Image.Palette.ADAPTIVE, colors=64) for frame in frames[::2]]
    try:
        images[0].save(video, save_all=True, append_images=images[1:], duration=40, loop=0)
    except OSError as error:
        raise _unwritable(video) from error


def _unwritable(video: str) -> errors.UsageError:
    return errors.UsageError(f"--video {video!r} can't be written; expected a FILE.gif in an existing, writable folder.")
