"""Draws a learning curve from a run's metrics.jsonl as an SVG picture.

    agentlab run char-rnn --set evaluation.period=8000
    python benchmarks/learning_curve.py runs/char-rnn/0-1 --output docs/char-rnn.svg

The training figure is the mean since the report before; `evaluation_NAME` is drawn where the run judged itself in between.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import pathlib
from typing import Any

import attrs

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48  # margins
CURVES = (("training", "#1f77b4", ""), ("held out", "#d62728", "evaluation_"))  # name, colour, prefix of the metric

Points = list[tuple[float, float]]


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


def points(lines: list[dict[str, Any]], metric: str) -> Points:
    """Returns (step, value) of the lines that have the metric."""
    return [(line["step"], line[metric]) for line in lines if line.get(metric) is not None]


def picture(curves: dict[tuple[str, str], Points], x_label: str, y_label: str, y_range: tuple[float, float]) -> str:
    """Returns the SVG of curves given by (name, colour)."""
    across = Axis(0.0, max(x for curve in curves.values() for x, _ in curve), LEFT, WIDTH - LEFT - RIGHT)
    down = Axis(*y_range, HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for tick in across.ticks():
        x = across.place(tick)
        parts += [_line(x, TOP, x, HEIGHT - BOTTOM), _text(x, HEIGHT - BOTTOM + 18, f"{tick:,.0f}", "middle")]
    for tick in down.ticks():
        y = down.place(tick)
        parts += [_line(LEFT, y, WIDTH - RIGHT, y), _text(LEFT - 8, y + 4, f"{tick:.4g}", "end")]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label, "middle"))
    parts.append(f'<g transform="rotate(-90 16 {HEIGHT / 2})">{_text(16, HEIGHT / 2, y_label, "middle")}</g>')
    for index, ((name, colour), curve) in enumerate(curves.items()):
        shown = " ".join(f"{across.place(x):.1f},{down.place(min(y, down.high)):.1f}" for x, y in curve)
        parts.append(f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(WIDTH - RIGHT - 12, TOP + 22 + 20 * index, f"{name}: {curve[-1][1]:.3f} at the end", "end", colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{html.escape(text)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="directory of a run")
    parser.add_argument("--metric", default="bits_per_character")
    parser.add_argument("--range", type=float, nargs=2, default=(1.0, 4.0), metavar=("LOW", "HIGH"), help="of the metric")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the SVG file to write")
    options = parser.parse_args()
    lines = [json.loads(line) for line in (options.run / "metrics.jsonl").read_text("utf-8").splitlines()]
    curves = {(name, colour): points(lines, prefix + options.metric) for name, colour, prefix in CURVES}
    drawn = {key: curve for key, curve in curves.items() if curve}
    if not drawn:
        parser.error(f"{options.run} has no metric {options.metric!r}.")
    label = options.metric.replace("_", " ")
    options.output.write_text(picture(drawn, "environment steps", label, tuple(options.range)), "utf-8")


if __name__ == "__main__":
    main()
