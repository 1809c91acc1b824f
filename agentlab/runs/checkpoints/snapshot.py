"""Snapshot: everything that a run's next step depends on, copied from the objects and restored into them."""

from __future__ import annotations

import math

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.loop.gear import Gear, Groups
from agentlab.runs.checkpoints.store import Checkpoint
from agentlab.system import arrays
from agentlab.system.files import UnreadableError, UnwritableError
from agentlab.system.ranges import CheckedFile, Range
from agentlab.tensors import variables
from agentlab.types import Tensor

SPARE_ROWS = 1_000  # that a memory may write beyond a row for each step and one for every twenty, as for frames


def take(agent: Agent, gear: Gear) -> Groups:
    """Returns the arrays by group and name: "agent", "memory", "loop" and, of one on the host, "environment".

    They are copies, which further training does not change. Taking them changes no number; steps that wait on the host are
    moved to the memory, as the next update would have done.
    """
    held = {name: group for name, group in gear.state().items() if group}
    own = {name: variables.copied(variable) for name, variable in agent.variables().items()}
    rings, written = agent.memory_variables(), agent.learner.memory.written_rows()
    counts = {name: written[name] if name in written else variables.used_rows(ring) for name, ring in rings.items()}
    remembered = {name: variables.copied_by_rows(ring, counts[name]) for name, ring in rings.items()}
    return {"agent": own, "memory": remembered, **held}


def check_room(agent: Agent, steps: int, free: int | None) -> None:
    """Checks that there is room for an agent and what a checkpoint copies of it, of its memory as much as so many steps fill.

    Args:
        agent: with its memory, which takes its room already.
        steps: that the run takes.
        free: bytes that were free before the agent was built; None if unknown.

    Raises:
        UsageError: there is not.
    """
    rings, own = agent.memory_variables(), sum(map(_num_bytes, agent.variables().values()))
    held = own + sum(map(_num_bytes, rings.values()))
    copied = own + sum(_num_bytes(ring, steps + steps // 20 + SPARE_ROWS) for ring in rings.values())
    if free is not None and held + copied > free:
        raise errors.UsageError(
            f"The agent and its memory take {held:,} bytes, and what a checkpoint copies up to {copied:,} more "
            f"({(held + copied) / 1e9:.1f} GB in all); only {free:,} ({free / 1e9:.1f} GB) are free. "
            f"Set a smaller {'memory.capacity' if rings else 'model'}."
        )


def _num_bytes(variable: Tensor, rows: int | None = None) -> int:
    """Returns the bytes of a variable, or of its first `rows`."""
    size = math.prod(variable.shape) * variable.dtype.size
    return size if rows is None or not variable.shape.rank else size * min(rows, variable.shape[0]) // max(variable.shape[0], 1)


def without_unused_rows(groups: Groups) -> Groups:
    """Returns the result of `take` with only those rows of the memory that have been written."""
    return {**groups, "memory": {name: arrays.without_zeros(ring) for name, ring in groups["memory"].items()}}


def put(checkpoint: Checkpoint, agent: Agent, gear: Gear) -> None:
    """Assigns what a checkpoint holds, once names, shapes and dtypes of all of it were found to be right.

    Raises:
        UnreadableError: something in it is not of this agent or gear, or a number is out of its range.
        EnvironmentFault: the environment can't be brought to where it was.
    """
    own, remembered, state = agent.variables(), agent.memory_variables(), gear.state()
    for group, held in {"agent": own, "memory": remembered, "loop": state["loop"]}.items():
        checkpoint.file(group).check(held, short=group == "memory")
    taken, limits = Range(checkpoint.step, checkpoint.step), gear.ranges()
    variables.assign(checkpoint.file("agent"), own, {**agent.ranges(), "steps": taken})
    variables.assign_by_rows(checkpoint.file("memory"), remembered, agent.learner.memory_ranges())
    loop = CheckedFile(checkpoint.file("loop"), limits["loop"])
    groups: Groups = {"loop": {name: loop.read(name, like) for name, like in state["loop"].items()}}
    if checkpoint.has("environment"):
        environment = checkpoint.file("environment")
        environment.check_rows(state.get("environment", {}), agent.num_environments)
        checked = CheckedFile(environment, limits["environment"])
        groups["environment"] = {name: checked.read(name, like) for name, like in environment.likes().items()}
    gear.restore(groups)


def restore_live(agent: Agent, checkpoint: Checkpoint, is_whole: bool = True) -> None:
    """Changes an agent's live settings to what they were when a checkpoint was taken.

    Args:
        agent: whose settings are.
        checkpoint: whose facts say so.
        is_whole: whether the agent is part of a run; alone, it lacks what an environment or an optimizer would have.

    Raises:
        UnreadableError: one is not live in this run, or has a value that it can't have.
    """
    for name, value in checkpoint.facts.get("live", {}).items():
        if is_whole or name in agent.live:
            try:
                agent.change(name, value)
            except errors.UsageError as error:
                raise UnreadableError(f"its manifest changes a live setting: {str(error).rstrip('.')}") from error


def check_writable(agent: Agent) -> None:
    """Checks that checkpoints can hold an agent's variables, having asked its parts all that a checkpoint will ask.

    Raises:
        UsageError: one is of a dtype that they can't hold.
    """
    agent.ranges(), agent.learner.memory_ranges(), agent.learner.memory.written_rows()
    try:
        arrays.header({**agent.variables(), **agent.memory_variables()})
    except UnwritableError as error:
        raise errors.UsageError(f"Checkpoints can't hold this agent: {error}. Choose another dtype.") from error
