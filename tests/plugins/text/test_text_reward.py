"""Text taught by reward, as whole runs: begun from a run on text, stopped and resumed, judged by Python, sampled."""

import io

import numpy as np
import pytest

import agentlab
import judging
from agentlab import errors, seeds, settings
from agentlab.program import sample
from agentlab.registry import plugins

TEXT = "abcab\ncabba\nbcaab\n" * 20
MODEL = {"units": 8, "layers": 1, "heads": 1, "context": 4}
WRITING = {"prompts": "text", "text": TEXT, "prompt_length": 2, "completion_length": 3, "stop": "", "group_size": 4}
PREFER = {"reward": "prefer", "characters": "b"}
SMALL = {
    "model": MODEL,
    "trainer": {"learning_rate": 1e-2},
    "num_environments": 8,
    "steps": 8 * 4 * 6,
    "report_period": 8 * 4 * 2,
    "checkpoint_period": 8 * 4,
    "execution": "graph",
    "evaluation": {"episodes": 4},
}
JUDGED = {"name": "writing-judged", **WRITING, "reward": "judging:length", "group_size": 2}


def changes(environment=None, **own):
    evaluation = {"episodes": 4, "environment": environment or {"name": "writing", **WRITING, **PREFER, "group_size": 1}}
    return {**SMALL, "environment": environment or {**WRITING, **PREFER}, "evaluation": evaluation, **own}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A run on the text, that learns it a little."""
    small = {"model": MODEL, "environment": {"path": "", "text": TEXT, "window": 4}, "num_environments": 4, "steps": 40}
    small |= {"execution": "graph", "report_period": 40, "evaluation": {"episodes": 1}}
    return agentlab.run("gpt-sort-examples", 0, small, run_dir=tmp_path_factory.mktemp("start") / "run")


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    return agentlab.run("gpt-sort", 1, changes(), run_dir=tmp_path_factory.mktemp("whole") / "run", init_from=start.directory)


def assert_same(one, other):
    for left, right in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "begin"),
    [("gpt-sort", "gpt-sort-examples"), ("gpt-add", "gpt-add-examples"), ("char-rnn-reward", "char-rnn-docs")],
)
def test_tasks_fit_the_runs_they_begin_with(task, begin):
    """Their models have the same variables, and the text has the characters that are rewarded."""
    taught, start = (agentlab.make_agent(name) for name in (task, begin))
    shapes = [[(tuple(variable.shape), variable.dtype) for variable in agent.model.variables] for agent in (taught, start)]
    assert shapes[0] == shapes[1]
    environment = plugins.load("task", task).environment
    settings.build(plugins.load("environment", environment.name), environment.settings, task).initial(seeds.at(0, 0), 16)


@pytest.mark.slow
def test_it_begins_as_the_run_on_text_ended_and_moves_on(start, whole):
    reference = [value.numpy() for _, value in whole.agent.trainer._reference.values()]
    for weight, begun in zip(start.model.get_weights(), reference, strict=True):
        np.testing.assert_array_equal(weight, begun)
    assert whole.result["updates"] == 6
    assert any(np.any(one != other) for one, other in zip(start.model.get_weights(), whole.model.get_weights(), strict=True))


@pytest.mark.slow
def test_stopped_and_resumed_in_the_middle_of_a_completion_it_comes_to_the_same_bits(start, whole, tmp_path):
    asked = iter([False] * 3 + [True] * 100)
    own = changes(checkpoint_period=8 * 3)
    with pytest.raises(errors.Interrupted):
        agentlab.run("gpt-sort", 1, own, run_dir=tmp_path / "run", init_from=start.directory, stop=lambda: next(asked))
    assert_same(agentlab.resume(tmp_path / "run").model, whole.model)


@pytest.mark.slow
def test_text_is_sampled_from_it(whole):
    out = io.StringIO()
    sample.write(whole.directory, 5, [1.0], out, prompt="ab", seed=3)
    assert out.getvalue().startswith("ab")
    assert set(out.getvalue()[2:]) <= set("abc\n\ufffd")
    assert len(out.getvalue()) == 2 + 5 + 1


def test_another_vocabulary_is_refused(start, tmp_path):
    own = changes({**WRITING, **PREFER, "text": "xyz" * 30, "characters": "x"}, evaluation={"episodes": 4})
    with pytest.raises(errors.UsageError, match="was trained with another vocabulary than 'writing' has"):
        agentlab.run("gpt-sort", 0, own, run_dir=tmp_path / "run", init_from=start.directory)


@pytest.mark.slow
def test_a_run_whose_reward_function_failed_is_resumed_once_it_is_mended(start, tmp_path, monkeypatch):
    own = changes(JUDGED)
    mended = agentlab.run("gpt-sort", 1, own, run_dir=tmp_path / "mended", init_from=start.directory)
    calls = iter(range(100))

    def failing(prompts, completions, **columns):
        return [None if next(calls) == 20 else float(len(completion)) for completion in completions]

    with monkeypatch.context() as patch:
        patch.setattr(judging, "length", failing)
        with pytest.raises(errors.EnvironmentFault, match=r"returned None for '.*' after the prompt '.*' in row \d; .* resume"):
            agentlab.run("gpt-sort", 1, own, run_dir=tmp_path / "run", init_from=start.directory)
    assert_same(agentlab.resume(tmp_path / "run", trust=True).model, mended.model)  # config.json names a module


@pytest.mark.slow
@pytest.mark.parametrize("shared_torso", [pytest.param(True, marks=pytest.mark.slow), False])
def test_ppo_learns_in_the_same_environment(start, tmp_path, shared_torso):
    trainer = {"name": "ppo", "shared_torso": shared_torso, "rollout_steps": 8, "num_minibatches": 2, "num_epochs": 1}
    environment = {**WRITING, **PREFER, "group_size": 1}

    # With values of a network of their own, the policy has the outputs of the run on text.
    models = {} if shared_torso else {"value": {"name": "mlp", "hidden_units": [8]}}
    begin = None if shared_torso else start.directory
    own = changes(environment, trainer=trainer, models=models)
    run = agentlab.run("gpt-sort", 1, own, run_dir=tmp_path / "run", init_from=begin)
    assert run.result["updates"] == 3
