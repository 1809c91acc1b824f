"""The commands of the program that have no function of their own elsewhere, as functions of the package, by the same names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agentlab.program import listing

if TYPE_CHECKING:
    from agentlab.reports import Comparison


def sample(
    run: str | os.PathLike[str],
    length: int = 400,
    prompt: str = "",
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    num: int = 1,
    trust: bool = False,
) -> list[str]:
    """Returns `num` texts that the agent of a run writes, without the prompt.

    Args:
        run: its directory, or a finished run.
        length: of each text, in characters.
        prompt: as of `Agent.generate`, like the rest.
        temperature: 0 is greedy, 1 is the model's own, higher is more varied.
        top_k: draw among the k most probable characters.
        top_p: draw from the most probable ones that make up this probability.
        seed: determines the texts.
        num: how many, written side by side.
        trust: as of `agentlab.resume`.

    Raises:
        UsageError: the run was not trained on text, or an argument is out of its range.
    """
    from agentlab.runs.loading import load

    agent = load(run, trust=trust)
    return agent.generate(length, prompt, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, num=num)


def report(
    runs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    score: str | None = None,
    group_by: Iterable[str] = (),
    tags: Iterable[str] = (),
) -> Comparison:
    """Compares finished runs over their seeds; a group is one of its `rows`. Imports no TensorFlow.

    Args:
        runs: directories of runs, or folders of runs.
        output: the file of a page with the table and its pictures; None writes none.
        score: the number of result.json to compare; by default bits per character, accuracy or mean return.
        group_by: settings to group runs by; by default all in which the runs of a task differ.
        tags: that runs must have, all of them.

    Raises:
        UsageError: there are no runs, or the page can't be written.
    """
    from agentlab.program.commands.report import write_page
    from agentlab.reports import collect, compare

    # One run, or several.
    names = [os.fspath(run) for run in ([runs] if isinstance(runs, (str, os.PathLike)) else runs)]
    comparison = compare(collect(names, tags), score, [*group_by])
    if output is not None:
        write_page(comparison, names, os.fspath(output))
    return comparison


def info(name: str) -> str:
    """Returns what a task or part is, where it comes from and its settings, read from its source text.

    Args:
        name: of a task or part, PACKAGE:NAME, or of a package.

    Raises:
        PluginError: nothing has this name, or a task can't be loaded.
    """
    return listing.describe(name)


def list_parts(kind: str | None = None) -> list[dict[str, Any]]:
    """Returns installed tasks and parts, a row each: kind, name, package, version, summary and problem; `agentlab.list`.

    Args:
        kind: of parts, such as "task"; None for all.

    Raises:
        UsageError: there is no such kind.
    """
    return listing.rows(kind)
