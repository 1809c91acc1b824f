"""The `sample` command: prints text that a run's agent writes, character by character."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TextIO

import numpy as np

from agentlab import errors, settings
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import Agent
from agentlab.loop.text_generation import Writer, execution_for
from agentlab.runs.loading import load_run
from agentlab.sampler import Temperature

LENGTH = 400  # characters of a text, by default


@parts_guarded()
def write(
    run_dir: str | os.PathLike[str],
    length: int,
    temperatures: Sequence[float],
    out: TextIO,
    *,
    prompt: str = "",
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    num: int = 1,
    trust: bool = False,
) -> None:
    """Writes texts of a run's agent to `out`: one alone as its characters come, several under a line that says which.

    Args:
        run_dir: of a run trained on text.
        length: of each text.
        temperatures: to write at, one after the other.
        out: where to.
        prompt: the text to continue; it is written too.
        top_k: as of `agentlab.sampler.Temperature`.
        top_p: likewise.
        seed: determines the texts.
        num: texts at each temperature.
        trust: as of `agentlab.resume`.

    Raises:
        UsageError: the run was not trained on text, or an argument is out of its range.
    """
    # What a terminal can't show must not end the command.
    if reconfigure := getattr(out, "reconfigure", None):
        reconfigure(errors="replace")  # terminals that lack a character of the text
    as_text = errors.printable if out.isatty() else str  # the characters are those of a file
    samplers = [settings.build(Temperature, {"temperature": t, "top_k": top_k, "top_p": top_p}, "sample") for t in temperatures]
    agent = load_run(run_dir, trust=trust)[2]
    for sampler in samplers:
        writer = _writer(agent, sampler, num, seed, length)
        if num == 1:
            if len(samplers) > 1:
                out.write(f"----- temperature {sampler.temperature:g}\n")
            _stream(writer, length, prompt, out, as_text)
            continue

        # [num, length] numbers of the vocabulary, all texts written side by side.
        numbers = np.concatenate(list(writer.write(length, prompt)), axis=1)
        for index, row in enumerate(numbers, 1):
            out.write(f"----- temperature {sampler.temperature:g}, text {index} of {num}\n")
            out.write(f"{prompt}{as_text(writer.vocabulary.decode(row))}\n")


def _writer(agent: Agent, sampler: Temperature, num: int, seed: int, length: int) -> Writer:
    execution = execution_for(length, agent.execution)
    return Writer(agent.model, agent.distribution, agent.spec, sampler, num, seed, execution)


def _stream(writer: Writer, length: int, prompt: str, out: TextIO, as_text: Callable[[str], str]) -> None:
    chunks = writer.write(length, prompt)
    out.write(prompt)
    for text in writer.vocabulary.texts(chunk[0] for chunk in chunks):
        out.write(as_text(text))
        out.flush()
    out.write("\n")
