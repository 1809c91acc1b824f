"""The example packages install, pass their own tests, and do what their READMEs say."""

import re
import shutil

import pytest

import installing
import preloaded
from paths import ROOT

EXAMPLES = ROOT / "examples"
PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Installs the packages, from copies, as building leaves files beside the source text; returns where."""
    directory = tmp_path_factory.mktemp("examples")
    places = [shutil.copytree(EXAMPLES / package, directory / "build" / package) for package in PACKAGES]
    installing.install(places, directory / "site")
    return directory / "site"


LONGEST = "agentlab-vanilla-policy-gradient"


@pytest.mark.slow
@pytest.mark.parametrize("packages", [[LONGEST], [name for name in PACKAGES if name != LONGEST]], ids=["longest", "others"])
def test_examples_pass_their_tests(site, tmp_path, packages):
    options = ["-o", "addopts="]  # those of this tree
    assert " passed" in installing.run_tests(site, tmp_path, [*options, *(EXAMPLES / package for package in packages)])


def commands():
    """Returns the words of every line of a README that begins with `$ agentlab`."""
    texts = [(EXAMPLES / package / "README.md").read_text("utf-8") for package in PACKAGES]
    return [line.split() for text in texts for line in re.findall(r"^\$ agentlab (.*)$", text, re.MULTILINE)]


@pytest.mark.slow
def test_the_commands_of_the_readmes_run(site, tmp_path):
    """One after the other in one process; runs with a budget of a few steps, as what they learn is tested elsewhere.

    As graphs: XLA takes longer to compile, and the tests of the packages run them by it.
    """
    assert len(commands()) >= 8
    budget = ["--steps", "600", "--quiet", "--set", "evaluation.episodes=2", "--execution", "graph"]
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
