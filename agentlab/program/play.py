"""Play: shows a trained agent in a window, in a video or in print."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from agentlab import errors, seeds
from agentlab.checks import scalars
from agentlab.checks.timesteps import EnvironmentCheck
from agentlab.foreign.guard import Guarded
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.acting import HostPolicyActor
from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import LONGEST
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.loop.turn import turn
from agentlab.program.films import Film, Printed, film_class
from agentlab.program.sample import LENGTH, write
from agentlab.runs.composition import build_drawing_environment, check_pictures, evaluation_environment, part_class
from agentlab.runs.loading import load_run
from agentlab.spec import copied
from agentlab.system import screen
from agentlab.task import Task
from agentlab.types import Nest, TimeStep

FRAME_SECONDS = 0.04  # that each picture is shown; every second step has one
SAMPLE_SECONDS = 1.0  # of a data set, whose every sample has a picture


@parts_guarded()
def play(
    run_dir: str | os.PathLike[str],
    episodes: int = 1,
    video: str | None = None,
    *,
    trust: bool = False,
    changes: dict[str, Any] | None = None,
) -> list[float]:
    """Plays whole episodes of a run's agent, in a window or into `video`, and returns their returns.

    Samples of a data set are printed where there is no `video`. An agent trained on text writes some instead; there are no
    returns then.

    Args:
        run_dir: of the run.
        episodes: how many; of a data set, samples.
        video: a file, FILE.gif or FILE.mp4; None for a window.
        trust: as of `agentlab.resume`.
        changes: to the task, as nested tables: `{"evaluation": {"sampler": {"name": "stochastic"}}}`.

    Raises:
        UsageError: a change is wrong, the environment has no pictures, there is no screen, or the file cannot be written.
    """
    # Everything that can be refused is refused before the environment opens a window.
    episodes = scalars.whole(episodes, "The number of episodes", 1)
    make_film = None if video is None else functools.partial(film_class(video), video)
    task, seed, agent = load_run(run_dir, trust=trust, changes=changes)
    if agent.spec.vocabulary is not None and video is None:
        write(run_dir, LENGTH, [1.0], sys.stdout, trust=trust)
        return []
    film = _film(task, agent, make_film)
    if film is None:
        _check_screen(task)
    environment = build_drawing_environment(task, "human" if film is None else "rgb_array")
    try:
        limit = task.evaluation.max_episode_steps or LONGEST
        stage = Stage(environment, seed, limit, film)
        with environment:
            play_episodes(agent, stage, episodes)
        if film is not None:
            _check_film(film, environment.spec.name)
            film.close()
    finally:
        environment.close()
    return stage.returns


def _film(task: Task, agent: Agent, make_film: Callable[[float], Film] | None) -> Film | None:
    """Returns where pictures go; None for a window of the environment's own.

    Args:
        task: of the run.
        agent: that plays.
        make_film: makes the film of a file from the seconds of a picture; None where no file is to be written.

    Raises:
        UsageError: the environment has no pictures, or no window and there is no file to write.
    """
    part = evaluation_environment(task)
    cls = part_class("environment", part)
    is_data = agent.spec.target is not None
    check_pictures(task, _instead(agent))
    if make_film is not None:
        return make_film(SAMPLE_SECONDS if is_data else FRAME_SECONDS)
    if cls.on_device and not is_data:
        raise errors.UsageError(f"Environment {part.name!r} opens no window; write a video instead: --video FILE.gif.")
    return Printed("", 0.0) if cls.on_device else None


def _instead(agent: Agent) -> str:
    """Returns what shows an agent of an environment without pictures."""
    return "Its text is printed without --video." if agent.spec.vocabulary else "'agentlab evaluate' says how well it acts."


def _check_screen(task: Task) -> None:
    """Checks that there is a screen to open a window on.

    Raises:
        UsageError: there is none; or the environment has no pictures that could be written instead.
    """
    try:
        screen.check("write a video instead: --video FILE.gif")
    except errors.UsageError:
        build_drawing_environment(task, "rgb_array").close()
        raise


class Stage:
    """Plays episodes of one environment: looks at its pictures, adds up rewards, and cuts off what goes on for too long.

    Args:
        environment: of one row.
        seed: of its randomness.
        longest: steps of an episode.
        film: takes the pictures; None where a window shows them.

    Attributes:
        returns: of the episodes that have ended.
    """

    def __init__(self, environment: Guarded, seed: int, longest: int, film: Film | None) -> None:
        self.returns: list[float] = []
        self._environment, self._seed, self._longest, self._film = environment, seed, longest, film
        self._check = EnvironmentCheck(environment.spec, 1)
        self._statistics, self._steps = EpisodeStatistics.start(1), 0
        self._text = ""

    def reset(self) -> TimeStep:
        """Returns the time step that begins an episode."""
        stream = f"play, from step {self._steps}" if self._steps else "play"
        return self._check.begin(self._environment.reset(seeds.host_seed(self._seed, stream)))

    def step(self, nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
        """Returns the time step that actions `[1, *A]` led to."""
        picture = self._environment.render()  # of what the agent acts on
        timestep = self._check.take(self._environment.step(copied(action)), action)
        self._steps += 1
        self._show(picture, action, timestep)

        # An episode that doesn't end by itself is cut off.
        if not timestep.ended[0] and float(self._statistics.running_length[0]) + 1 >= self._longest:
            _warn(f"An episode was cut off after {self._longest:,} steps, as evaluation.max_episode_steps says.")
            timestep = attrs.evolve(timestep, observation=self.reset().observation, truncated=np.ones(1, np.bool_))
        self._statistics = self._statistics.reported().after(timestep.reward, timestep.ended)
        if timestep.ended[0]:
            self.returns.append(float(self._statistics.return_sum[0]))
        return nothing, timestep

    def _show(self, picture: np.ndarray | None, action: Nest, timestep: TimeStep) -> None:
        """Films a picture with the figures of the step that followed; of a data set every one, elsewhere every second."""
        if timestep.acted[0]:
            length, total = self._statistics.running_length[0] + 1, self._statistics.running_return[0] + timestep.reward[0]
            figures = f"step {length:g}   reward {timestep.reward[0]:g}   return {total:g}"
            is_answer = not isinstance(timestep.target, tuple)
            self._text = f"answer {action[0]}, right answer {timestep.target[0]}" if is_answer else figures
        if picture is not None and self._film is not None and (self._steps % 2 or self._environment.spec.target is not None):
            self._film.add(picture, self._text)


def play_episodes(agent: Agent, stage: Stage, episodes: int) -> None:
    """Plays so many episodes."""
    actor, state = HostPolicyActor(agent.policy), agent.policy.initial_state(1)
    observation = agent.policy.policy.perception.first(stage.reset().observation)
    while len(stage.returns) < episodes:
        _, timestep, state = turn(actor, stage.step, (), observation, state)
        observation = timestep.observation


def _warn(sentence: str) -> None:
    warnings.warn(sentence, errors.RunWarning, stacklevel=3)


def _check_film(film: Film, name: str) -> None:
    """Warns of pictures that show nothing.

    Raises:
        UsageError: there is no picture.
    """
    if not film.num_pictures:
        raise errors.UsageError(f"The environment {name!r} returned no picture from its render, so there is nothing to write.")
    if film.is_drawn:
        return
    driver = os.environ.get("SDL_VIDEODRIVER")
    remedy = f" SDL_VIDEODRIVER is {driver!r}, which some take as not to draw; 'offscreen' draws." if driver == "dummy" else ""
    _warn(f"Every picture of the environment {name!r} is of one colour all over: it drew nothing.{remedy}")
