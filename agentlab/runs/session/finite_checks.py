"""Checks that metrics and weights are finite; a checkpoint with other numbers is never written."""

from __future__ import annotations

import numpy as np

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.loop.learner import Learner
from agentlab.loop.statistics import NonFinite
from agentlab.spec import leaves_of
from agentlab.tensors import variables

REMEDY = "Try a smaller trainer.learning_rate or set trainer.max_gradient_norm."


def check_learning(agent: Agent, step: int) -> None:
    """Looks at the metrics since the last report, and at every weight, when `step` is reached.

    Raises:
        TrainingFault: one is not finite.
    """
    # A weight can be infinite before any loss is, and a metric can be of several networks.
    clauses = [*_wrong_metrics(agent.learner), *_wrong_weights(agent.learner)]
    if clauses:
        raise errors.TrainingFault(f"Learning became non-finite by step {step:,}: {', and '.join(clauses)}. {REMEDY}")


def _wrong_metrics(learner: Learner) -> list[str]:
    """Returns a clause about the first metric that was not finite, if one was."""
    try:
        learner.means.check()
    except NonFinite as error:
        before = int(learner.updates.numpy()) - learner.means.count()
        return [f"{error.name} is {error.value} at update {before + error.update:,}"]
    return []


def _wrong_weights(learner: Learner) -> list[str]:
    """Returns a clause about each network that has weights that are not finite."""
    clauses = []
    for name, trained in learner.trainer.trained.items():
        weights = [weight for model in trained.models for weight in model.variables]
        wrong = [weight.path for weight in weights if not np.isfinite(variables.copied(weight.value)).all()]
        if wrong:
            share = f"{len(wrong)} of {len(weights)}, {wrong[0]} first"
            clauses.append(f"weights of network {name!r} are not finite ({share})")
    return clauses


def check_unlimited_actions(agent: Agent, step: int) -> None:
    """As `check_learning`, where actions can grow without bound: if an environment fails on such actions, learning is at fault.

    Raises:
        TrainingFault: a metric or weight is not finite.
    """
    if any(leaf.limits is None for leaf in leaves_of(agent.spec.action).values()):
        check_learning(agent, step)
