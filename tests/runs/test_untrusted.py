"""What a stranger sent may be refused, but nothing in it is run, no other file is read, and memory is not exhausted."""

import json
import pickle
import random
import shutil

import keras
import pytest

import agentlab
import untrusted
from agentlab import errors
from agentlab.runs.model_building import weights_within


@pytest.fixture
def originals(tmp_path):
    untrusted.make_originals(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    changes = {
        "environment": {"name": "identity"},
        "model": {"hidden_units": [8]},
        "memory": {"capacity": 64, "batch_size": 8},
        "steps": 64,
        "evaluation": {"episodes": 1},
        "execution": "graph",
    }
    return agentlab.run("dqn", 0, changes, run_dir=tmp_path_factory.mktemp("stranger") / "run").directory


def test_the_guard_notices_what_must_not_happen(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    untrusted.GUARD.secret = str(secret)
    assert untrusted.trips(lambda: pickle.loads(pickle.dumps(untrusted.Payload())))
    assert untrusted.trips(lambda: secret.read_text())
    assert not untrusted.trips(lambda: (tmp_path / "other").write_text("fine"))


@pytest.mark.slow
def test_random_damage_is_refused_or_read_and_nothing_else(tmp_path, full):
    counts = untrusted.fuzz(100_000 if full else 2_000, 0, tmp_path)
    for name in untrusted.READERS:
        assert counts[name, "refused"] > 0, name


@pytest.mark.parametrize("attack", untrusted.exploit_data(None))
def test_an_attack_by_a_data_set_is_refused(originals, attack):
    untrusted.exploit_data(originals)[attack]()
    assert untrusted.try_reader("data.npz", originals) == "refused"


@pytest.mark.parametrize("attack", untrusted.CHECKPOINT_ATTACKS)
def test_an_attack_by_a_checkpoint_is_refused(originals, attack):
    secret = originals / "secret.json"
    secret.write_text(json.dumps({"schema": 1, "step": 10}))
    untrusted.GUARD.secret = str(secret)
    untrusted.exploit_checkpoint(originals, secret)[attack]()
    assert untrusted.try_reader("step-10/manifest.json", originals) == "refused"
    if attack not in ("a linked manifest", "a file outside", "deep JSON", "a key twice"):
        assert untrusted.try_reader("step-10/agent.safetensors", originals) == "refused"


def test_an_archive_that_unpacks_to_more_than_the_memory_is_refused(originals, monkeypatch):
    monkeypatch.setattr("agentlab.system.free_memory.free_bytes", lambda: 100)
    assert untrusted.try_reader("data.npz", originals) == "refused"


def test_a_config_can_ask_for_no_more_weights_than_its_checkpoint_holds(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    data = json.loads(config.read_text())
    data["task"]["model"]["hidden_units"] = [10**9, 10**9]
    config.write_text(json.dumps(data))
    for use in (agentlab.load, agentlab.resume):
        with pytest.raises(errors.UsageError, match=r"a model of more weights than its checkpoint of .* weights can hold"):
            use(tmp_path / "run")


def test_counting_weights_ends_with_the_block():
    with weights_within(12):
        keras.layers.Dense(4).build((None, 2))
    keras.layers.Dense(40).build((None, 20))
    with pytest.raises(errors.UsageError, match="more weights"), weights_within(11):
        keras.layers.Dense(4).build((None, 2))


def leaves(value, path=()):
    """Returns the paths to all plain values of nested tables."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    return [path]


WRONG = [None, -1, 0, 1e308, "", "x" * 200, [], {}, [[1]], True, 10**30, "../../secret", {"name": "nothing"}]


@pytest.mark.slow
def test_a_config_with_any_setting_wrong_is_loaded_or_told_of(run, tmp_path):
    generator = random.Random(0)
    shutil.copytree(run, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    honest = json.loads(config.read_text())
    refused = 0
    for path in leaves({"task": honest["task"], "seed": honest["seed"], "spec": honest["spec"]}):
        for wrong in generator.sample(WRONG, 3):
            data = json.loads(json.dumps(honest))
            table = data
            for key in path[:-1]:
                table = table[key]
            table[path[-1]] = wrong
            config.write_text(json.dumps(data))
            try:
                agentlab.load(tmp_path / "run")
            except errors.AgentlabError:
                refused += 1
    assert refused > 30


def test_a_run_without_its_directory_and_a_directory_without_a_run(tmp_path):
    with pytest.raises(errors.UsageError, match="is not a run"):
        agentlab.resume(tmp_path / "none")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(errors.UsageError, match="symbolic link"):
        agentlab.load(tmp_path / "run")
