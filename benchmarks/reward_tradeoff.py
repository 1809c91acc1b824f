"""What a text model gives up for a reward: task char-rnn-reward with several penalties for moving away, from one start.

    agentlab run char-rnn --run-dir start
    python benchmarks/reward_tradeoff.py start --output docs/char-rnn-reward.svg

For each penalty, and for the start itself: the mean reward of 1,000 completions, its standard error, and the bits per character
on the text that was held out. The picture shows one against the other.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import tempfile
from typing import Any

import processes
from learning_curve import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, framed, text

STILL = ("--set", "trainer.learning_rate=0")  # only the evaluation is of interest
MARGIN = 0.1  # of the range that is drawn, on either side


def main() -> None:
    options = _options()
    alike = [word for assignment in (f"environment.path={options.text}", *options.set) for word in ("--set", assignment)]
    with tempfile.TemporaryDirectory() as directory:
        runs = pathlib.Path(directory)
        period = ("--steps", "12160", "--set", "report_period=12160")  # one update
        rows = [_figures("start", options, runs / "start", *period, *STILL, *alike)]
        for penalty in options.penalties:
            rows.append(_figures(f"{penalty:g}", options, runs / str(penalty), "--set", f"trainer.kl_weight={penalty}", *alike))
    if options.output:
        options.output.write_text(picture(rows), "utf-8")


def _figures(name: str, options: argparse.Namespace, run: pathlib.Path, *changes: str) -> dict[str, Any]:
    """Teaches the start by reward and prints what it comes to."""
    result, seconds = processes.run_task(run, "char-rnn-reward", "--init-from", str(options.start), *changes)

    # Bits per character of the text itself, by a run that learns nothing.
    still = ("--steps", "16", "--set", "report_period=16", "--set", f"environment.path={options.text}", *STILL)
    judged, _ = processes.run_task(run.parent / f"{name}-judged", "char-rnn", "--init-from", str(run), *still)
    rewarded = result["evaluation"]
    row = {
        "penalty": name,
        "reward": rewarded["return_mean"],
        "standard_error": rewarded["return_std"] / math.sqrt(rewarded["episodes"]),
        "bits_per_character": judged["evaluation"]["bits_per_character"],
        "seconds": seconds,
    }
    print(json.dumps(row), flush=True)
    return row


def picture(rows: list[dict[str, Any]]) -> str:
    """Returns the SVG of rewards against bits per character, a point for each penalty."""
    across = Axis(*_range([row["bits_per_character"] for row in rows]), LEFT, WIDTH - LEFT - RIGHT)
    down = Axis(*_range([row["reward"] for row in rows]), HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    parts = []

    # The start in grey; bars of two standard errors either way.
    for row in rows:
        x, y = across.place(row["bits_per_character"]), down.place(row["reward"])
        colour = "#333" if row["penalty"] == "start" else COLOURS[0]
        low, high = (down.place(row["reward"] + sign * 2 * row["standard_error"]) for sign in (-1, 1))
        parts.append(f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(text(x + 8, y + 16, row["penalty"], "start", colour))
    return framed(across, down, "bits per character on held-out text", "reward", parts)


def _range(values: list[float]) -> tuple[float, float]:
    margin = MARGIN * (max(values) - min(values))
    return min(values) - margin, max(values) + margin


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=pathlib.Path, help="directory of a run of char-rnn")
    parser.add_argument("--text", default="corpus:nietzsche", help="that it read (default: corpus:nietzsche)")
    parser.add_argument("--penalties", type=float, nargs="+", default=[0.0, 0.002, 0.005, 0.015], metavar="KL_WEIGHT")
    parser.add_argument("--set", metavar="PART.SETTING=VALUE", action="append", default=[], help="as of 'agentlab run'")
    parser.add_argument("--output", type=pathlib.Path, help="the SVG file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
