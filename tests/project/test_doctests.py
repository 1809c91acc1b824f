"""Examples in docstrings are run, each of them."""

import doctest
import importlib
import pkgutil

import pytest

import agentlab
import agentlab_dqn
import agentlab_envs
import agentlab_memories
import agentlab_models
import agentlab_policy_gradient
import agentlab_supervised
import agentlab_text

PACKAGES = (
    agentlab,
    agentlab_dqn,
    agentlab_envs,
    agentlab_memories,
    agentlab_models,
    agentlab_policy_gradient,
    agentlab_supervised,
    agentlab_text,
)
MODULES = sorted(
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)


def examples_of(name):
    tests = doctest.DocTestFinder().find(importlib.import_module(name))
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    runner = doctest.DocTestRunner(verbose=False)
    for test in examples_of(name):
        assert not any(example.options.get(doctest.SKIP) for example in test.examples), f"{test.name} skips an example"
        output = []
        result = runner.run(test, out=output.append)
        assert result.failed == 0, "".join(output)
        assert result.attempted == len(test.examples)


def test_there_are_examples():
    assert sum(len(examples_of(name)) for name in MODULES) >= 4
    assert len(MODULES) > 25
