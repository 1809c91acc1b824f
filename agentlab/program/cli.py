"""The command line program `agentlab`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import agentlab
from agentlab import configuration, errors
from agentlab.program import check, collect, export, listing, plugin_commands, process, report, sweep, tensorflow_setup
from agentlab.program.argument_parser import Parser
from agentlab.registry.kinds import KINDS
from agentlab.system import console, machine
from agentlab.system.processes import clock, standard_input

if TYPE_CHECKING:
    from agentlab.runs.run import Run

LARGEST = 10**15  # of a number of steps, episodes or characters: beyond anybody's lifetime
EXAMPLES = """examples:
  agentlab run dqn-cartpole                                train CartPole in seconds
  agentlab run dqn --set environment.id=Acrobot-v1         any Gymnasium environment
  agentlab play runs/dqn-cartpole/0-1 --video cartpole.gif
  agentlab sample runs/char-rnn/0-1 --temperature 0.2 0.5 1.0 1.2
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code: 0 done, 1 failed, 2 wrong usage, 129, 130 or 143 interrupted."""
    # The age of the process tells how long Python took to start.
    age, code = machine.process_age() if arguments is None else 0.0, 1
    process.prepare_streams()
    if arguments is None:
        standard_input.end_with_it()
    try:
        with clock.of_program(age):
            code = _run_command(sys.argv[1:] if arguments is None else arguments)
            return code
    finally:
        process.end_streams()
        if arguments is None:
            process.limit_ending(code)


def _run_command(arguments: list[str]) -> int:
    """Runs a command and returns the program's exit code; prints what went wrong."""
    debug, code = "--debug" in arguments, 0
    try:
        options, unknown = _parser().parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")

        # Most commands exist for their output; a run continues even if nobody reads it.
        training = options.command in (_run, _resume)  # a run doesn't end because its output can't be written
        with contextlib.nullcontext() if training else process.checked_output():
            plugin_commands.add_files(options.plugin)
            code = options.command(options) or 0
    except errors.AgentlabError as error:
        if debug:
            raise
        _print_error(" ".join(str(error).split()))
        return error.exit_code
    except KeyboardInterrupt:
        _print_error("Interrupted; nothing was saved.")
        return 130
    except BrokenPipeError:  # the reader has left
        pass

    # One sentence for users; the traceback is for --debug.
    except Exception as error:
        if debug:
            raise
        text = errors.printable(" ".join(str(error).split())[:300])
        _print_error(errors.sentence(f"Unexpected {type(error).__name__}: {text}. Run again with --debug for the traceback."))
        code = 1
    return code


def _print_error(sentence: str) -> None:
    console.print_line(f"agentlab: {sentence}", sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="agentlab",
        description="Reinforcement learning and sequence agents, run by one step/reward loop.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="show the version")
    parser.set_defaults(command=_show_help, parser=parser, plugin=[])
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)

    def command(
        name: str, function: Callable[[argparse.Namespace], int], text: str, among: argparse._SubParsersAction = commands
    ) -> argparse.ArgumentParser:
        added = among.add_parser(name, help=text, description=function.__doc__)
        _add_common(added)
        added.set_defaults(command=function, parser=added)
        return added

    _add_run(command("run", _run, "train a task and evaluate it"))
    _add_commands_on_runs(command)
    check.add(command)
    sweep.add(command, _check_positive)
    report.add(command)
    _add_commands_on_plugins(command, commands)
    return parser


def _add_commands_on_runs(command: Callable[..., argparse.ArgumentParser]) -> None:
    resume = command("resume", _resume, "resume an interrupted run, or extend a finished one")
    resume.add_argument("run", metavar="RUN", help="a run's directory")
    resume.add_argument("--steps", type=int, help="a larger budget in environment steps, to extend the run")
    resume.add_argument("--quiet", action="store_true", help="show no progress")

    evaluate = command("evaluate", _evaluate, "evaluate a finished run again")
    evaluate.add_argument("run", metavar="RUN", help="a run's directory")
    evaluate.add_argument("--step", type=int, metavar="N", help="evaluate checkpoint step-N (default: the newest complete one)")
    evaluate.add_argument("--episodes", type=int, help="number of episodes (default: as the task says)")
    evaluate.add_argument("--seed", type=int, help="seed of the episodes (default: the run's)")
    collect.add_changes(evaluate)

    play = command("play", _play, "watch a trained agent")
    play.add_argument("run", metavar="RUN", help="a run's directory")
    play.add_argument("--episodes", type=int, default=1, help="number of episodes (default: 1)")
    play.add_argument("--video", metavar="FILE.gif", help="write a GIF instead of opening a window")

    sample = command("sample", _sample, "write text with an agent trained on text")
    _add_sample(sample)
    collect.add(command, _add_trust)
    exported = export.add(command)
    for opening in (resume, evaluate, play, sample, exported):
        _add_trust(opening, "the run's config.json")


def _add_commands_on_plugins(command: Callable[..., argparse.ArgumentParser], commands: argparse._SubParsersAction) -> None:
    """Adds the commands on what is installed, which import no TensorFlow."""
    listed = command("list", _list, "list installed tasks and parts")
    listed.add_argument("kind", nargs="?", metavar="KIND", help=", ".join(KINDS))
    listed.add_argument("--json", action="store_true", help="print JSON, for other programs")

    info = command("info", _info, "describe a task or part")
    info.add_argument("name", metavar="NAME", help="name of a task or part, PACKAGE:NAME, or a package")

    kit = commands.add_parser("plugin", help="write a plugin, or check one", description="Writes or checks plugins.")
    kit.set_defaults(command=_show_help, parser=kit)
    plugin_commands.add(kit.add_subparsers(metavar="COMMAND", parser_class=Parser), command)


def _show_help(options: argparse.Namespace) -> int:
    """Shows what there is, or the version, where no command is named."""
    print(f"agentlab {agentlab.__version__}" if options.version else options.parser.format_help().rstrip())
    return 0


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--debug", action="store_true", help="show tracebacks")
    command.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="also offer the parts of this file; may be repeated"
    )


def _add_trust(command: argparse.ArgumentParser, file: str) -> None:
    command.add_argument(
        "--trust", action="store_true",
        help=f"import any module that {file} names, and build objects that only a user may request",
    )  # fmt: skip


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("task", nargs="?", metavar="TASK", help="a task's name; 'agentlab list task' shows them")
    run.add_argument("--seed", type=int, help="determines all randomness (default: 0, or that of a config.json)")
    run.add_argument("--seeds", metavar="SEEDS", help="run several seeds, such as 0-9 or 0,3,7, and print a table of the runs")
    run.add_argument(
        "--jobs", type=int, metavar="N", help="with --seeds: runs at a time (default: as many as there are cores for)"
    )
    sweep.add_engine(run)
    run.add_argument("--steps", type=int, help="budget in environment steps")
    run.add_argument(
        "--set", action="append", default=[], metavar="PART.SETTING=VALUE", help="change a setting; may be repeated"
    )
    run.add_argument(
        "--environment",
        metavar="NAME",
        help="another environment: an installed one, a Gymnasium id, module:ID, or a file: my_env.py:MyEnv",
    )
    for kind in ("model", "trainer", "sampler", "memory"):
        run.add_argument(f"--{kind}", metavar="NAME", help=f"another {kind}, with its default settings")
    run.add_argument(
        "--tracker", action="append", default=[], metavar="NAME", help="follow the run with a tracker too; may be repeated"
    )
    run.add_argument("--tag", action="append", default=[], metavar="TAG", help="a tag of the run; may be repeated")
    run.add_argument("--gear", choices=("auto", "host", "device"), help="where the loop runs")
    run.add_argument("--execution", choices=("auto", "eager", "graph", "xla"), help="how functions are compiled")
    run.add_argument("--config", metavar="FILE", help="changes from a TOML file, or a run's config.json")
    run.add_argument("--init-from", metavar="RUN", help="start with the weights of another run, with the same shapes")
    run.add_argument("--run-dir", metavar="DIR", help="a new directory for the run's files (default: runs/TASK/SEED-N)")
    run.add_argument("--resume", action="store_true", help="resume the run if --run-dir already holds it")
    run.add_argument("--quiet", action="store_true", help="show no progress")
    _add_trust(run, "the file of --config")


def _add_sample(sample: argparse.ArgumentParser) -> None:
    sample.add_argument("run", metavar="RUN", help="a run's directory")
    sample.add_argument("--length", type=int, default=400, help="characters to write (default: 400)")
    sample.add_argument(
        "--temperature", type=float, nargs="+", default=[1.0], metavar="T",
        help="0 is greedy, 1 is the model's own, higher is more varied; several write a text at each (default: 1)",
    )  # fmt: skip
    sample.add_argument("--top-k", type=int, metavar="K", help="draw from the K most probable characters")
    sample.add_argument("--top-p", type=float, metavar="P", help="draw from the most probable ones that make up P, 0 to 1")
    sample.add_argument("--prompt", default="", metavar="TEXT", help="text to continue (default: a line break)")
    sample.add_argument("--seed", type=int, default=0, help="determines the text (default: 0)")
    sample.add_argument("--num", type=int, default=1, metavar="N", help="number of texts at each temperature (default: 1)")


def _run(options: argparse.Namespace) -> int:
    """Trains a task within its budget, evaluates it, and leaves the run's files in a new directory.

    Without TASK, the config.json of a run says which task with which seed.
    """
    from agentlab import task

    # The task decides on kernels and threads, which have to be set before TensorFlow is imported.
    chosen_task, seed = _resolve_task(options)  # wrong settings are reported before TensorFlow is imported, which takes seconds
    _check_positive("--jobs", options.jobs)
    if options.seeds is not None and isinstance(chosen_task, task.Task):
        from agentlab.program import several_runs

        with process.stop_on_signals() as stop:
            return several_runs.run_seeds(options, chosen_task, lambda: bool(stop))
    sweep.check_no_engine(options)
    if options.resume and isinstance(chosen_task, task.Task):
        from agentlab import sweeps

        sweeps.wait_until_free(options.run_dir)
        if sweeps.is_begun(options.run_dir, chosen_task, seed):
            options.run, options.steps = options.run_dir, None
            return _resume(options)
    tensorflow_setup.import_runs(chosen_task if isinstance(chosen_task, task.Task) else None)
    from agentlab.runs import resuming, running

    with process.stop_on_signals() as stop, process.plain_warnings():
        if options.config and options.config.endswith(".json"):
            resuming.warn_of_differences(options.config)
        files = {"run_dir": options.run_dir, "init_from": options.init_from, "tags": options.tag}
        run = running.run(chosen_task, seed, **files, quiet=options.quiet, stop=lambda: bool(stop))
    _print_result(run)
    return 0


def _resolve_task(options: argparse.Namespace) -> tuple[Any, int]:
    """Returns the task, with all changes, and the seed."""
    from agentlab import task
    from agentlab.registry import task_changes

    of_file: dict[str, Any] = {}
    if options.config and options.config.endswith(".json"):
        chosen_task, seed, _ = configuration.read_run_config(pathlib.Path(options.config), options.trust)
        if options.task is not None and options.task.rpartition(":")[2] != chosen_task.name:
            raise errors.UsageError(
                f"TASK is {options.task!r}, but {options.config!r} is of a run of {chosen_task.name!r}. "
                "Leave TASK out to run that."
            )
    elif options.task is None:
        options.parser.error("the following arguments are required: TASK")
    else:
        of_file = configuration.read_config(options.config, options.trust) if options.config else {}
        chosen_task, seed = _load_task(options, of_file), 0

    # A task of another type is refused by the runner, with what is wrong.
    if not isinstance(chosen_task, task.Task):
        return options.task, options.seed or 0
    chosen_task = task_changes.changed(chosen_task, _changes(options), of_file)
    return configuration.trusted(chosen_task) if options.trust else chosen_task, seed if options.seed is None else options.seed


def _load_task(options: argparse.Namespace, of_file: dict[str, Any]) -> Any:
    """Returns the task that is named, or chosen by the environment's spaces."""
    from agentlab.registry import generic_tasks, plugins

    if options.task != generic_tasks.AUTO:
        return plugins.load("task", options.task)
    tensorflow_setup.import_runs(generic_tasks.any_task())  # environments may need TensorFlow
    from agentlab.runs import composition

    # The reason is printed before anything else can go wrong.
    with process.plain_warnings():
        choice = composition.choose_task(_changes(options), {} if options.trust else of_file)
    if not options.quiet:
        console.print_line(f"{choice.reason} 'agentlab info {choice.task.name}' shows its settings.")
    return choice.task


def _resume(options: argparse.Namespace) -> int:
    """Resumes a run from its newest complete checkpoint, bit for bit as if it had never been interrupted.

    With --steps, a finished run is extended to a larger budget.
    """
    _check_positive("--steps", options.steps)
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.runs import resuming

    with process.stop_on_signals() as stop, process.plain_warnings():
        run = resuming.resume(
            options.run, steps=options.steps, trust=options.trust, quiet=options.quiet, stop=lambda: bool(stop)
        )
    _print_result(run)
    if run.finished_before:
        console.print_line(f"It was finished already; nothing was changed. --steps with more than {run.task.steps} extends it.")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    """Evaluates the newest checkpoint of a run over whole episodes, as its task says."""
    _check_positive("--episodes", options.episodes)
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.runs.evaluating import evaluate_run
    from agentlab.runs.trackers.progress import Progress

    with process.plain_warnings():
        show = Progress().evaluation
        task, result = evaluate_run(
            options.run, options.step, options.episodes, options.seed, show, trust=options.trust,
            changes=configuration.dotted(options.set),
        )  # fmt: skip
    print(f"{task.name}: {_evaluation_text(result)}")
    return 0


def _play(options: argparse.Namespace) -> int:
    """Shows a run's agent at play, in a window or in a GIF."""
    _check_positive("--episodes", options.episodes)

    # SDL reads these when pygame is imported.
    if options.video is not None:
        os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")  # some take "dummy" as not to draw
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.program import play

    with process.plain_warnings():
        returns = play.play(options.run, options.episodes, options.video, trust=options.trust)
    where = f" Written to {options.video}." if options.video else ""
    print(f"return {', '.join(f'{value:g}' for value in returns)}.{where}")
    return 0


def _sample(options: argparse.Namespace) -> int:
    """Writes text with a run's agent: it acts in `echo`, where the next observation is its last action."""
    _check_positive("--length", options.length)
    _check_positive("--num", options.num)
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.program import sample

    narrowed = {"top_k": options.top_k, "top_p": options.top_p}
    chosen = {"prompt": options.prompt, "seed": options.seed, "num": options.num, "trust": options.trust}
    sample.write(options.run, options.length, options.temperature, sys.stdout, **narrowed, **chosen)
    return 0


def _list(options: argparse.Namespace) -> int:
    """Lists tasks and parts with the package that offers them, from metadata only: nothing is imported."""
    rows = listing.rows(options.kind)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print(listing.table(rows, color=sys.stdout.isatty()))
    return 0


def _info(options: argparse.Namespace) -> int:
    """Describes a task or part: what it is, where it comes from and its settings, read from its source text."""
    print(listing.describe(options.name))
    return 0


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the user's changes to a task: first whole parts, then single settings."""
    from agentlab import task
    from agentlab.registry import environment_objects

    tree: dict[str, Any] = {}
    # An environment is named in a word, other parts by their names.
    others = [kind for kind in task.PART_KINDS if kind != "environment" and getattr(options, kind)]
    swaps: dict[str, Any] = {kind: {"name": getattr(options, kind)} for kind in others}
    if options.environment:
        swaps |= environment_objects.changes_to(options.environment)
    plain = {name: getattr(options, name) for name in ("steps", "gear", "execution") if getattr(options, name) is not None}
    trackers = {name.rpartition(":")[2]: {"name": name} for name in options.tracker}
    for changes in ({**swaps, **plain, **({"trackers": trackers} if trackers else {})}, configuration.dotted(options.set)):
        tree = configuration.merged(tree, changes)
    return tree


def _print_result(run: Run) -> None:
    result = run.result
    error = console.print_line(
        f"{run.task.name}: {_evaluation_text(result['evaluation'])}; {result['steps']:,} steps, {result['updates']:,} updates, "
        f"{result['gear']} gear, {result['execution']}, {result['seconds']['total']:.1f} s in all\nFiles in {run.directory}"
    )
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        _print_error(f"warning: {console.output_fault(error)} The run is complete: its files are in {run.directory}.")


def _evaluation_text(evaluation: dict[str, Any]) -> str:
    """Returns the figures that the trainer's score adds, or the returns where it adds none."""
    if "bits_per_character" in evaluation:
        bits, nats = evaluation["bits_per_character"], evaluation["loss"]
        return f"{bits:.4f} bits per character ({nats:.4f} nats) over {evaluation['characters']:,} characters"
    if "accuracy" in evaluation:
        return f"accuracy {evaluation['accuracy']:.2%} of {evaluation['episodes']:,} samples, loss {evaluation['loss']:.4g}"

    # Figures that a plugin's score has added come before the returns.
    returns = ("return_mean", "return_std", "episode_length_mean", "normalized_score")
    added = {name: value for name, value in evaluation.items() if isinstance(value, float) and name not in returns}
    if added:
        return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in added.items())
    score = f", normalized score {evaluation['normalized_score']:.3f}" if "normalized_score" in evaluation else ""
    mean, deviation, episodes = (evaluation[name] for name in ("return_mean", "return_std", "episodes"))
    return f"return {mean:.2f} +- {deviation:.2f} over {episodes} episodes{score}"


def _check_positive(option: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise errors.UsageError(f"{option} is {value}; expected a whole number of at least 1.")
    if value is not None and value > LARGEST:
        raise errors.UsageError(f"{option} is {value:,}; expected at most {LARGEST:,}.")


if __name__ == "__main__":
    sys.exit(main())
