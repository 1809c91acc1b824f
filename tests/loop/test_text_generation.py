"""Generation: the trained agent acting in `echo`, against a naive loop; its command; and a run whose text is gone."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.loop import text_generation
from agentlab.loop.text_generation import CHUNK, LONG, Writer, execution_for
from agentlab.program.cli import main
from agentlab.sampler import Greedy, Temperature
from agentlab.system import screen

TEXT = "the quick brown fox jumps over the lazy dog;\n" * 60
SMALL = {
    "environment": {"text": TEXT, "window": 16},
    "model": {"units": 16},
    "num_environments": 4,
    "steps": 4 * 60,
    "report_period": 4 * 60,
    "execution": "graph",
    "trainer": {"learning_rate": 0.01},
    "evaluation": {"episodes": 1},
}
UNSEEN = "The prompt has characters that the training text does not have"
GPT = {"name": "gpt", "units": 8, "heads": 2, "layers": 1, "context": 6}
HANDBOOK = {"environment": {**SMALL["environment"], "windows": "random"}, "evaluation": {"environment": None}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    file = folder / "text.txt"
    file.write_text(TEXT, "utf-8")
    environment = {"path": str(file), "window": 16}
    trained = agentlab.run("char-rnn", 0, {**SMALL, "environment": environment}, run_dir=folder / "run")
    file.unlink()  # what follows does without the text
    return trained


def writer(agent, sampler=None, num=1, seed=0, execution="graph"):
    return Writer(agent.model, agent.distribution, agent.spec, sampler or Greedy(), num, seed, execution)


def numbers(agent, length, prompt="", **options):
    return np.concatenate(list(writer(agent, **options).write(length, prompt)), axis=1)


def naive(agent, length, prompt):
    """Greedy text by computing everything written so far again for each character."""
    written = agent.spec.vocabulary.encode(prompt)
    for _ in range(length):
        output, _ = agent.model(tf.constant(written[None]), agent.model.initial_state(1))
        written = np.append(written, output.numpy().reshape(-1, output.shape[-1])[-1].argmax())
    return written[len(prompt) :]


def untrained(**changes):
    """An agent of random weights, large enough for it to write something."""
    agent = agentlab.make_agent("char-rnn", changes={**SMALL, **changes})
    agent.model.set_weights([8.0 * weight for weight in agent.model.get_weights()])
    return agent


# ---- the loop -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{}, pytest.param({"model": {"name": "gru", "units": 8, "layers": 2}}, marks=pytest.mark.slow), {"model": GPT}, HANDBOOK],
    ids=["lstm", "gru", "gpt", "one answer per window"],
)
@pytest.mark.slow
def test_greedy_text_is_that_of_a_naive_loop(monkeypatch, execution, changes):
    monkeypatch.setattr(text_generation, "CHUNK", 16)
    agent = untrained(**changes)
    expected = naive(agent, 20, "the")
    assert len(set(expected.tolist())) > 1
    np.testing.assert_array_equal(numbers(agent, 20, "the", execution=execution)[0], expected)


@pytest.mark.slow
def test_a_prompt_of_one_character_and_none(run):
    np.testing.assert_array_equal(numbers(run.agent, 10, "q")[0], naive(run.agent, 10, "q"))
    np.testing.assert_array_equal(numbers(run.agent, 30), numbers(run.agent, 30, "\n"))


@pytest.mark.slow
def test_texts_side_by_side_are_drawn_independently_and_determined_by_the_seed(run):
    sampler = Temperature(1.0)
    first = numbers(run.agent, 300, sampler=sampler, num=3, seed=1)
    assert first.shape == (3, 300)
    assert (first[0] != first[1]).any()
    assert (first[1] != first[2]).any()
    np.testing.assert_array_equal(numbers(run.agent, 300, sampler=sampler, num=3, seed=1), first)
    assert (numbers(run.agent, 300, sampler=sampler, num=3, seed=2) != first).any()
    longer = numbers(run.agent, 2 * CHUNK + 7, sampler=sampler, num=3, seed=1)
    shorter = numbers(run.agent, 20, sampler=sampler, num=3, seed=1)
    np.testing.assert_array_equal(longer[:, :20], shorter)


@pytest.mark.slow
def test_the_first_character_is_drawn_as_the_model_says(run, assert_frequencies):
    output, _ = run.model(tf.constant(run.agent.spec.vocabulary.encode("the ")[None]), run.model.initial_state(1))
    chances = tf.nn.softmax(output[0, -1] / 3.0).numpy()  # flat enough for five expected draws of each
    drawn = numbers(run.agent, 1, "the ", sampler=Temperature(3.0), num=20_000)
    assert_frequencies(drawn[:, 0], chances)


def test_chunks_are_yielded_as_they_are_written(run):
    sizes = [chunk.shape for chunk in writer(run.agent).write(CHUNK + 3)]
    assert sizes == [(1, CHUNK), (1, 3)]


def test_it_is_the_loop_of_training_that_writes(run, monkeypatch):
    def no_turn(*arguments):
        raise RuntimeError("a turn of the loop")

    monkeypatch.setattr(text_generation, "turn", no_turn)
    with pytest.raises(RuntimeError, match="a turn of the loop"):
        numbers(run.agent, 1)


def test_xla_where_its_compilation_pays():
    assert [execution_for(length, "graph") for length in (LONG - 1, LONG)] == ["graph", "xla"]
    assert execution_for(LONG, "eager") == "eager"


# ---- agent.generate -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_generate(run):
    agent = agentlab.load(run.directory)
    texts = agent.generate(25, "the ", temperature=0.5, top_k=5, top_p=0.9, seed=3, num=2)
    assert texts == run.agent.generate(25, "the ", temperature=0.5, top_k=5, top_p=0.9, seed=3, num=2)
    assert [len(text) for text in texts] == [25, 25]
    assert agent.generate(25, "the ", temperature=0) == [agent.spec.vocabulary.decode(naive(agent, 25, "the "))]


@pytest.mark.slow
def test_bytes():
    agent = untrained(environment={**SMALL["environment"], "units": "bytes"})
    assert agent.model.head.bias.shape == (256,)
    written = numbers(agent, 20, "één", sampler=Temperature(1.0))[0]
    assert agent.generate(20, "één") == [bytes(written.tolist()).decode("utf-8", "replace")]
    assert written.max() > 127


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"length": 0}, "The length is 0; expected a whole number of at least 1."),
        ({"length": 5, "num": 0}, "The number of texts is 0; expected a whole number of at least 1."),
        (
            {"length": 5, "prompt": "Жa7"},
            "The prompt has characters that the training text does not have: 'Ж', '7'. Leave them out.",
        ),
        ({"length": 5, "temperature": -1.0}, "Wrong setting of generate: 'temperature' must be 0 or greater and finite: -1.0."),
        ({"length": 5, "top_p": 0.0}, "Wrong setting of generate: 'top_p' must be greater than 0 and at most 1: 0.0."),
        ({"length": 5, "top_p": 1.5}, "Wrong setting of generate: 'top_p' must be greater than 0 and at most 1: 1.5."),
        ({"length": 5, "top_k": 0}, "Wrong setting of generate: 'top_k' must be at least 1: 0."),
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(run, arguments, sentence):
    with pytest.raises(errors.UsageError) as failure:
        run.agent.generate(**arguments)
    assert str(failure.value) == sentence


def test_an_agent_of_another_kind_writes_nothing():
    agent = agentlab.make_agent("dqn-cartpole")
    with pytest.raises(errors.UsageError, match=r"'cartpole' shows a float32 array of shape .* such as char-rnn"):
        agent.generate(5)


def test_a_model_without_state_writes_nothing():
    agent = agentlab.make_agent("char-rnn", changes={**SMALL, **HANDBOOK, "model": {"name": "mlp"}})
    with pytest.raises(errors.UsageError, match="carries no state from character to character, which generating needs"):
        agent.generate(5)


# ---- the command ----------------------------------------------------------------------------------------------------------


def sample(capsys, *arguments):
    code = main(["sample", *map(str, arguments)])
    output = capsys.readouterr()
    return code, output.out, output.err


@pytest.mark.slow
def test_one_text_is_written_without_ado(run, capsys):
    code, text, _ = sample(capsys, run.directory, "--length", 150, "--temperature", 0.5, "--prompt", "the ", "--seed", 4)
    assert code == 0
    assert text == "the " + run.agent.generate(150, "the ", temperature=0.5, seed=4)[0] + "\n"


@pytest.mark.slow
def test_several_temperatures_make_a_table(run, capsys):
    _, text, _ = sample(capsys, run.directory, "--length", 20, "--temperature", 0.2, 0.5, 1.0, 1.2, "--top-k", 9)
    expected = ""
    for temperature in (0.2, 0.5, 1.0, 1.2):
        written = run.agent.generate(20, temperature=temperature, top_k=9)[0]
        expected += f"----- temperature {temperature:g}\n{written}\n"
    assert text == expected


@pytest.mark.slow
def test_several_texts(run, capsys):
    _, text, _ = sample(capsys, run.directory, "--length", 9, "--num", 2, "--top-p", 0.9)
    first, second = run.agent.generate(9, num=2, top_p=0.9)
    assert text == f"----- temperature 1, text 1 of 2\n{first}\n----- temperature 1, text 2 of 2\n{second}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--length", 0], "--length is 0; expected a whole number of at least 1."),
        (["--num", 0], "--num is 0; expected a whole number of at least 1."),
        (["--temperature", -1], "'temperature' must be 0 or greater and finite: -1.0."),
        (["--top-p", 0], "'top_p' must be greater than 0 and at most 1: 0.0."),
        (["--top-k", 0], "'top_k' must be at least 1: 0."),
        (["--prompt", "Ж"], f"{UNSEEN}: 'Ж'. Leave them out."),
    ],
)
def test_the_command_refuses_in_one_sentence(run, capsys, arguments, sentence):
    code, text, complaint = sample(capsys, run.directory, *arguments)
    assert (code, text) == (2, "")
    assert complaint.startswith("agentlab: ")
    assert complaint.endswith(f"{sentence}\n")
    assert complaint.count("\n") == 1


@pytest.mark.slow
def test_a_run_of_another_kind_is_refused(tmp_path, capsys):
    changes = {"environment": {"name": "identity"}, "steps": 64, "num_environments": 2, "trainer": {"learning_starts": 32}}
    other = agentlab.run("dqn", 0, {**changes, "execution": "graph", "evaluation": {"episodes": 1}}, run_dir=tmp_path / "run")
    code, _, complaint = sample(capsys, other.directory)
    assert code == 2
    assert "The agent was not trained on text: 'identity' shows a float32 array" in complaint


def test_evaluating_says_that_the_text_is_gone(run, capsys):
    assert main(["evaluate", str(run.directory)]) == 2
    assert "can't be read: No such file or directory. Set environment.path" in capsys.readouterr().err


@pytest.mark.slow
def test_a_closed_pipe_ends_it_quietly(run):
    command = [sys.executable, "-m", "agentlab", "sample", str(run.directory), "--length", "15000"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert len(process.stdout.read(50)) == 50  # long before the end: characters come as they are written
    process.stdout.close()
    complaint = process.stderr.read()
    assert process.wait(60) == 0
    assert complaint == b""
    process.stderr.close()


@pytest.mark.slow
def test_playing_text_writes_it_without_a_screen(run, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(screen, "_opens", lambda: False)
    assert main(["play", str(run.directory)]) == 0
    assert len(capsys.readouterr().out) > 100
    assert not list(tmp_path.iterdir())


def test_text_has_no_video(run, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["play", str(run.directory), "--video", "a.gif"]) == 2
    assert "has no pictures to show" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
