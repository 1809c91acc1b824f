"""`agentlab run --seeds`: the same task with several seeds, a few at a time, and `--resume`."""

from __future__ import annotations

import argparse
import itertools
import os
import pathlib
import shlex
import sys
from collections.abc import Callable

from agentlab import errors
from agentlab.program.shared_options import OF_ENGINE, engine_options
from agentlab.reports import collect, compare, tables
from agentlab.runs.files.run_directory import RESULT
from agentlab.sweeps import Job, Outcome, Progress, check_could_begin, is_begun, parse_seeds
from agentlab.task import Task

OF_SEEDS = ("seed", "seeds", "jobs", "run_dir", "quiet", "resume")  # options that aren't the same for every run


def run_seeds(options: argparse.Namespace, task: Task, stop: Callable[[], bool]) -> int:
    """Runs a task with each of several seeds in a process of its own, and prints what they come to.

    Args:
        options: of `agentlab run`.
        task: with all changes.
        stop: whether the program is asked to end.

    Returns:
        The exit code: 0 if all have finished, 1 if one failed.
    """
    seeds = parse_seeds(options.seeds)
    if options.seed is not None:
        raise errors.UsageError("Both --seed and --seeds are given; leave one out.")
    parent = pathlib.Path(options.run_dir) if options.run_dir else _next_free(task.name)
    directories = {seed: parent / str(seed) for seed in seeds}
    if not options.resume and (old := [str(path) for path in directories.values() if os.path.lexists(path)]):
        raise errors.UsageError(f"{old[0]!r} exists; runs are never overwritten: name another --run-dir, or add --resume.")
    begun = {seed: path for seed, path in directories.items() if is_begun(path, task, seed)}
    finished = {seed for seed, path in begun.items() if os.path.lexists(path / RESULT)}

    # Each run as `agentlab run` makes it, which doesn't look for modules in the current directory (-P).
    begin = [sys.executable, "-P", "-m", "agentlab", "run", *_words(options, (*OF_SEEDS, *OF_ENGINE)), "--quiet"]
    jobs = [
        Job(f"seed {seed}", (*begin, "--seed", str(seed), "--run-dir", str(path.absolute()), "--resume"))
        for seed, path in directories.items()
        if seed not in finished
    ]
    progress = Progress(task.steps, options.quiet)
    progress.add(directories.values(), len(finished))
    _make(jobs, progress, options, task, stop)
    if stop():
        words = ["agentlab", "run", *_words(options, OF_SEEDS), "--seeds", options.seeds, "--run-dir", str(parent), "--resume"]
        raise errors.Interrupted(f"The runs were interrupted and have checkpoints: '{shlex.join(words)}' resumes them.")

    # The table of what has finished.
    print(tables.text(compare(collect([parent]))))
    print(f"Files in {parent}")
    return 1 if progress.failed else 0


def _make(jobs: list[Job], progress: Progress, options: argparse.Namespace, task: Task, stop: Callable[[], bool]) -> None:
    """Makes the runs with the engine that was asked for."""

    def look() -> bool:
        progress.show()
        return stop()

    def ended(outcome: Outcome) -> None:
        # A metric that one run lacks is lacking in all of them.
        if options.require and not progress.has_begun:
            check_could_begin(outcome)
        progress.ended(outcome)

    engine = engine_options(options).make(task)
    try:
        engine.run(jobs, ended, look)
    finally:
        engine.close()
        progress.close()


def _words(options: argparse.Namespace, left_out: tuple[str, ...]) -> list[str]:
    """Returns the arguments of `agentlab run` without some options."""
    words = [] if options.task is None else [options.task]
    for action in options.parser._actions:
        value = getattr(options, action.dest, None)
        if not action.option_strings or action.dest in left_out or value == action.default or not value:
            continue
        flag, values = action.option_strings[-1], value if isinstance(value, list) else [value]
        words += [flag] if value is True else [word for one in values for word in (flag, str(one))]
    return words


def _next_free(task: str) -> pathlib.Path:
    """Returns the first of `runs/TASK/seeds-1`, `seeds-2`, ... that isn't there."""
    places = (pathlib.Path("runs") / task / f"seeds-{number}" for number in itertools.count(1))
    return next(place for place in places if not os.path.lexists(place))
