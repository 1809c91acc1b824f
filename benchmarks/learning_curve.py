"""Draws learning curves from the metrics.jsonl of a run, or of several kinds of runs over seeds, as an SVG picture.

    agentlab run char-rnn --set evaluation.period=8000
    python benchmarks/learning_curve.py --run runs/char-rnn/0-1 --output docs/char-rnn.svg
    python benchmarks/learning_curve.py --metric return_mean --range 0 12 --output dqn.svg \\
        --kind DQN runs/dqn/0-1 runs/dqn/1-1 --kind "double DQN" runs/double/0-1 runs/double/1-1

The training figure is the mean since the report before; `evaluation_NAME` is drawn where the run judged itself in between. Of
several runs of a kind, the mean is drawn, and a band from the lowest to the highest. `--at STEP STEP` also prints what the runs
of each kind come to at these steps.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import pathlib
import statistics
from collections.abc import Callable
from typing import Any

import attrs

from agentlab.reports.statistics import summary

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 32, 16, 48  # margins
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf")
OF_A_RUN = {"training": "", "held out": "evaluation_"}  # curve: prefix of the metric


@attrs.frozen
class Axis:
    """A range of numbers along `length` pixels from `begin` on, with ticks at round numbers."""

    low: float
    high: float
    begin: float
    length: float

    def place(self, value: float) -> float:
        """Returns the pixel of a number."""
        return self.begin + (value - self.low) / (self.high - self.low) * self.length

    def ticks(self) -> list[float]:
        """Returns some five round numbers within the range."""
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        spacing = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
        first, last = math.ceil(self.low / spacing), math.floor(self.high / spacing)
        return [index * spacing for index in range(first, last + 1)]


@attrs.frozen
class Curve:
    """A figure over the steps of runs of one kind.

    Attributes:
        name: of the kind.
        steps: `[T]`.
        values: `[T]` of each run.
    """

    name: str
    steps: list[float]
    values: list[list[float]]

    @classmethod
    def of_runs(cls, name: str, runs: list[pathlib.Path], metric: str) -> Curve | None:
        """Returns the curve of a metric at the steps for which all runs have it; None if there are none."""
        curves = []
        for run in runs:
            lines: list[dict[str, Any]] = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
            curves.append({line["step"]: line[metric] for line in lines if line.get(metric) is not None})
        steps = sorted(set.intersection(*map(set, curves)))
        return cls(name, steps, [[of_run[step] for step in steps] for of_run in curves]) if steps else None

    def at(self, step: float) -> list[float]:
        """Returns the runs' values at a step."""
        return [of_run[self.steps.index(step)] for of_run in self.values]

    def at_each_step(self, of: Callable[[list[float]], float]) -> list[tuple[float, float]]:
        """Returns (step, value) by what `of` makes of the runs' values at each step."""
        return [(step, of(self.at(step))) for step in self.steps]


def picture(curves: list[Curve], x_label: str, y_label: str, y_range: tuple[float, float]) -> str:
    """Returns the SVG of curves."""
    across = Axis(0.0, max(curve.steps[-1] for curve in curves), LEFT, WIDTH - LEFT - RIGHT)
    down = Axis(*y_range, HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    parts: list[str] = []

    def coordinates(points: list[tuple[float, float]]) -> str:
        return " ".join(f"{across.place(x):.1f},{down.place(min(max(y, down.low), down.high)):.1f}" for x, y in points)

    for index, curve in enumerate(curves):
        colour, mean = COLOURS[index % len(COLOURS)], curve.at_each_step(statistics.mean)
        if len(curve.values) > 1:
            band = coordinates(curve.at_each_step(max) + curve.at_each_step(min)[::-1])
            parts.append(f'<polygon points="{band}" fill="{colour}" opacity="0.15"/>')
        parts.append(f'<polyline points="{coordinates(mean)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        place = HEIGHT - BOTTOM - 14 - 20 * (len(curves) - 1 - index) if mean[-1][1] > mean[0][1] else TOP + 22 + 20 * index
        parts.append(text(WIDTH - RIGHT - 12, place, f"{curve.name}: {mean[-1][1]:.3f} at the end", "end", colour))
    return framed(across, down, x_label, y_label, parts)


def framed(across: Axis, down: Axis, x_label: str, y_label: str, drawn: list[str]) -> str:
    """Returns the SVG of what is drawn on a grid, with ticks and the names of both axes."""
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for tick in across.ticks():
        x = across.place(tick)
        parts += [_line(x, TOP, x, HEIGHT - BOTTOM), text(x, HEIGHT - BOTTOM + 18, f"{tick:,.7g}", "middle")]
    for tick in down.ticks():
        y = down.place(tick)
        parts += [_line(LEFT, y, WIDTH - RIGHT, y), text(LEFT - 8, y + 4, f"{tick:.4g}", "end")]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label, "middle"))
    parts.append(f'<g transform="rotate(-90 16 {HEIGHT / 2})">{text(16, HEIGHT / 2, y_label, "middle")}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">\n'
        + "\n".join([*parts, *drawn])
        + "\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{html.escape(text)}</text>'


def main() -> None:
    options = _options()
    if options.run:
        drawn = [Curve.of_runs(name, [options.run], prefix + options.metric) for name, prefix in OF_A_RUN.items()]
    else:
        drawn = [Curve.of_runs(name, [*map(pathlib.Path, runs)], options.metric) for name, *runs in options.kind]
    curves = [curve for curve in drawn if curve is not None]
    if not curves:
        raise SystemExit(f"The runs have no metric {options.metric!r} at the same steps.")
    for curve in curves:
        for step in curve.steps:
            if step in options.at:
                print(f"{curve.name} at {step:,}: {summary(curve.at(step))}")
    label = options.metric.replace("_", " ")
    options.output.write_text(picture(curves, "environment steps", label, tuple(options.range)), "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs = parser.add_mutually_exclusive_group(required=True)
    runs.add_argument("--run", type=pathlib.Path, help="directory of a run")
    runs.add_argument("--kind", nargs="+", action="append", metavar=("NAME", "RUN"), help="a name, and directories of runs")
    parser.add_argument("--metric", default="bits_per_character")
    parser.add_argument("--range", type=float, nargs=2, default=(1.0, 4.0), metavar=("LOW", "HIGH"), help="of the metric")
    parser.add_argument("--at", type=int, nargs="+", default=[], metavar="STEP", help="steps to print the figures of")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the SVG file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
