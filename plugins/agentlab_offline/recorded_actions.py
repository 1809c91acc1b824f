"""What trainers of recorded actions share: the policy's distribution, and which environments they learn in."""

from __future__ import annotations

from agentlab import errors
from agentlab.distribution import Distribution, clipped_or_normal, distribution_of
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import Network


def policy_distribution(spec: EnvironmentSpec) -> Distribution:
    """Returns the distribution of a policy whose actions' likelihood is maximised: for numbers, normal within the bounds."""
    return distribution_of(spec.action, clipped_or_normal)


def policy_network(spec: EnvironmentSpec) -> Network:
    """Returns its network; the deviations of numbers are the same for every observation."""
    distribution = policy_distribution(spec)
    return Network(distribution.num_outputs, free_outputs=distribution.deviation_outputs)


def check_recorded(spec: EnvironmentSpec, algorithm: str) -> None:
    """Checks that an environment shows what somebody else did.

    Raises:
        UsageError: the agent acts itself.
    """
    if not spec.is_recorded:
        raise errors.UsageError(
            f"{algorithm} imitates what somebody else did; in environment {spec.name!r} the agent acts itself. Set "
            "environment.name=recorded and environment.data to a data set, such as 'agentlab collect' writes."
        )
