"""Snapshot: everything a run's next step depends on, taken from the living objects and put back into them."""

from __future__ import annotations

from agentlab.loop.agent import Agent
from agentlab.loop.gears import Gear, Groups
from agentlab.runs.checkpoints import Checkpoint
from agentlab.system import arrays
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
    own, remembered, loop = agent.variables(), agent.memory_variables(), gear.state()["loop"]
    for group, named in {"agent": own, "memory": remembered, "loop": loop}.items():
        arrays.check(checkpoint.file(group), named)
    variables.assign(checkpoint.file("agent"), own)
    variables.assign_by_rows(checkpoint.file("memory"), remembered)
    file = checkpoint.file("loop")
    held: Groups = {"loop": {name: arrays.read_one(file, name, array) for name, array in loop.items()}}
    if checkpoint.has("environment"):
        held["environment"] = arrays.read_all(checkpoint.file("environment"))
    gear.restore(held)
