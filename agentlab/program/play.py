"""Play: shows a trained agent in a window, or writes a GIF."""

from __future__ import annotations

import os
import pathlib
import warnings
from typing import Any

import attrs
import numpy as np

from agentlab import errors, seeds
from agentlab.checks import limits, scalars
from agentlab.checks.timesteps import EnvironmentCheck
from agentlab.foreign.guard import Guarded
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.acting import HostPolicyActor
from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import LONGEST
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.loop.turn import turn
from agentlab.runs.composition import build_drawing_environment, check_drawable
from agentlab.runs.loading import load_run
from agentlab.spec import copied
from agentlab.system import screen
from agentlab.task import Task
from agentlab.types import Nest, TimeStep


@parts_guarded()
def play(run_dir: str | os.PathLike[str], episodes: int = 1, video: str | None = None, *, trust: bool = False) -> list[float]:
    """Plays whole episodes of a run's agent, in a window or into `video`, a GIF, and returns their returns.

    `trust` is as of `agentlab.resume`.

    Raises:
        UsageError: the environment has no pictures, there is no screen, or the file cannot be written.
    """
    # Everything that can be refused is refused before the environment opens a window.
    episodes = scalars.whole(episodes, "The number of episodes", 1)
    if video is not None:
        _check_writable(video)
    task, seed, agent = load_run(run_dir, trust=trust)
    advice = "play needs a run that is evaluated in a Gymnasium environment"
    if agent.spec.vocabulary is not None:
        advice += f"; 'agentlab sample {run_dir}' shows what it writes"
    check_drawable(task, advice)
    if video is None:
        _check_screen(task, advice)
    environment = build_drawing_environment(task, "human" if video is None else "rgb_array", advice)
    try:
        limit = task.evaluation.max_episode_steps or LONGEST
        stage = Stage(environment, seed, limit, filming=video is not None)
        with environment:
            play_episodes(agent, stage, episodes)
        if video is not None:
            _check_pictures(stage.frames, environment.spec.name)
            _write_gif(video, [frame for frame, _ in stage.frames])
    finally:
        environment.close()
    return stage.returns


def _check_screen(task: Task, advice: str) -> None:
    """Checks that there is a screen to open a window on.

    Raises:
        UsageError: there is none; or the environment has no pictures that could be written instead.
    """
    try:
        screen.check("write a GIF instead: --video FILE.gif")
    except errors.UsageError:
        build_drawing_environment(task, "rgb_array", advice).close()
        raise


class Stage:
    """Plays episodes of one environment: looks at its pictures, adds up rewards, and cuts off what goes on for too long.

    Args:
        environment: of one row.
        seed: of its randomness.
        longest: steps of an episode.
        filming: whether to keep pictures.

    Attributes:
        returns: of the episodes that have ended.
        frames: every second picture, and whether it is of more than one colour.
    """

    def __init__(self, environment: Guarded, seed: int, longest: int, filming: bool) -> None:
        self.returns: list[float] = []
        self.frames: list[tuple[Any, bool]] = []
        self._environment, self._seed, self._longest, self._filming = environment, seed, longest, filming
        self._check = EnvironmentCheck(environment.spec, 1)
        self._statistics, self._steps = EpisodeStatistics.start(1), 0

    def reset(self) -> TimeStep:
        """Returns the time step that begins an episode."""
        stream = f"play, from step {self._steps}" if self._steps else "play"
        timestep = self._check.begin(self._environment.reset(seeds.host_seed(self._seed, stream)))
        if not self._steps:
            self._look()
        return timestep

    def step(self, nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
        """Returns the time step that actions `[1, *A]` led to."""
        timestep = self._check.take(self._environment.step(copied(action)), action)
        self._steps += 1
        self._look()
        if not timestep.ended[0] and float(self._statistics.running_length[0]) + 1 >= self._longest:
            _warn(f"An episode was cut off after {self._longest:,} steps, as evaluation.max_episode_steps says.")
            timestep = attrs.evolve(timestep, observation=self.reset().observation, truncated=np.ones(1, np.bool_))
        self._statistics = self._statistics.reported().after(timestep.reward, timestep.ended)
        if timestep.ended[0]:
            self.returns.append(float(self._statistics.return_sum[0]))
        return nothing, timestep

    def _look(self) -> None:
        picture = self._environment.render()
        if picture is not None and self._filming and self._steps % 2 == 0:
            self.frames.append((_as_frame(picture), bool((picture != picture[0, 0]).any())))


def play_episodes(agent: Agent, stage: Stage, episodes: int) -> None:
    """Plays so many episodes."""
    actor, state = HostPolicyActor(agent.policy), agent.policy.initial_state(1)
    observation = agent.policy.policy.perception.first(stage.reset().observation)
    while len(stage.returns) < episodes:
        _, timestep, state = turn(actor, stage.step, (), observation, state)
        observation = timestep.observation


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
