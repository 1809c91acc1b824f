"""Checks that metrics and weights are finite; a checkpoint with other numbers is never written."""

from __future__ import annotations

import numpy as np

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.loop.statistics import NonFinite
from agentlab.spec import leaves_of
from agentlab.tensors import variables

REMEDY = "Try a smaller trainer.learning_rate or set trainer.max_gradient_norm."


def check_learning(agent: Agent, step: int) -> None:
    """Looks at the metrics since the last report, and at every weight, when `step` is reached.

    Raises:
        TrainingFault: one is not finite.
    """
    learner = agent.learner
    try:
        learner.means.check()
    except NonFinite as error:
        before = int(learner.updates.numpy()) - learner.means.count()
        raise errors.TrainingFault(
            f"Learning became non-finite by step {step:,}: {error.name} is {error.value} "
            f"at update {before + error.update:,}. {REMEDY}"
        ) from error

    # A weight can be infinite before any loss is.
    for name, trained in learner.trainer.trained.items():
        for weight in (weight for model in trained.models for weight in model.variables):
            if not np.isfinite(variables.copied(weight.value)).all():
                clause = f"so is weight {weight.path} of network {name!r}"
                raise errors.TrainingFault(f"Learning became non-finite by step {step:,}: {clause}. {REMEDY}")


def check_unlimited_actions(agent: Agent, step: int) -> None:
    """As `check_learning`, where actions can grow without bound: if an environment fails on such actions, learning is at fault.

    Raises:
        TrainingFault: a metric or weight is not finite.
    """
    if any(leaf.limits is None for leaf in leaves_of(agent.spec.action).values()):
        check_learning(agent, step)
