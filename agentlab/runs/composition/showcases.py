"""What a run shows of its evaluations besides figures: an episode as pictures, or a text."""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np

from agentlab import errors
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.foreign.guard import Guarded, guarded
from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import LONGEST, Evaluator
from agentlab.loop.text_generation import Writer
from agentlab.runs.composition.environments import build_environment, evaluation_environment, on_host
from agentlab.runs.composition.parts import part_class
from agentlab.sampler import Temperature
from agentlab.seeds import stream
from agentlab.spec import EnvironmentSpec
from agentlab.task import Task
from agentlab.tracker import Media
from agentlab.types import TimeStep

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
        self._film = FilmedEnvironment(environment)
        self._evaluator = Evaluator(self._film, actor, 1, seed, max_episode_steps=longest)

    def media(self, stop: Callable[[], bool]) -> dict[str, Media]:
        self._evaluator.run("showcase", stop)
        return {"evaluation/episode": self._film.frames()}

    def close(self) -> None:
        self._evaluator.close()


class FilmedEnvironment(Environment):
    """An environment that keeps frames of an episode, evenly spaced: of a longer one fewer of every second.

    Args:
        environment: of one row, that draws pictures.
    """

    def __init__(self, environment: Environment) -> None:
        self._inner, self.num_environments = environment, 1

    @property
    def spec(self) -> EnvironmentSpec:
        return self._inner.spec

    def reset(self, seed: int) -> TimeStep:
        timestep = self._inner.reset(seed)
        self._frames: list[np.ndarray] = []
        self._step, self._stride = 0, 1
        self._look()
        return timestep

    def step(self, action: np.ndarray) -> TimeStep:
        timestep = self._inner.step(action)
        self._step += 1
        if not timestep.ended[0]:  # after an end, there is the next episode's beginning to see
            self._look()
        return timestep

    def _look(self) -> None:
        picture = self._inner.render() if self._step % self._stride == 0 else None
        if picture is not None:
            self._frames.append(np.array(picture))
        if len(self._frames) >= 2 * MOST_FRAMES:
            self._frames, self._stride = self._frames[::2], 2 * self._stride

    def frames(self) -> np.ndarray:
        """Returns the frames `[T, height, width, 3]` uint8.

        Raises:
            EnvironmentFault: there is none.
        """
        if not self._frames:
            raise errors.EnvironmentFault(
                f"The environment {self.spec.name!r} returned no picture from its render in an episode of "
                f"{self._step:,} steps. Set evaluation.media_period to 0."
            )
        return np.stack(self._frames)

    def close(self) -> None:
        self._inner.close()


def build_showcase(task: Task, seed: int, agent: Agent) -> Showcase:
    """Returns what makes media of a task's agent: texts where it writes, else pictures of its evaluation environment.

    Raises:
        UsageError: media are asked for, but there are none.
    """
    if not task.evaluation.media_period:
        return NoShowcase()
    if agent.spec.vocabulary is not None:
        return TextShowcase(agent, seed)
    check_pictures(task, "Evaluate in such a one, or set evaluation.media_period to 0.")
    environment = build_drawing_environment(task, "rgb_array")
    try:
        return EpisodeShowcase(environment, agent, seed, task.evaluation.max_episode_steps or LONGEST)
    except BaseException:
        environment.close()
        raise


def has_pictures(task: Task) -> bool:
    """Returns whether the environment that a task is judged in may have pictures."""
    cls = part_class("environment", evaluation_environment(task))
    return not cls.on_device or cls.picture is not DeviceEnvironment.picture


def check_pictures(task: Task, remedy: str) -> None:
    """Checks that the environment that a task is judged in may have pictures.

    Args:
        task: of the run.
        remedy: what to do, a sentence.

    Raises:
        UsageError: it has none.
    """
    if not has_pictures(task):
        raise errors.UsageError(
            f"Environment {evaluation_environment(task).name!r} has no pictures to show; environments of Gymnasium have "
            f"some, and those with a `picture`. {remedy}"
        )


def build_drawing_environment(task: Task, render_mode: str) -> Guarded:
    """Returns the environment that a task is judged in, of one row, which draws pictures.

    Args:
        task: of the run.
        render_mode: "rgb_array", or "human" for a window of a host environment.

    Raises:
        UsageError: it draws none.
    """
    return guarded(on_host(build_environment(evaluation_environment(task), 1, render_mode=render_mode), 1))
