"""Time per turn and memory as environments, replay, model and text grow 10 and 100 times: a table, and a picture.

python benchmarks/growth.py --output growth.svg
"""

from __future__ import annotations

import argparse
import math
import pathlib
import random
import tempfile
from collections.abc import Callable

import attrs
import processes
from learning_curve import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, framed, text

FACTORS = (1, 10, 100)
WORDS = 2_000  # of the made text
LINE = 18  # pixels between two names


@attrs.frozen
class Growth:
    """What grows, and a task that measures it.

    Attributes:
        task: its name.
        settings: of the task, by the size and a directory for files.
        start: the smallest size.
        warm_up: turns before the clock starts, by the size.
        timed: turns that are timed, by the size.
        rows: environments side by side, by the size.
    """

    task: str
    settings: Callable[[int, pathlib.Path], dict[str, object]]
    start: int
    warm_up: Callable[[int], int]
    timed: Callable[[int], int]
    rows: Callable[[int], int] = lambda _: 32

    def measure(self, factor: int) -> tuple[float, float]:
        """Runs the task in a process of its own; returns the seconds per turn of all rows, and its peak memory in MB."""
        size = self.start * factor
        rows, warm_up = self.rows(size), self.warm_up(size)
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder) / "run"
            steps = (warm_up + self.timed(size)) * rows
            settings = {
                **self.settings(size, pathlib.Path(folder)),
                "num_environments": rows,
                "report_period": warm_up * rows,
                "checkpoint_period": 0,
                "evaluation.episodes": 1,
            }
            options = ["--steps", str(steps), *processes.as_options(settings)]
            peak = processes.peak_memory(processes.run_command(run, self.task, *options))
            return rows / processes.rate_of(run), peak


def _written(size: int, folder: pathlib.Path) -> dict[str, object]:
    """Writes a text of that many characters; returns the settings to learn from it."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(1, 10))) for _ in range(WORDS)]
    written = " ".join(draw.choices(words, k=size // 4))[:size]
    path = folder / "text.txt"
    path.write_text(written, "utf-8")
    return {"environment.path": path, "model.units": 64}


GROWTHS = {
    "environments": Growth(
        "ppo-cartpole",
        lambda _, __: {"trainer.num_epochs": 4, "trainer.num_minibatches": 4, "trainer.rollout_steps": 128},
        start=8,
        warm_up=lambda _: 1_280,
        timed=lambda rows: 12_800 if rows < 800 else 2_560,
        rows=lambda rows: rows,
    ),
    "steps in the replay": Growth(
        "dqn-cartpole",
        lambda capacity, _: {"memory.capacity": capacity},
        start=10_000,
        warm_up=lambda capacity: max(capacity // 32, 2_000),  # until it is full
        timed=lambda capacity: max(capacity // 32, 10_000),
    ),
    "weights of the largest layer": Growth(
        "dqn-cartpole",
        lambda weights, _: {"model.hidden_units": f"[{round(math.sqrt(weights))}, {round(math.sqrt(weights))}]"},
        start=4_096,
        warm_up=lambda _: 500,
        timed=lambda weights: 10_000 if weights < 100_000 else 3_000,
    ),
    "characters of the text": Growth(
        "char-rnn", _written, start=100_000, warm_up=lambda _: 100, timed=lambda _: 400, rows=lambda _: 16
    ),
}


def main() -> None:
    options = _options()
    seconds: dict[str, list[float]] = {}
    print("| what grows | from | time per turn, 1, 10 and 100 times as many | memory at its peak |\n|---|---|---|---|")
    for name, growth in GROWTHS.items():
        measured = [growth.measure(factor) for factor in FACTORS]
        seconds[name] = [took for took, _ in measured]
        times = ", ".join(f"{took * 1e6:,.0f}" for took in seconds[name])
        peaks = ", ".join(f"{peak:,.0f}" for _, peak in measured)
        print(f"| {name} | {growth.start:,} | {times} us | {peaks} MB |", flush=True)
    if options.output:
        options.output.write_text(picture(seconds), "utf-8")


def picture(seconds: dict[str, list[float]]) -> str:
    """Returns the SVG of times relative to those at the smallest size, both as powers of ten; linear growth in grey."""
    across = Axis(0.0, 2.0, LEFT, WIDTH - LEFT - RIGHT)
    down = Axis(-0.2, 2.3, HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    curves = {"linear": [1.0, 10.0, 100.0], **seconds}
    parts, names = [], []
    for (name, times), colour in zip(curves.items(), ("#999", *COLOURS), strict=False):
        relative = [took / times[0] for took in times]
        places = [
            (across.place(math.log10(factor)), down.place(math.log10(cost)))
            for factor, cost in zip(FACTORS, relative, strict=True)
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        names.append((places[-1][1], f"{name}: {relative[-1]:.2f} times", colour))

    # Names from the bottom up, none over another.
    free = HEIGHT - BOTTOM - 8.0
    for y, name, colour in sorted(names, reverse=True):
        free = min(free, y - 8)
        parts.append(text(WIDTH - RIGHT - 12, free, name, "end", colour))
        free -= LINE
    return framed(across, down, "size, as powers of ten", "time per turn, as powers of ten", parts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, help="the SVG file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
