"""`agentlab run --seeds`: the same task with several seeds, a few at a time, and `--resume`."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import shlex
import sys
from collections.abc import Callable

import attrs

from agentlab import configuration, errors
from agentlab.reports import collect, compare, tables
from agentlab.runs.run_directory import CONFIG, METRICS, RESULT
from agentlab.sweeps import Job, LocalPool, Outcome, parse_seeds
from agentlab.system import console, files
from agentlab.task import Task, with_parts

OF_SEEDS = ("seed", "seeds", "jobs", "run_dir", "quiet", "resume")  # options that aren't the same for every run
TAIL_BYTES = 65_536  # of metrics.jsonl, in which the last whole line is


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
        raise errors.UsageError("--seed and --seeds are both there; leave one out.")
    parent = pathlib.Path(options.run_dir) if options.run_dir else _next_free(task.name)
    directories = {seed: parent / str(seed) for seed in seeds}
    if not options.resume and (old := [str(path) for path in directories.values() if os.path.lexists(path)]):
        raise errors.UsageError(f"{old[0]!r} exists; runs are never overwritten: name another --run-dir, or add --resume.")
    begun = {seed: path for seed, path in directories.items() if is_begun(path, task, seed)}
    finished = {seed for seed, path in begun.items() if os.path.lexists(path / RESULT)}

    # Each run as `agentlab run` makes it, which doesn't look for modules in the current directory (-P).
    words = _common_words(options)
    begin = [sys.executable, "-P", "-m", "agentlab", "run", *words, "--quiet"]
    jobs = [
        Job(f"seed {seed}", (*begin, "--seed", str(seed), "--run-dir", str(path), "--resume"))
        for seed, path in directories.items()
        if seed not in finished
    ]
    progress = _Progress(directories, task.steps, options.quiet, len(finished))

    def look() -> bool:
        progress.show()
        return stop()

    LocalPool(options.jobs or default_jobs(task)).run(jobs, progress.ended, look)
    progress.close()
    if stop():
        again = shlex.join(["agentlab", "run", *words, "--seeds", options.seeds, "--run-dir", str(parent), "--resume"])
        raise errors.Interrupted(f"The runs were interrupted, with checkpoints: '{again}' resumes them.")

    # The table of what has finished.
    print(tables.text(compare(collect([parent]))))
    print(f"Files in {parent}")
    return 1 if progress.failed else 0


def default_jobs(task: Task) -> int:
    """Returns how many runs of a task this machine makes at a time: each has as many cores as it has threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (task.threads or cores))


def is_begun(directory: str | pathlib.Path | None, task: Task, seed: int) -> bool:
    """Returns whether the directory of `agentlab run --run-dir DIR --resume` holds the run already.

    Raises:
        UsageError: no directory is named, or it holds another run.
    """
    if directory is None:
        raise errors.UsageError("--resume needs the directory of the run: add --run-dir DIR.")
    file = pathlib.Path(directory) / CONFIG
    if not os.path.lexists(file):
        return False
    recorded, recorded_seed, _ = configuration.read_run_config(file, trust=True)  # compared only
    before, now = _plain(recorded, recorded_seed), _plain(task, seed)
    if before != now:
        names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        raise errors.UsageError(
            f"{str(directory)!r} holds another run, of which these differ: {files.some(names)}. Name another --run-dir, or "
            f"ask for the same run; 'agentlab resume {shlex.quote(str(directory))}' resumes it as it is."
        )
    return True


def _plain(task: Task, seed: int) -> dict[str, object]:
    """Returns what determines a run, by name; of which package a part is, is not said by everyone."""
    whole = with_parts(task, lambda _path, _kind, part: attrs.evolve(part, package=""))
    return {**json.loads(json.dumps(whole.as_data())), "seed": seed}


def _common_words(options: argparse.Namespace) -> list[str]:
    """Returns the arguments of `agentlab run` that are the same for every seed."""
    words = [] if options.task is None else [options.task]
    for action in options.parser._actions:
        value = getattr(options, action.dest, None)
        if not action.option_strings or action.dest in OF_SEEDS or value == action.default or not value:
            continue
        flag, values = action.option_strings[-1], value if isinstance(value, list) else [value]
        words += [flag] if value is True else [word for one in values for word in (flag, str(one))]
    return words


def _next_free(task: str) -> pathlib.Path:
    """Returns the first of `runs/TASK/seeds-1`, `seeds-2`, ... that isn't there."""
    places = (pathlib.Path("runs") / task / f"seeds-{number}" for number in itertools.count(1))
    return next(place for place in places if not os.path.lexists(place))


class _Progress:
    """Shows how far several runs are: a bar on a terminal, a line for each run that ends.

    Args:
        directories: of the runs by seed.
        steps: of each run's budget.
        quiet: show nothing but failures.
        finished: how many had finished before.

    Attributes:
        failed: how many runs failed.
    """

    def __init__(self, directories: dict[int, pathlib.Path], steps: int, quiet: bool, finished: int) -> None:
        self.failed = 0
        self._directories = directories
        self._quiet, self._ended, self._looks = quiet, finished, 0
        self._bar = None
        if not quiet and console.is_terminal(sys.stderr) and not console.is_redirected(sys.stdout):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=steps * len(directories), unit="step", unit_scale=True, dynamic_ncols=True)

    def show(self) -> None:
        """Moves the bar, about once a second."""
        self._looks += 1
        if self._bar is not None and self._looks % 20 == 0:
            self._bar.update(sum(map(_last_step, self._directories.values())) - self._bar.n)

    def ended(self, outcome: Outcome) -> None:
        """Shows the end of a run."""
        self._ended += 1
        self.failed += outcome.code != 0
        if outcome.code < 0:
            text = f"was killed by signal {-outcome.code}"
        elif outcome.code:
            text = outcome.last_line.removeprefix("agentlab: ") or f"ended with exit code {outcome.code}"
        else:
            text = f"done in {outcome.seconds:.1f} s"
        if outcome.code or not self._quiet:
            self._print(f"{outcome.job.name}: {text} ({self._ended} of {len(self._directories)})", bool(outcome.code))

    def _print(self, line: str, is_failure: bool) -> None:
        if self._bar is not None:
            self._bar.write(errors.printable(line))
        else:
            console.print_line(errors.printable(line), sys.stderr if is_failure else sys.stdout)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.update(sum(map(_last_step, self._directories.values())) - self._bar.n)
            self._bar.close()


def _last_step(directory: pathlib.Path) -> int:
    """Returns the step of the last whole line of a run's metrics.jsonl, 0 if there is none."""
    try:
        with files.open_plain(directory / METRICS) as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = opened.read().rpartition(b"\n")[0].splitlines()
        return int(json.loads(lines[-1])["step"]) if lines else 0
    except (files.UnreadableError, OSError, ValueError, KeyError, TypeError):
        return 0
