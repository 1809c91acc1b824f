"""The command `agentlab export`: a run's policy in a format that other programs run."""

from __future__ import annotations

import argparse

from agentlab.program import process, tensorflow_setup
from agentlab.program.commands.command import Command
from agentlab.program.shared_options import add_trust


def export(options: argparse.Namespace) -> int:
    """Writes the whole policy of a run, from observations to actions, with normalisation, masks, state and sampler.

    The export is compared with the agent on random observations and on some that it meets in its environment, and refused if it
    acts differently.
    """
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.runs import exporting

    chosen = {"step": options.step, "sampler": options.sampler, "trust": options.trust}
    with process.plain_warnings():
        written = exporting.export(options.run, options.output, options.format, **chosen)

    # What a program that runs it needs to know.
    compared = f"{written.num_random} random and {written.num_recorded} recorded observations"
    print(f"Written to {written.path}; on {compared} it acts like the agent.")
    for title, values in (("inputs", written.inputs), ("outputs", written.outputs)):
        print(title)
        width = max(map(len, values))
        print("\n".join(f"  {name:<{width}}  {text}" for name, text in values.items()))
    return 0


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's directory")
    command.add_argument(
        "--format", metavar="FORMAT", default="saved-model", help="saved-model, onnx, litert or keras (default: saved-model)"
    )
    command.add_argument("--output", metavar="PATH", required=True, help="a new file; a new directory for saved-model")
    command.add_argument("--step", type=int, metavar="N", help="export checkpoint step-N (default: the newest complete one)")
    command.add_argument(
        "--sampler", metavar="NAME", help="sampler that chooses the actions (default: that of the run's evaluation)"
    )
    add_trust(command)


EXPORT = Command("export", "write a run's policy for other programs", export, _add_options)
