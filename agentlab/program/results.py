"""What a command says of a run: its figures, and where its files are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from agentlab.system import console, terminal

if TYPE_CHECKING:
    from agentlab.runs.run import Run


def print_result(run: Run, quiet: bool) -> None:
    """Prints a finished run's figures and directory and, unless quiet, what to do next.

    Output that can't be written is a warning.
    """
    result = run.result
    figures = (
        f"{run.task.name}: {evaluation_text(result['evaluation'])}; {result['steps']:,} steps, {result['updates']:,} updates, "
        f"{result['gear']} gear, {result['execution']}, {result['seconds']['total']:.1f} s in all"
    )
    lines = [terminal.wrapped(figures, hanging=2), f"Files in {run.directory}", *([] if quiet else _next_lines(run))]
    error = console.print_line("\n".join(lines))
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        fault = console.output_fault(error)
        console.print_line(f"agentlab: warning: {fault} The run is complete: its files are in {run.directory}.", sys.stderr)


def _next_lines(run: Run) -> list[str]:
    """Returns the commands that one may want next, each of which works when it is typed."""
    from agentlab.runs import commands
    from agentlab.runs.composition import has_pictures

    # Text is read, pictures are watched, and the rest can be judged once more.
    directory, task = run.directory, run.task
    first = commands.command("evaluate", directory, task)
    if run.agent.spec.vocabulary is not None:
        first = commands.command("sample", directory, task)
    elif has_pictures(task):
        first = f"{commands.command('play', directory, task)} --video play.gif"
    return [
        "Next:",
        f"  {first}",
        f"  {commands.command('resume', directory, task)} --steps {2 * task.steps}",
        f"  {commands.command('export', directory, task)} --output policy",
    ]


def evaluation_text(evaluation: dict[str, Any]) -> str:
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
