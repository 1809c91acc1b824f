"""Numbers that no part can have written are refused when a checkpoint is restored, before anything is computed from them."""

import re

import numpy as np
import pytest
import tensorflow as tf

import agentlab
import untrusted
from agentlab import errors
from agentlab.memory import Layout, Request
from agentlab.runs.checkpoints import Checkpoints, snapshot
from agentlab.runs.composition import resolved
from agentlab.runs.session.session import Session
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system import arrays, files
from agentlab.system.arrays import ArrayFile
from agentlab.system.files import UnreadableError
from agentlab.system.ranges import COUNT, FINITE, CheckedFile, Range, complaint, prefixed
from agentlab.tensors import variables
from agentlab.types import Step
from agentlab_memories.prioritized import PrioritizedReplay

DQN = {
    "environment": {"name": "cartpole"},
    "model": {"name": "mlp", "hidden_units": [4]},
    "trainer": {"name": "dqn", "learning_starts": 8, "update_period": 4, "num_steps": 3},
    "memory": {"name": "prioritized-replay", "capacity": 64, "batch_size": 4},
    "num_environments": 2,
    "steps": 40,
    "execution": "graph",
    "evaluation": {"episodes": 1},
}
TEXT = {"name": "text", "text": "the quick brown fox jumps over the lazy dog. " * 40, "window": 8}
CHARACTERS = {"environment": TEXT, "num_environments": 2, "steps": 16, "execution": "graph", "evaluation": {"episodes": 1}}
GPT = {"name": "gpt", "units": 8, "heads": 2, "layers": 1, "context": 6}
FAMILIES = {
    "device": ("dqn", DQN),
    "hosted": ("dqn", {**DQN, "gear": "host"}),
    "replay": ("dqn", {**DQN, "memory": {"name": "replay", "capacity": 64, "batch_size": 4}}),
    "host": ("dqn", {**DQN, "environment": {"name": "gymnasium", "id": "CartPole-v1"}}),
    "minatar": ("dqn", {**DQN, "environment": {"name": "minatar-breakout"}}),
    "identity": ("dqn", {**DQN, "environment": {"name": "identity"}}),
    "ppo": (
        "ppo-cartpole",
        {"trainer": {"rollout_steps": 4}, **{name: DQN[name] for name in ("steps", "execution", "evaluation")}},
    ),
    "images": ("classifier-digits", {"steps": 400, "execution": "graph", "evaluation": {"episodes": 4}}),
    "text": ("char-rnn", {**CHARACTERS, "model": {"name": "lstm", "units": 4, "layers": 1}}),
    "text-on-the-host": ("char-rnn", {**CHARACTERS, "model": {"name": "gru", "units": 4, "layers": 1}, "gear": "host"}),
    "transformer": ("char-rnn", {**CHARACTERS, "model": GPT}),
}
BELIEVED = {
    "agent/model/003",  # of a recurrent model, the state of its random generator
    "memory/target",  # a negative one means that there is nothing to be right about
}


@pytest.fixture(scope="module", params=FAMILIES)
def taken(request, tmp_path_factory):
    """A session, and the checkpoint that it came to."""
    task, changes = FAMILIES[request.param]
    session = Session(resolved(task, changes, None), 0, None, bool)
    session._assembly.gear.start()
    session._assembly.gear.run(8)
    folder = tmp_path_factory.mktemp("taken")
    steps = 8 * session._task.num_environments
    groups = snapshot.without_unused_rows(snapshot.take(session.agent, session._assembly.gear))
    Checkpoints(folder / "checkpoints").save(steps, groups, {"metrics_bytes": 0, "best": None, "exact": True})
    yield session, Checkpoints(folder / "checkpoints").open(steps)
    session.close()


@pytest.mark.slow
def test_every_number_that_no_part_can_have_written_is_refused(taken, tmp_path):
    """Whole numbers of all parts of agentlab's own have limits, and all fractions are finite."""
    session, whole = taken
    snapshot.put(whole, session.agent, session._assembly.gear)
    sentences, believed = [], set()
    for group, name, wrong in untrusted.with_wrong_numbers(whole, tmp_path / "forged"):
        try:
            snapshot.put(wrong, session.agent, session._assembly.gear)
            believed.add(f"{group}/{name}")
        except UnreadableError as error:
            start = f"{group}.safetensors has {name} as "
            sentences.append(str(error).removeprefix(start))
    assert believed <= BELIEVED
    assert len(sentences) > 10
    for sentence in sentences:
        assert re.fullmatch(r"[-\w.+]+( at element [\d,]+)?; expected .*\d.*|.* a finite number", sentence)
    snapshot.put(whole, session.agent, session._assembly.gear)
    session._assembly.gear.run(8)


@pytest.mark.slow
def test_a_run_with_a_wrong_number_is_told_of_in_one_sentence(tmp_path):
    run = agentlab.run("dqn", 0, DQN, run_dir=tmp_path / "run").directory
    checkpoints = Checkpoints(run / "checkpoints")
    whole = checkpoints.open(checkpoints.steps()[-1])
    groups = {group: whole.file(group).read_all() for group in ("agent", "memory", "loop")}
    for group, name, value, use in (
        ("memory", "ring/added", -5, agentlab.resume),
        ("loop", "fault/000", 1, agentlab.resume),
        ("agent", "steps", 38, agentlab.resume),
        ("agent", "steps", 2**62, agentlab.load),
        ("agent", "model/000", np.nan, agentlab.load),
    ):
        held = {**groups, group: {**groups[group], name: np.full_like(groups[group][name], value)}}
        checkpoints.save(whole.step, held, whole.facts)
        (run / "result.json").unlink(missing_ok=True)
        sentence = rf"does not fit the run's config.json: {group}.safetensors has {name} as .*; expected .*before it\.$"
        with pytest.raises(errors.UsageError, match=sentence):
            use(run)
    checkpoints.save(whole.step, groups, whole.facts)
    agentlab.load(run)


def test_places_that_there_are_not_are_refused(tmp_path):
    """One beyond the last is as wrong as any."""
    spec = EnvironmentSpec("stacks", Array((2, 3, 3), "uint8", 0, 255), Discrete(2))
    memory = PrioritizedReplay(capacity=10_001, batch_size=4, observations="frames")
    memory.build(Layout(spec, 2, Request(3, 0.9, priority=True)))
    pictures = tf.constant(np.random.default_rng(0).integers(0, 255, (6, 2, 3, 3)), tf.uint8)
    numbers = tf.zeros([6])
    rows = tf.constant([0, 1] * 3, tf.int64)
    never, always = tf.zeros([6], tf.bool), tf.ones([6], tf.bool)
    memory.add(Step(pictures, rows, numbers, numbers, pictures, never, always), rows)
    held = {name: np.array(variable.numpy()) for name, variable in memory.variables().items()}
    stored = int(held["ring/observations/stored"])
    assert not refusal(tmp_path, memory, held)
    for name, place, value, expected in (
        ("ring/observations/numbers", 0, -1, f"0 to {stored}"),
        ("ring/observations/numbers", 3, stored + 1, f"0 to {stored}"),
        ("ring/observations/newest", 0, stored + 1, f"-1 to {stored}"),
        ("ring/observations/begin", 0, 7, "0 to 6"),
        ("ring/following", 0, 10_001, "0 to 10,000"),
        ("ring/newest", 1, 7, "-1 to 6"),
        ("ring/stored/action", 2, 2, "0 to 1"),
        ("tree/levels/001", 10_001, 1.0, "0"),
        ("tree/levels/000", 626, 1.0, "0"),
        ("tree/levels/001", 0, -1.0, "a finite number of at least 0"),
    ):
        wrong = {**held, name: held[name].copy()}
        wrong[name].reshape(-1)[place] = value
        assert refusal(tmp_path, memory, wrong).endswith(f"; expected {expected}")


def refusal(folder, memory, held):
    """Returns the sentence by which what a memory held is refused, or nothing."""
    with (folder / "memory").open("wb") as opened:
        arrays.write(opened, held)
    try:
        variables.assign_by_rows(ArrayFile.open(folder / "memory"), memory.variables(), memory.ranges())
    except UnreadableError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("array", "span", "clause"),
    [
        (np.array([0, 5, 9]), Range(0, 9), ""),
        (np.array([0, 5, 10]), Range(0, 9), "10 at element 2; expected 0 to 9"),
        (np.array(-1), COUNT, "-1; expected 0 to 9,007,199,254,740,992"),
        (np.array(2**62), COUNT, f"{2**62}; expected 0 to 9,007,199,254,740,992"),
        (np.array([[1.0, np.nan]]), FINITE, "nan at element 1; expected a finite number"),
        (np.array([-np.inf], np.float16), FINITE, "-inf at element 0; expected a finite number"),
        (np.array([1, -7]), FINITE, ""),
        (np.array([0.5, -0.5]), Range(0), "-0.5 at element 1; expected a finite number of at least 0"),
        (np.array([-3, 4]), Range(maximum=4), ""),
        (np.array([-3, 5]), Range(maximum=4), "5 at element 1; expected at most 4"),
        (np.array([1.0, 2.0, 0.0]), Range(0, used=2), ""),
        (np.array([1.0, 2.0, 0.5]), Range(0, used=2), "0.5 at element 2; expected 0"),
        (np.zeros(0), Range(0, 1), ""),
    ],
)
def test_complaints(array, span, clause):
    before = array.copy()
    assert complaint(array, span) == clause
    np.testing.assert_array_equal(array, before)


def test_large_arrays_are_checked_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 64)
    held = {"ring": np.arange(100).reshape(50, 2), "last": np.array(98)}
    with (tmp_path / "file").open("wb") as opened:
        arrays.write(opened, held)
    rings = {name: tf.Variable(tf.zeros_like(array)) for name, array in held.items()}
    ranges = {"ring": Range(0, "last")}
    with pytest.raises(UnreadableError, match=r"^file has ring as 99 at element 99; expected 0 to 98$"):
        variables.assign_by_rows(ArrayFile.open(tmp_path / "file"), rings, ranges)
    variables.assign_by_rows(ArrayFile.open(tmp_path / "file"), rings, {"ring": Range(0, 99)})
    np.testing.assert_array_equal(rings["ring"], held["ring"])


def test_a_limit_that_another_variable_holds_is_checked_first(tmp_path):
    with (tmp_path / "file").open("wb") as opened:
        arrays.write(opened, {"newest": np.array([3]), "added": np.array(2**62)})
    with pytest.raises(UnreadableError, match="file has added as"):
        CheckedFile(ArrayFile.open(tmp_path / "file"), {"newest": Range(-1, "added"), "added": COUNT})
    assert prefixed("part/", {"newest": Range(-1, "added")}) == {"part/newest": Range(-1, "part/added")}
