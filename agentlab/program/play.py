"""Play: shows a trained agent in a window, or in a GIF where there is no screen."""

from __future__ import annotations

import os
import pathlib
import warnings
from typing import Any

import numpy as np

from agentlab import errors, seeds
from agentlab.checks import limits, scalars
from agentlab.checks.timesteps import EnvironmentCheck
from agentlab.environment import Environment
from agentlab.foreign.guard import Guarded
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.acting import HostPolicyActor
from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import LONGEST
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.registry import plugins
from agentlab.runs.composition import build_environment, evaluation_environment
from agentlab.runs.loading import load_run
from agentlab.spec import copied
from agentlab.system import screen
from agentlab.task import Task


@parts_guarded()
def play(run_dir: str | os.PathLike[str], episodes: int = 1, video: str | None = None, *, trust: bool = False) -> list[float]:
    """Plays whole episodes of a run's agent, in a window or into `video`, a GIF, and returns their returns.

    `trust` is as of `agentlab.resume`.

    Raises:
        UsageError: the environment has no pictures, there is no screen, or the file cannot be written.
    """
    episodes = scalars.whole(episodes, "The number of episodes", 1)
    if video is not None:
        _check_writable(video)
    task, seed, agent = load_run(run_dir, trust=trust)
    _check_drawable(task, "" if agent.spec.vocabulary is None else f" 'agentlab sample {run_dir}' shows what it writes.")
    if video is None:
        _check_screen(task)
    environment = _environment(task, "human" if video is None else "rgb_array")
    try:
        limit = task.evaluation.max_episode_steps or LONGEST
        returns, frames = _episodes(agent, environment, episodes, seed, limit, video is not None)
        if video is not None:
            _check_pictures(frames, environment.spec.name)
            _write_gif(video, [frame for frame, _ in frames])
    finally:
        environment.close()
    return returns


def _check_screen(task: Task) -> None:
    """Checks that there is a screen to open a window on.

    Raises:
        UsageError: there is none; or the environment has no pictures that could be written instead.
    """
    try:
        screen.check("write a GIF instead: --video FILE.gif")
    except errors.UsageError:
        _environment(task, "rgb_array").close()
        raise


def _check_drawable(task: Task, instead: str) -> None:
    """Checks that a task's environment is of a kind that can have pictures.

    Args:
        task: of the run.
        instead: what else can be done, as a sentence after a space, or nothing.

    Raises:
        UsageError: it isn't.
    """
    part = evaluation_environment(task)
    name = part.name
    cls = plugins.load("environment", part.reference)
    if not (isinstance(cls, type) and issubclass(cls, Environment)):
        raise errors.UsageError(
            f"Environment {name!r} has no pictures to show; play needs a run that is evaluated in a Gymnasium environment."
            f"{instead}"
        )


def _environment(task: Task, render_mode: str) -> Guarded:
    return build_environment(evaluation_environment(task), 1, render_mode=render_mode)  # type: ignore[return-value]


def _episodes(
    agent: Agent, environment: Guarded, episodes: int, seed: int, limit: int, filming: bool
) -> tuple[list[float], list[tuple[Any, bool]]]:
    """Returns the episodes' returns and, if `filming`, every second picture, and whether it is of more than one colour."""
    returns: list[float] = []
    frames: list[tuple[Any, bool]] = []
    statistics, steps = EpisodeStatistics.start(1), 0

    def look() -> None:
        picture = environment.render()
        if picture is not None and filming and steps % 2 == 0:
            frames.append((_as_frame(picture), bool((picture != picture[0, 0]).any())))

    actor, check = HostPolicyActor(agent.policy), EnvironmentCheck(environment.spec, 1)
    state = agent.policy.initial_state(1)
    with environment:
        timestep = check.begin(environment.reset(seeds.host_seed(seed, "play")))
        look()
        while len(returns) < episodes:
            decision = actor.decide(timestep.observation, state)
            timestep = check.take(environment.step(copied(decision.action)), decision.action)
            steps += 1
            look()
            ended = timestep.terminated | timestep.truncated
            overlong = not ended[0] and float(statistics.running_length[0]) + 1 >= limit
            statistics = statistics.reported().after(timestep.reward, ended | overlong)
            state = actor.restart(decision.next_state, timestep.begun | overlong)
            if ended[0] or overlong:
                returns.append(float(statistics.return_sum[0]))
            if overlong:
                _warn(f"An episode was cut off after {limit:,} steps, as evaluation.max_episode_steps says.")
                timestep = check.begin(environment.reset(seeds.host_seed(seed, f"play, from step {steps}")))
    return returns, frames


def _warn(sentence: str) -> None:
    warnings.warn(sentence, errors.RunWarning, stacklevel=3)


def _check_pictures(frames: list[tuple[Any, bool]], name: str) -> None:
    """Warns of pictures that show nothing.

    Raises:
        UsageError: there is no picture.
    """
    if not frames:
        raise errors.UsageError(f"The environment {name!r} returned no picture from its render, so there is nothing to write.")
    if any(drawn for _, drawn in frames):
        return
    driver = os.environ.get("SDL_VIDEODRIVER")
    remedy = f" SDL_VIDEODRIVER is {driver!r}, which some take as not to draw; 'offscreen' draws." if driver == "dummy" else ""
    _warn(f"Every picture of the environment {name!r} is of one colour all over: it drew nothing.{remedy}")


def _check_writable(video: str) -> None:
    limits.check_path(video)
    parent = pathlib.Path(video).resolve().parent
    if not video.endswith(".gif") or pathlib.Path(video).is_dir() or not os.access(parent, os.W_OK):
        raise _unwritable(video)
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise errors.UsageError("Writing a GIF needs Pillow; install it with: pip install 'agentlab[play]'.") from error


def _as_frame(picture: np.ndarray) -> Any:
    """Returns a picture as a GIF has it, which takes a sixth of the memory."""
    from PIL import Image

    return Image.fromarray(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)


def _write_gif(video: str, frames: list[Any]) -> None:
    try:
        frames[0].save(video, save_all=True, append_images=frames[1:], duration=40, loop=0)
    except OSError as error:
        raise _unwritable(video) from error


def _unwritable(video: str) -> errors.UsageError:
    return errors.UsageError(f"--video {video!r} can't be written; expected a FILE.gif in an existing, writable folder.")
