"""What plugins cost: to write, install and check one of each kind; and to list what is installed, and to import agentlab.

python benchmarks/plugins.py check [--kind KIND]    in a fresh virtual environment, `--python` for which
python benchmarks/plugins.py list                   median of 9 processes each
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from agentlab.program import scaffold  # noqa: E402
from agentlab.registry import packages  # noqa: E402
from hostile import install_hostile  # noqa: E402 - the very ones that the tests install
from strangers import distribution  # noqa: E402

COMMANDS = {
    "agentlab list": ["-m", "agentlab", "list"],
    "import agentlab": ["-c", "import agentlab; agentlab.Task"],
}


def check(options: argparse.Namespace) -> None:
    """Prints the seconds from `plugin new` to a passing `plugin check` for each kind, by its commands."""
    with tempfile.TemporaryDirectory() as place:
        program = (options.environment or pathlib.Path(place) / "venv") / "bin"
        if options.environment is None:
            subprocess.run([options.python, "-m", "venv", f"{place}/venv"], check=True)
            subprocess.run([program / "pip", "install", "--quiet", str(ROOT)], check=True)
        for kind in [options.kind] if options.kind else packages.GROUPS:
            name = f"try-{kind}"
            commands = {
                "new": [program / "agentlab", "plugin", "new", name, "--kind", kind],
                "install": [program / "pip", "install", "--quiet", f"./{name}"],
                "check": [program / "agentlab", "plugin", "check", name],
            }
            subprocess.run([program / "pip", "uninstall", "--quiet", "--yes", name], capture_output=True, check=True)
            seconds = {step: _timed(command, place) for step, command in commands.items()}
            times = ", ".join(f"{step} {value:.1f} s" for step, value in seconds.items())
            print(f"{kind}: {sum(seconds.values()):.1f} s ({times})", flush=True)


def listing(options: argparse.Namespace) -> None:
    """Prints the seconds of whole processes: alone, among 50 plugins, and among the hostile ones."""
    with tempfile.TemporaryDirectory() as place:
        places = {name: pathlib.Path(place) / name for name in ("no plugins", "50 plugins", "the hostile plugins")}
        for path in places.values():
            path.mkdir()
        for number in range(50):
            _install(places["50 plugins"], f"plugin-{number}", list(packages.GROUPS)[number % len(packages.GROUPS)])
        install_hostile(places["the hostile plugins"])
        for title, command in COMMANDS.items():
            for name, path in places.items():
                environment = {**os.environ, "PYTHONPATH": str(path)}
                seconds = [_timed([sys.executable, *command], place, environment) for _ in range(options.repetitions)]
                print(
                    f"{title}, {name}: {statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})",
                    flush=True,
                )
        bare = [_timed([sys.executable, "-c", "pass"], place) for _ in range(options.repetitions)]
        print(f"Python alone: {statistics.median(bare):.3f} s")


def _timed(command: list, place: str, environment: dict[str, str] | None = None) -> float:
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds


def _install(path: pathlib.Path, name: str, kind: str) -> None:
    """Puts what `plugin new` writes where pip would: its modules and its metadata."""
    with tempfile.TemporaryDirectory() as written:
        scaffold.write(name, kind, pathlib.Path(written))
        root = pathlib.Path(written) / name
        sources = {
            str(file.relative_to(root / "src").with_suffix("")): file.read_text("utf-8") for file in root.glob("src/*/*.py")
        }
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    groups = {
        group.removeprefix("agentlab."): [f"{entry} = {target}" for entry, target in entries.items()]
        for group, entries in project["entry-points"].items()
    }
    distribution(path, name, sources, project["version"], **groups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("check", "list"))
    parser.add_argument("--kind", choices=tuple(packages.GROUPS))
    parser.add_argument("--python", default=sys.executable, help="for the fresh environment (default: this one)")
    parser.add_argument("--environment", type=pathlib.Path, help="a virtual one that has agentlab (default: a fresh one)")
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args()
    {"check": check, "list": listing}[options.figure](options)


if __name__ == "__main__":
    main()
