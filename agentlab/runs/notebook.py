"""What a notebook shows of a run: a line of text, and the curve of the metric that users know, as a picture without files."""

from __future__ import annotations

import html
import math
import pathlib

from agentlab.runs.files.run_directory import METRICS
from agentlab.system import json_lines
from agentlab.system.files import UnreadableError

WIDTH, HEIGHT = 480, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 28  # margins around the curve
MOST_POINTS = 500

Points = list[tuple[float, float]]


def page_of(text: str, directory: pathlib.Path, metric: str) -> str:
    """Returns a run as HTML: `text`, and the curve of a metric of its lines so far, if there are two points of it."""
    points = points_of(directory, metric)
    picture = curve(points, metric) if len(points) > 1 else ""
    return f"<div><code>{html.escape(text)}</code>{picture}</div>"


def points_of(directory: pathlib.Path, metric: str) -> Points:
    """Returns (step, value) of each line of a run's metrics that has one; fewer where there are very many."""
    try:
        lines = [(line.get("step"), line.get(metric)) for line in json_lines.read_lines(directory / METRICS)]
    except UnreadableError:
        return []
    is_number = json_lines.is_number
    points = [(float(step), float(value)) for step, value in lines if is_number(step) and is_number(value)]
    return points[:: math.ceil(len(points) / MOST_POINTS) or 1]


def curve(points: Points, name: str) -> str:
    """Returns points as a line in SVG, with the smallest and largest number of each axis."""
    steps, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    # In pixels, from the upper left corner.
    places = [
        (LEFT + across * (step - steps[0]) / ((steps[-1] - steps[0]) or 1.0), TOP + down * (1.0 - (value - low) / span))
        for step, value in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    labels = [
        (LEFT - 6, TOP + 8, "end", f"{high:.4g}"),
        (LEFT - 6, bottom, "end", f"{low:.4g}"),
        (LEFT, HEIGHT - 8, "start", f"step {steps[0]:,.0f}"),
        (right, HEIGHT - 8, "end", f"{steps[-1]:,.0f}"),
        (LEFT + 6, TOP + 8, "start", name.replace("_", " ")),
    ]
    texts = "".join(f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>' for x, y, anchor, text in labels)
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="11" fill="currentColor" '
        f'style="display:block;max-width:100%"><path d="M{LEFT},{TOP}V{bottom}H{right}" fill="none" stroke="currentColor" '
        f'opacity="0.4"/><polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="1.8"/>{texts}</svg>'
    )
