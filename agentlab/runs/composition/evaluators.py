"""The evaluator of a task."""

from __future__ import annotations

from agentlab.checks import scalars
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import Evaluator, Record, Show
from agentlab.runs.composition.environments import build_environment, evaluation_environment, on_host
from agentlab.seeds import stream
from agentlab.task import Task
from agentlab.tensors import model_footprint

# Environments side by side, at most. Ten times as many save an MLP 0.3 of the 0.5 s that MNIST's 10,000 take, a CNN nothing.
EVALUATION_ROWS = 100


@parts_guarded()
def build_evaluator(
    task: Task,
    seed: int,
    agent: Agent,
    episodes: int | None = None,
    show: Show = lambda *_: None,
    record: Record = lambda *_: None,
) -> Evaluator:
    """Returns the evaluator of an agent as the task says, with another number of `episodes` if given.

    Neither given, a finite data set is read through once, and other environments play 100 episodes.
    """
    seed = scalars.whole(seed, "The seed")
    part = evaluation_environment(task)
    chosen = task.evaluation.episodes if episodes is None else scalars.whole(episodes, "The number of episodes", 1)

    # No more rows than episodes: each plays at least one to its end.
    rows = min(chosen or EVALUATION_ROWS, EVALUATION_ROWS)
    model_footprint.check(next(iter(agent.parts.models.values()))[0], rows, "evaluation.episodes")
    built = build_environment(part, rows)
    count = chosen or built.spec.num_episodes or EVALUATION_ROWS
    environment = on_host(built, min(count, rows))

    # Draws come from a stream of their own, so that evaluating changes nothing in training.
    actor = agent.actor(agent.parts.evaluation_sampler, stream(seed, "evaluation"))
    try:
        limit = task.evaluation.max_episode_steps
        return Evaluator(environment, actor, count, seed, agent.trainer.score, limit, show, record)
    except BaseException:
        environment.close()
        raise
