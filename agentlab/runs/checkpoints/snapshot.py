"""Snapshot: everything that a run's next step depends on, copied from the objects and restored into them."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.loop.gear import Gear
from agentlab.loop.gear import Groups as Arrays
from agentlab.runs.checkpoints import cutting
from agentlab.runs.checkpoints.cutting import CutArray
from agentlab.runs.checkpoints.store import CUT_GROUP, Checkpoint, Groups
from agentlab.system import arrays
from agentlab.system.array_rows import without_zeros
from agentlab.system.files import UnreadableError, UnwritableError
from agentlab.system.ranges import CheckedFile, Range
from agentlab.tensors import variables
from agentlab.types import Tensor

NOTHING_EARLIER: Mapping[str, CutArray] = types.MappingProxyType({})
SPARE_ROWS = 1_000  # that a memory may write beyond a row for each step and one for every twenty, as for frames


def take(agent: Agent, gear: Gear, earlier: Mapping[str, CutArray] = NOTHING_EARLIER) -> Groups:
    """Returns the arrays by group and name: "agent", "memory", "loop" and, of one on the host, "environment".

    They are copies, which further training does not change. Taking them changes no number; steps that wait on the host are
    moved to the memory, as the next update would have done.

    Args:
        agent: of the run.
        gear: that runs it.
        earlier: large arrays of the memory in an earlier state, by name, whose blocks are stored: those that have not
            changed since are named and not copied.
    """
    held = {name: group for name, group in gear.state().items() if group}
    own = {name: variables.copied(variable) for name, variable in agent.variables().items()}
    rings, appended = agent.memory_variables(), agent.learner.memory.appended_rows()
    remembered = {name: copied_ring(ring, appended.get(name), earlier.get(name)) for name, ring in rings.items()}
    return {"agent": own, "memory": remembered, **held}


def copied_ring(ring: tf.Variable, appended: int | None, before: CutArray | None) -> np.ndarray | CutArray:
    """Returns a copy of what was written to a variable of a memory.

    If it is known what was appended to it, a large one comes in blocks, of which those that are stored are only named.

    Args:
        ring: the variable.
        appended: how many rows have been, see `agentlab.memory.Memory.appended_rows`; None if that is unknown.
        before: an earlier state of it, whose blocks are stored; None if there is none.
    """
    if appended is None or not ring.shape.rank:
        return variables.copied_by_rows(ring, variables.used_rows(ring))
    rows = ring.shape[0]
    shape = (min(appended, rows), *ring.shape[1:])
    cut = CutArray(np.dtype(ring.dtype.as_numpy_dtype), shape, appended=appended)
    if cut.num_bytes <= cutting.BLOCK_BYTES:
        return variables.copied_by_rows(ring, shape[0])
    stored = before.unchanged(cut, rows) if before is not None else {}
    cut.blocks = [
        stored[number] if number in stored else variables.copied_bytes(ring, *cut.bounds(number))
        for number in range(cut.num_blocks)
    ]
    return cut


def check_room(agent: Agent, steps: int, period: int, free: int | None) -> None:
    """Checks that there is room for an agent and what a checkpoint copies of it.

    Of its memory that is as much as so many steps fill, or a period, where it says which rows were appended.

    Args:
        agent: with its memory, which takes its room already.
        steps: that the run takes.
        period: steps from one checkpoint to the next; 0 if there is one at the end only.
        free: bytes that were free before the agent was built; None if unknown.

    Raises:
        UsageError: there is not.
    """
    rings, own = agent.memory_variables(), sum(map(_num_bytes, agent.variables().values()))
    held = own + sum(map(_num_bytes, rings.values()))
    appended = agent.learner.memory.appended_rows()
    counts = {name: period if period and name in appended else steps for name in rings}
    copied = own + sum(_num_bytes(ring, counts[name] + counts[name] // 20 + SPARE_ROWS) for name, ring in rings.items())
    if free is not None and held + copied > free:
        raise errors.UsageError(
            f"The agent and its memory take {held:,} bytes, and what a checkpoint copies up to {copied:,} more "
            f"({(held + copied) / 1e9:.1f} GB in all); only {free:,} ({free / 1e9:.1f} GB) are free. "
            f"Set a smaller {'memory.capacity or checkpoint_period' if rings else 'model'}."
        )


def _num_bytes(variable: Tensor, rows: int | None = None) -> int:
    """Returns the bytes of a variable, or of its first `rows`."""
    size = math.prod(variable.shape) * variable.dtype.size
    return size if rows is None or not variable.shape.rank else size * min(rows, variable.shape[0]) // max(variable.shape[0], 1)


def without_unused_rows(groups: Groups) -> Groups:
    """Returns the result of `take` with only those rows of the memory that have been written, its large arrays in blocks."""
    remembered = {
        name: ring if isinstance(ring, CutArray) else cutting.cut_if_large(without_zeros(ring))
        for name, ring in groups[CUT_GROUP].items()
    }
    return {**groups, CUT_GROUP: remembered}


def put(checkpoint: Checkpoint, agent: Agent, gear: Gear) -> dict[str, CutArray]:
    """Assigns what a checkpoint holds, once names, shapes and dtypes of all of it were found to be right.

    Returns:
        The large arrays of the memory, by name, as `take` wants them for the next checkpoint.

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
    appended = agent.learner.memory.appended_rows()
    restored = {name: attrs.evolve(cut, appended=appended[name]) for name, cut in checkpoint.cut.items() if name in appended}

    # The loop, and on the host the environments.
    loop = CheckedFile(checkpoint.file("loop"), limits["loop"])
    groups: Arrays = {"loop": {name: loop.read(name, like) for name, like in state["loop"].items()}}
    if checkpoint.has("environment"):
        environment = checkpoint.file("environment")
        environment.check_rows(state.get("environment", {}), agent.num_environments)
        checked = CheckedFile(environment, limits["environment"])
        groups["environment"] = {name: checked.read(name, like) for name, like in environment.likes().items()}
    gear.restore(groups)
    return restored


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
    agent.ranges(), agent.learner.memory_ranges(), agent.learner.memory.appended_rows()
    try:
        arrays.header({**agent.variables(), **agent.memory_variables()})
    except UnwritableError as error:
        raise errors.UsageError(f"Checkpoints can't hold this agent: {error}. Choose another dtype.") from error
