"""Prints which trainers learn in which environments, by trying. The table is in docs/supervised.md."""

from __future__ import annotations

import pathlib
import tempfile

import agentlab
from agentlab.task import Evaluation, Part, Task, part

ENVIRONMENTS = {
    "images": part("images", data="digits"),
    "identity": part("identity"),
    "regression": part(
        "regression", inputs=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], targets=[[1.0], [2.0], [3.0], [4.0]]
    ),
    "cartpole": part("cartpole"),
}
TRAINERS = {"supervised": part("supervised"), "dqn": part("dqn", learning_starts=0, update_period=4)}
MEMORIES = {"latest": part("latest"), "replay": part("replay", capacity=100, batch_size=8)}


def outcome(environment: Part, trainer: Part, memory: Part) -> str:
    """Returns "learns", or the reason for which the parts are refused, up to the remedy."""
    sampler = part("greedy")
    task = Task(
        "crossing", "", environment, part("mlp", hidden_units=(8,)), trainer, sampler, memory, 8, 4, 8,
        evaluation=Evaluation(sampler=sampler, episodes=4), execution="eager",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as runs:
        try:
            updates = agentlab.run(task, run_dir=pathlib.Path(runs) / "run").result["updates"]
        except agentlab.AgentlabError as error:
            return str(error).split(". ")[0]
    return "learns" if updates else "makes no update"


def table() -> str:
    """Returns a table in Markdown, a row per trainer and memory."""
    lines = [f"| trainer, memory | {' | '.join(ENVIRONMENTS)} |", "|---" * (1 + len(ENVIRONMENTS)) + "|"]
    for trainer in TRAINERS:
        for memory in MEMORIES:
            cells = [outcome(environment, TRAINERS[trainer], MEMORIES[memory]) for environment in ENVIRONMENTS.values()]
            lines.append(f"| {trainer}, {memory} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
