"""What a run shows of its evaluations besides figures: an episode as pictures, or a text."""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np

from agentlab import errors
from agentlab.environment import Environment
from agentlab.foreign.guard import Guarded
from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import LONGEST, Evaluator
from agentlab.loop.text_generation import Writer
from agentlab.runs.composition.environments import build_environment, evaluation_environment
from agentlab.runs.composition.parts import part_class
from agentlab.sampler import Temperature
from agentlab.seeds import stream
from agentlab.task import Task
from agentlab.tracker import Media
from agentlab.types import Decision, TimeStep

TEXT_LENGTH = 400  # characters
MOST_FRAMES = 64  # of an episode, evenly spaced: an episode of Atari's would take gigabytes


class Showcase(abc.ABC):
    """Makes media of what an agent does now."""

    @abc.abstractmethod
    def media(self, stop: Callable[[], bool]) -> dict[str, Media]:
        """Returns media by name; the same agent gives the same ones.

        Args:
            stop: asked before each step of an episode.

        Raises:
            Interrupted: `stop` returned True.
            EnvironmentFault: the environment failed, or drew nothing.
        """

    def close(self) -> None:  # noqa: B027 - texts have nothing to release
        """Releases an environment. By default does nothing."""


class NoShowcase(Showcase):
    """Shows nothing."""

    def media(self, stop: Callable[[], bool]) -> dict[str, Media]:
        return {}


class TextShowcase(Showcase):
    """Shows a text that the agent writes, at temperature 1.

    Args:
        agent: trained on text.
        seed: of the run.

    Raises:
        UsageError: its model carries no state from character to character.
    """

    def __init__(self, agent: Agent, seed: int) -> None:
        self._writer = Writer(agent.model, agent.distribution, agent.spec, Temperature(), 1, seed, agent.execution)

    def media(self, stop: Callable[[], bool]) -> dict[str, Media]:
        numbers = np.concatenate(list(self._writer.write(TEXT_LENGTH)), axis=1)
        return {"evaluation/text": self._writer.vocabulary.decode(numbers[0])}


class EpisodeShowcase(Showcase):
    """Shows frames of an episode.

    Args:
        environment: of one row, that draws pictures; closed by `close`.
        agent: acts.
        seed: of the run.
        longest: steps of an episode.
    """

    def __init__(self, environment: Environment, agent: Agent, seed: int, longest: int) -> None:
        actor = agent.actor(agent.parts.evaluation_sampler, stream(seed, "showcase"))
        self._film = Film(environment)
        self._evaluator = Evaluator(environment, actor, 1, seed, max_episode_steps=longest, record=self._film.record)

    def media(self, stop: Callable[[], bool]) -> dict[str, Media]:
        self._film.begin()
        self._evaluator.run("showcase", stop)
        return {"evaluation/episode": self._film.frames()}

    def close(self) -> None:
        self._evaluator.close()


class Film:
    """Frames of an episode, evenly spaced: of a longer one fewer of every second.

    Args:
        environment: of one row, that draws pictures.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.begin()

    def begin(self) -> None:
        """Begins an episode."""
        self._frames: list[np.ndarray] = []
        self._step, self._stride = 0, 1

    def record(self, _decision: Decision, _timestep: TimeStep, _rows: np.ndarray, ended: np.ndarray) -> None:
        """Looks at what a step led to; after an end, that is the next episode's beginning."""
        if self._step % self._stride == 0 and not ended[0]:
            picture = self._environment.render()
            if picture is not None:
                self._frames.append(np.array(picture))
        self._step += 1
        if len(self._frames) >= 2 * MOST_FRAMES:
            self._frames, self._stride = self._frames[::2], 2 * self._stride

    def frames(self) -> np.ndarray:
        """Returns the frames `[T, height, width, 3]` uint8.

        Raises:
            EnvironmentFault: there is none.
        """
        if not self._frames:
            raise errors.EnvironmentFault(
                f"The environment {self._environment.spec.name!r} returned no picture from its render in an episode of "
                f"{self._step:,} steps. Set evaluation.media_period to 0."
            )
        return np.stack(self._frames)


def build_showcase(task: Task, seed: int, agent: Agent) -> Showcase:
    """Returns what makes media of a task's agent: texts where it writes, else pictures of its evaluation environment.

    Raises:
        UsageError: media are asked for, but there are none.
    """
    if not task.evaluation.media_period:
        return NoShowcase()
    if agent.spec.vocabulary is not None:
        return TextShowcase(agent, seed)
    advice = "set evaluation.media_period to 0, or evaluate in a Gymnasium environment"
    environment = build_drawing_environment(task, "rgb_array", advice)
    try:
        return EpisodeShowcase(environment, agent, seed, task.evaluation.max_episode_steps or LONGEST)
    except BaseException:
        environment.close()
        raise


def build_drawing_environment(task: Task, render_mode: str, advice: str) -> Guarded:
    """Returns the environment that a task is evaluated in, of one row, which draws pictures.

    Args:
        task: of the run.
        render_mode: "rgb_array", or "human" for a window.
        advice: what can be done where there are no pictures, as the end of a sentence.

    Raises:
        UsageError: it is of a kind that has none, or it has none.
    """
    check_drawable(task, advice)
    return build_environment(evaluation_environment(task), 1, render_mode=render_mode)  # type: ignore[return-value]


def check_drawable(task: Task, advice: str) -> None:
    """Raises UsageError if the environment that a task is evaluated in is of a kind that has no pictures."""
    part = evaluation_environment(task)
    if part_class("environment", part).on_device:
        raise errors.UsageError(f"Environment {part.name!r} has no pictures to show; {advice}.")
