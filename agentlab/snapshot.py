"""Snapshot: everything a run's next step depends on, taken from the living objects and put back into them."""

from __future__ import annotations

import math

from agentlab import arrays, errors, variables
from agentlab.agent import Agent
from agentlab.checkpoint import Checkpoint
from agentlab.files import UnwritableError
from agentlab.gears import Gear, Groups

SPARE_ROWS = 1_000  # that a memory may write beyond a row for each step and one for every twenty, as for frames


def take(agent: Agent, gear: Gear) -> Groups:
    """Returns the arrays by group and name: "agent", "memory", "loop" and, of one on the host, "environment".

    They are copies, which going on does not change. Taking them changes no number; what waits on the host for the memory is
    handed over, as the next update would have done.
    """
    held = {name: group for name, group in gear.state().items() if group}
    own = {name: variables.copied(variable) for name, variable in agent.variables().items()}
    rings, written = agent.memory_variables(), agent.learner.written_rows()
    counts = {name: written[name] if name in written else variables.used_rows(ring) for name, ring in rings.items()}
    remembered = {name: variables.copied_by_rows(ring, counts[name]) for name, ring in rings.items()}
    return {"agent": own, "memory": remembered, **held}


def check_room(agent: Agent, steps: int, free: int | None) -> None:
    """Checks that there is room for an agent and what a checkpoint copies of it, of its memory as much as so many steps fill.

    Args:
        agent: with its memory, which takes its room already.
        steps: that the run takes.
        free: bytes that were free before the agent was built; None if that can't be told.

    Raises:
        UsageError: there is not.
    """
    rings = agent.memory_variables()
    most = steps + steps // 20 + SPARE_ROWS
    held = sum(math.prod(ring.shape) * ring.dtype.size for ring in rings.values())
    rows = {name: math.prod(ring.shape[1:]) * ring.dtype.size for name, ring in rings.items() if ring.shape.rank}
    own = sum(math.prod(variable.shape) * variable.dtype.size for variable in agent.variables().values())
    copied = own + sum(size * min(rings[name].shape[0], most) for name, size in rows.items())
    if free is not None and held + copied > free:
        raise errors.UsageError(
            f"The memory takes {held:,} bytes, and what a checkpoint copies up to {copied:,} more ({(held + copied) / 1e9:.1f} GB "
            f"in all); only {free:,} ({free / 1e9:.1f} GB) are free. Set a smaller memory.capacity."
        )


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
