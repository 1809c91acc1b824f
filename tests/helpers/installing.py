"""Installs packages and runs their tests, in fewer processes than pip and pytest start for it."""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys
import tomllib
from collections.abc import Iterable

import preloaded


def install(projects: Iterable[pathlib.Path], site: pathlib.Path) -> None:
    """Builds packages, each by the backend that its pyproject.toml names, and installs them into a new directory.

    Pip, told to build them, would start three processes for each.
    """
    wheels = site.parent / "wheels"
    wheels.mkdir()
    _run(__file__, wheels, *projects)
    _run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, *sorted(wheels.glob("*.whl")))


def run_tests(site: pathlib.Path, directory: pathlib.Path, words: Iterable[str | pathlib.Path]) -> str:
    """Runs pytest with packages of `install` in a process that need not import TensorFlow; returns what it prints."""
    script, options = directory / "script.py", ["-q", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib"]
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(site)!r}); os.environ['PYTHONPATH'] = {str(site)!r}\n"
        "import pytest; sys.exit(pytest.main(sys.argv[1:]))\n"
    )
    code, output, complaint = preloaded.run(script, directory, [*options, *map(str, words)], strict=False)
    assert code == 0, output + complaint
    return output


def _run(*words: str | pathlib.Path) -> None:
    process = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


def _build(wheels: str, *projects: str) -> None:
    backends = [tomllib.loads(pathlib.Path(project, "pyproject.toml").read_text("utf-8")) for project in projects]
    modules = [importlib.import_module(tables["build-system"]["build-backend"]) for tables in backends]
    for project, module in zip(projects, modules, strict=True):
        number = os.fork()
        if number == 0:
            os.chdir(project)  # where a backend expects to be called
            module.build_wheel(wheels)
            os._exit(0)
        if code := os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]):
            sys.exit(f"{project} can't be built: exit code {code}.")


if __name__ == "__main__":
    _build(*sys.argv[1:])
