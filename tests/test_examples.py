"""The example packages install, and pass their own tests and their check."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from strangers import program

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


def install(path, *packages):
    """Installs from copies: building leaves files beside the source text."""
    places = [shutil.copytree(EXAMPLES / package, path.parent / "build" / package) for package in packages]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    found = subprocess.run([*command, "--target", str(path), *map(str, places)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_an_example_passes_its_tests_and_its_check(path, package):
    install(path, *PACKAGES)
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(EXAMPLES / package)],
        capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    if package == "agentlab-corridor":  # a check puts parts to the very lines that their tests have just put them to
        checked = program("plugin", "check", package)
        assert checked.returncode == 0, checked.stdout


def test_there_is_an_example_of_each_thing_that_people_write():
    assert len(PACKAGES) >= 4
    text = "".join((EXAMPLES / package / "pyproject.toml").read_text("utf-8") for package in PACKAGES)
    for kind in ("environments", "trainers", "samplers", "memories", "tasks"):
        assert f"agentlab.{kind}" in text
