"""The commands `agentlab run` and `agentlab resume`: a task trained and evaluated, and a run continued."""

from __future__ import annotations

import argparse

from agentlab import errors
from agentlab.program import process, results, task_choice, tensorflow_setup
from agentlab.program.commands.command import Command
from agentlab.program.shared_options import OF_ENGINE, add_engine, add_trust, check_positive
from agentlab.system import console


def run(options: argparse.Namespace) -> int:
    """Trains a task within its budget, evaluates it, and leaves the run's files in a new directory.

    Without TASK, the config.json of a run says which task with which seed.
    """
    from agentlab import task

    # The task decides on kernels and threads, which have to be set before TensorFlow is imported.
    chosen_task, seed = task_choice.resolve_task(options)  # wrong settings are reported before that import, which takes seconds
    check_positive("--jobs", options.jobs)
    if options.seeds is not None and isinstance(chosen_task, task.Task):
        from agentlab.program import several_runs

        with process.stop_on_signals() as stop:
            return several_runs.run_seeds(options, chosen_task, lambda: bool(stop))
    _check_no_engine(options)
    if options.resume and isinstance(chosen_task, task.Task):
        from agentlab import sweeps

        sweeps.wait_until_free(options.run_dir)
        if sweeps.is_begun(options.run_dir, chosen_task, seed):
            options.run, options.steps = options.run_dir, None
            return resume(options)
    if isinstance(chosen_task, task.Task) and not options.quiet:
        console.print_line(f"{chosen_task.name}, seed {seed}: {chosen_task.total_steps:,} steps")
    tensorflow_setup.import_runs(chosen_task if isinstance(chosen_task, task.Task) else None)
    from agentlab.runs import resuming, running

    with process.stop_on_signals() as stop, process.plain_warnings():
        if options.config and options.config.endswith(".json"):
            resuming.warn_of_differences(options.config)
        finished = running.run(
            chosen_task, seed, run_dir=options.run_dir, init_from=options.init_from, tags=options.tag,
            requires=options.require, quiet=options.quiet, stop=process.asked(stop),
        )  # fmt: skip
    results.print_result(finished, options.quiet)
    return 0


def resume(options: argparse.Namespace) -> int:
    """Resumes a run from its newest complete checkpoint, bit for bit as if it had never been interrupted.

    With --steps, a finished run is extended to a larger budget.
    """
    check_positive("--steps", options.steps)
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.runs import resuming

    with process.stop_on_signals() as stop, process.plain_warnings():
        finished = resuming.resume(
            options.run, steps=options.steps, trust=options.trust, quiet=options.quiet, stop=process.asked(stop)
        )
    results.print_result(finished, options.quiet or finished.finished_before)
    if finished.finished_before:
        console.print_line(
            f"It was finished already; nothing was changed. --steps with more than {finished.task.steps} extends it."
        )
    return 0


def _check_no_engine(options: argparse.Namespace) -> None:
    """Raises UsageError if options say where runs are made, but there is only one."""
    names = [name for name in OF_ENGINE if getattr(options, name) != options.parser.get_default(name)]
    if names:
        flag = f"--{names[0].replace('_', '-')}"
        raise errors.UsageError(f"{flag} is for several runs; add --seeds, or leave it out.")


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("task", nargs="?", metavar="TASK", help="a task's name; 'agentlab list task' shows them")
    _add_seeds(command)
    command.add_argument("--steps", type=int, help="budget in environment steps")
    _add_parts(command)
    command.add_argument("--tag", action="append", default=[], metavar="TAG", help="a tag of the run; may be repeated")
    command.add_argument(
        "--require", action="append", default=[], metavar="METRIC",
        help="begin only if the run will have this column of metrics.jsonl or number of result.json; may be repeated",
    )  # fmt: skip
    command.add_argument("--gear", choices=("auto", "host", "device"), help="where the loop runs")
    command.add_argument("--execution", choices=("auto", "eager", "graph", "xla"), help="how functions are compiled")
    _add_files(command)
    command.add_argument("--quiet", action="store_true", help="show no progress")
    add_trust(command, "the file of --config")


def _add_seeds(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, help="determines all randomness (default: 0, or that of a config.json)")
    command.add_argument(
        "--seeds", metavar="SEEDS", help="run several seeds, such as 0-9 or 0,3,7, and print a table of the runs"
    )
    command.add_argument(
        "--jobs", type=int, metavar="N", help="with --seeds: runs at a time (default: as many as there are cores for)"
    )
    add_engine(command)


def _add_parts(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set", action="append", default=[], metavar="PART.SETTING=VALUE", help="change a setting; may be repeated"
    )
    command.add_argument(
        "--environment",
        metavar="NAME",
        help="another environment: an installed one, a Gymnasium id, module:ID, or a file: my_env.py:MyEnv",
    )
    for kind in ("model", "trainer", "sampler", "memory"):
        command.add_argument(f"--{kind}", metavar="NAME", help=f"another {kind}, with its default settings")
    command.add_argument(
        "--tracker", action="append", default=[], metavar="NAME", help="follow the run with a tracker too; may be repeated"
    )


def _add_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", help="changes from a TOML file, or a run's config.json")
    command.add_argument("--init-from", metavar="RUN", help="start with the weights of another run, with the same shapes")
    command.add_argument("--run-dir", metavar="DIR", help="a new directory for the run's files (default: runs/TASK/SEED-N)")
    command.add_argument("--resume", action="store_true", help="resume the run if --run-dir already holds it")


def _add_resume(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's directory")
    command.add_argument("--steps", type=int, help="a larger budget in environment steps, to extend the run")
    command.add_argument("--quiet", action="store_true", help="show no progress")
    add_trust(command)


# A run continues even if nobody reads its output.
RUN = Command("run", "train a task and evaluate it", run, _add_run, needs_output=False)
RESUME = Command("resume", "resume an interrupted run, or extend a finished one", resume, _add_resume, needs_output=False)
