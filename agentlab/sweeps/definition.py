"""What a sweep file says: a task, seeds, and a grid of settings or a search."""

from __future__ import annotations

import itertools
import math
from typing import Any

import attrs

from agentlab import errors
from agentlab.checks import limits
from agentlab.configuration import merged
from agentlab.runs.files.provenance import checked_tags
from agentlab.sweeps.searches.objective import DEFAULT, Objective
from agentlab.sweeps.searches.space import Dimension, parse_space
from agentlab.sweeps.tables import Table

MOST_AT_A_TIME = 1_000  # trials that are suggested before the first is made
DEFAULT_STORAGE = "journal"  # a file in the sweep's own directory
KEYS = ("name", "task", "seeds", "score", "tags", "changes", "grid", "search")
SEARCH_KEYS = (
    "space", "trials", "timeout", "batch", "seed", "sampler", "pruner", "storage", "objective", "direction", "best",
    "best_seeds",
)  # fmt: skip
MOST_TRIALS = 10_000


@attrs.frozen
class Search:
    """A search by Optuna.

    Attributes:
        space: the settings that are searched.
        objective: what is improved, the mean over the seeds of a trial.
        trials: how many settings are tried.
        timeout: seconds after which no more trials begin; None for no limit.
        batch: trials that are suggested at a time, before any of them has run; the suggestions depend on nothing else.
        seed: of the suggestions.
        sampler: Optuna's, by name, with its arguments.
        pruner: Optuna's, by name, with its arguments; the empty name for none.
        storage: URL of a database, "journal" for a file beside the runs, or "journal:FILE".
        best: how many of the best settings are run again.
        best_seeds: with these seeds, none of which the search has seen.
    """

    space: tuple[Dimension, ...]
    objective: Objective
    trials: int
    timeout: float | None
    batch: int
    seed: int
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    storage: str
    best: int
    best_seeds: list[int]


@attrs.frozen
class Definition:
    """A sweep.

    Attributes:
        data: the content of its file.
        name: of its directory; empty for that of its file.
        task: whose runs it makes.
        seeds: of the runs of each trial.
        score: that the table compares; None for that of the task.
        tags: of all runs.
        changes: to the task, the same for all runs.
        grid: values by setting.
        search: None for a grid.
    """

    data: dict[str, Any]
    name: str
    task: str
    seeds: list[int]
    score: str | None
    tags: list[str]
    changes: dict[str, Any]
    grid: dict[str, list[Any]]
    search: Search | None

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Definition:
        """Returns the sweep that a file's tables describe.

        Raises:
            UsageError: an entry is unknown, missing or wrong.
        """
        limits.check_values(data)
        table = Table(data, known=KEYS)
        name, task, seeds = table.entry("name", str, ""), table.entry("task", str), table.seeds("seeds", "0")

        # A grid or a search, or neither: then the seeds alone.
        grid = table.entry("grid", dict, {})
        for setting, values in grid.items():
            if not isinstance(values, list) or not values:
                raise Table(grid, "grid.").wrong(setting, "a list of at least one value")
        if "grid" in data and "search" in data:
            raise errors.UsageError("The sweep has both a grid and a search; leave one of them out.")
        if math.prod(map(len, grid.values())) > MOST_TRIALS:
            raise errors.UsageError(
                f"The grid has {math.prod(map(len, grid.values())):,} combinations; expected at most {MOST_TRIALS:,}."
            )
        search = parse_search(table.entry("search", dict), seeds) if "search" in data else None
        tags, changes = checked_tags(table.entry("tags", list, [])), table.entry("changes", dict, {})
        return cls(data, name, task, seeds, table.optional("score", str), tags, changes, grid, search)

    def combinations(self) -> list[dict[str, Any]]:
        """Returns the settings of each trial of a grid, the last setting varying fastest."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]

    def with_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Returns the changes to the task for a trial with these settings; a part's name comes before its settings."""
        tree = self.changes
        for name in sorted(settings, key=lambda name: (not name.endswith(".name"), name)):
            value: Any = settings[name]
            for key in reversed(name.split(".")):
                value = {key: value}
            tree = merged(tree, value)
        return tree


def parse_search(data: dict[str, Any], seeds: list[int]) -> Search:
    """Returns the search that a table describes, whose trials have these seeds.

    Raises:
        UsageError: an entry is unknown, missing or wrong.
    """
    table = Table(data, "search.", SEARCH_KEYS)
    objective = Objective.parse(data.get("objective", DEFAULT), table.optional("direction", str))
    timeout = table.optional("timeout", float)
    if timeout is not None and timeout <= 0:
        raise table.wrong("timeout", "more than 0 seconds")

    # The best settings are judged by seeds that nobody has chosen them by.
    best_seeds = table.seeds("best_seeds", "1000-1009")
    if common := sorted(set(best_seeds) & set(seeds)):
        raise errors.UsageError(
            f"search.best_seeds has seeds that the search itself uses, such as {common[0]}; expected others, to judge the best "
            "settings."
        )
    return Search(
        space=parse_space(table.entry("space", dict, {})),
        objective=objective,
        trials=table.positive("trials", 20, MOST_TRIALS),
        timeout=timeout,
        batch=table.positive("batch", 4, MOST_AT_A_TIME),
        seed=table.entry("seed", int, 0),
        sampler=_named(table, data, "sampler", "tpe"),
        pruner=_named(table, data, "pruner", ""),
        storage=table.entry("storage", str, DEFAULT_STORAGE),
        best=table.positive("best", 1),
        best_seeds=best_seeds,
    )


def _named(table: Table, data: dict[str, Any], key: str, default: str) -> dict[str, Any]:
    """Returns a table with a `name`, for which a file may also have the name alone."""
    value = data.get(key, default)
    value = {"name": value} if isinstance(value, str) else value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise table.wrong(key, "a name, or a table with a name and arguments")
    return value
