"""Snapshot: everything a run's next step depends on, taken from the living objects and put back into them."""

from __future__ import annotations

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.loop.gears import Gear, Groups
from agentlab.runs.checkpoints import Checkpoint
from agentlab.system import arrays
from agentlab.system.files import UnwritableError
from agentlab.tensors import variables


def take(agent: Agent, gear: Gear) -> Groups:
    """Returns the arrays by group and name: "agent", "memory", "loop" and, of one on the host, "environment".

    They are copies, which going on does not change. Taking them changes no number; what waits on the host for the memory is
    handed over, as the next update would have done.
    """
    held = {name: group for name, group in gear.state().items() if group}
    own = {name: variables.copied(variable) for name, variable in agent.variables().items()}
    remembered = {name: variables.copied_by_rows(ring) for name, ring in agent.memory_variables().items()}
    return {"agent": own, "memory": remembered, **held}


def without_unused_rows(groups: Groups) -> Groups:
    """Returns what `take` returned, of the memory only the rows that something was written to."""
    return {**groups, "memory": {name: arrays.without_zeros(ring) for name, ring in groups["memory"].items()}}


def put(checkpoint: Checkpoint, agent: Agent, gear: Gear) -> None:
    """Assigns what a checkpoint holds, once names, shapes and dtypes of all of it were found to be right.

    Raises:
        UnreadableError: something in it is not of this agent or gear.
        EnvironmentFault: the environment can't be brought to where it was.
    """
    own, remembered, state = agent.variables(), agent.memory_variables(), gear.state()
    for group, held in {"agent": own, "memory": remembered, "loop": state["loop"]}.items():
        checkpoint.file(group).check(held, short=group == "memory")
    variables.assign(checkpoint.file("agent"), own)
    variables.assign_by_rows(checkpoint.file("memory"), remembered)
    groups: Groups = {"loop": {name: checkpoint.file("loop").read(name, like) for name, like in state["loop"].items()}}
    if checkpoint.has("environment"):
        checkpoint.file("environment").check_rows(state.get("environment", {}), agent.num_environments)
        groups["environment"] = checkpoint.file("environment").read_all()
    gear.restore(groups)


def check_writable(agent: Agent) -> None:
    """Checks that checkpoints can hold an agent's variables.

    Raises:
        UsageError: one is of a dtype that they can't hold.
    """
    try:
        arrays.header({**agent.variables(), **agent.memory_variables()})
    except UnwritableError as error:
        raise errors.UsageError(f"Checkpoints can't hold this agent: {error}. Choose another dtype.") from error
