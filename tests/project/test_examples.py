"""The example packages install, pass their own tests, and do what their READMEs say."""

import os
import re
import shutil
import subprocess
import sys

import pytest

import preloaded
from paths import ROOT

EXAMPLES = ROOT / "examples"
PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Installs the packages, from copies, as building leaves files beside the source text; returns where."""
    directory = tmp_path_factory.mktemp("examples")
    places = [shutil.copytree(EXAMPLES / package, directory / "build" / package) for package in PACKAGES]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    process = subprocess.run([*command, "--target", str(directory / "site"), *map(str, places)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return directory / "site"


LONGEST = "agentlab-vanilla-policy-gradient"


@pytest.mark.slow
@pytest.mark.parametrize("packages", [[LONGEST], [name for name in PACKAGES if name != LONGEST]], ids=["longest", "others"])
def test_examples_pass_their_tests(site, monkeypatch, packages):
    monkeypatch.setenv("PYTHONPATH", str(site))
    places = [str(EXAMPLES / package) for package in packages]
    options = ["-o", "addopts=", "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "error"]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, *places],
        capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    assert " passed" in process.stdout


def commands():
    """Returns the words of every line of a README that begins with `$ agentlab`."""
    texts = [(EXAMPLES / package / "README.md").read_text("utf-8") for package in PACKAGES]
    return [line.split() for text in texts for line in re.findall(r"^\$ agentlab (.*)$", text, re.MULTILINE)]


@pytest.mark.slow
def test_the_commands_of_the_readmes_run(site, tmp_path):
    """One after the other in one process; runs with a budget of a few steps, as what they learn is tested elsewhere."""
    assert len(commands()) >= 8
    budget = ["--steps", "600", "--quiet", "--set", "evaluation.episodes=2"]
    lines = [[*words, *(budget if words[0] == "run" else [])] for words in commands()]
    script = tmp_path / "script.py"
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(site)!r}); os.environ['PYTHONPATH'] = {str(site)!r}\n"
        "import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads(1)\n"  # as some tasks ask, each alone
        f"from agentlab.program.cli import main\nfor words in {lines}:\n    assert main(words) == 0, words\n"
    )
    code, _, complaint = preloaded.run(script, tmp_path, strict=False)
    assert (code, complaint) == (0, ""), complaint


def test_there_is_an_example_of_each_thing_that_people_write():
    assert len(PACKAGES) >= 4
    text = "".join((EXAMPLES / package / "pyproject.toml").read_text("utf-8") for package in PACKAGES)
    for kind in ("environments", "trainers", "samplers", "memories", "tasks"):
        assert f"agentlab.{kind}" in text
