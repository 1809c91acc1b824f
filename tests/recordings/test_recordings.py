"""Minari data sets: written here and read by minari, written by minari and read here, bit for bit; and bad ones."""

import contextlib
import json
import pickle
import shutil

import h5py
import numpy as np
import pytest

from agentlab import errors
from agentlab.recordings import RecordingWriter, directory_of, open_recording
from agentlab.recordings.spaces import read_space, space_text
from agentlab.recordings.writer import Episode
from agentlab.spec import Array, Discrete, MultiBinary, MultiDiscrete

OBSERVATION = {
    "camera": Array((2, 3), "uint8", 0, 255),
    "gear": Discrete(4, start=1),
    "speed": Array((2,), "float64", [-1.0, -np.inf], [1.0, np.inf]),
}
ACTION = MultiDiscrete((2, 3), start=(0, -1))
LENGTHS = (3, 1, 2)


def episode(length, seed):
    generator = np.random.default_rng(seed)
    observation = {name: space.random(length + 1, generator) for name, space in OBSERVATION.items()}
    return Episode(observation, ACTION.random(length, generator), generator.normal(size=length).astype("f4"), seed % 2 == 0)


EPISODES = [episode(length, seed) for seed, length in enumerate(LENGTHS)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Minari's folder."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def write(name="tests/mixed-v0", **metadata):
    with RecordingWriter(name, OBSERVATION, ACTION, metadata) as writer:
        for one in EPISODES:
            writer.add(one)
    return directory_of(name)


def same(one, other):
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_minari_reads_what_was_written(folder):
    import minari

    write(ref_min_score=-1.0, ref_max_score=3.0)
    dataset = minari.load_dataset("tests/mixed-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (3, 6)
    assert minari.list_local_datasets()["tests/mixed-v0"]["total_steps"] == 6
    assert minari.get_normalized_score(dataset, np.array([1.0])) == 0.5
    for one, read in zip(EPISODES, dataset.iterate_episodes(), strict=True):
        assert same(one.observation["camera"], read.observations["camera"])
        assert same(one.observation["speed"], read.observations["speed"])
        assert same(one.observation["gear"] + 1, read.observations["gear"])  # as the environment numbers them
        assert same(one.action + np.array([0, -1]), read.actions)
        assert same(one.reward, read.rewards)
        assert read.terminations.tolist() == [False] * (len(one.reward) - 1) + [one.terminated]
        assert read.truncations.tolist() == [False] * (len(one.reward) - 1) + [not one.terminated]
        assert all(dataset.observation_space["speed"].contains(row) for row in read.observations["speed"])
        assert all(dataset.action_space.contains(row) for row in read.actions)


def test_reads_what_was_written():
    write()
    recording = open_recording("tests/mixed-v0")
    assert (recording.observation, recording.action) == (OBSERVATION, ACTION)
    steps = recording.read()
    assert steps.first.tolist() == [0, 4, 6]
    assert steps.length.tolist() == list(LENGTHS)
    for one, first, length in zip(EPISODES, steps.first, LENGTHS, strict=True):
        for name in OBSERVATION:
            assert same(one.observation[name], steps.observation[name][first : first + length + 1])
        assert same(one.action, steps.action[first : first + length])
        assert same(one.reward, steps.reward[first : first + length])
        assert steps.terminated[first : first + length + 1].tolist() == [False] * (length - 1) + [one.terminated, False]


def test_return_to_go():
    with RecordingWriter("tests/returns-v0", Array((1,)), Discrete(2), {}) as writer:
        for rewards in ([1.0, 2.0, 4.0], [8.0]):
            count = len(rewards)
            writer.add(Episode(np.zeros((count + 1, 1), "f4"), np.zeros(count, int), np.array(rewards, "f4"), True))
    assert open_recording("tests/returns-v0").read().return_to_go.tolist() == [7.0, 6.0, 4.0, 0.0, 8.0, 0.0]


@pytest.mark.filterwarnings("ignore::UserWarning")  # minari's, of metadata that are not given
def test_reads_what_minari_writes():
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    generator = np.random.default_rng(0)
    box = gymnasium.spaces.Box(-2.0, 2.0, (3,), np.float32)
    parts = gymnasium.spaces.Tuple([box, gymnasium.spaces.MultiBinary(2)])
    observations = [
        (generator.normal(size=(n + 1, 3)).astype("f4"), generator.integers(0, 2, (n + 1, 2), "i1")) for n in (4, 2)
    ]
    actions = [generator.integers(5, 8, n) for n in (4, 2)]
    rewards = [generator.normal(size=n) for n in (4, 2)]  # float64, as Gymnasium's
    buffers = [
        EpisodeBuffer(
            observations=seen, actions=list(done), rewards=list(earned),
            terminations=[False] * (len(done) - 1) + [number == 1], truncations=[False] * (len(done) - 1) + [number == 0],
        )
        for number, (seen, done, earned) in enumerate(zip(observations, actions, rewards, strict=True))
    ]  # fmt: skip
    minari.create_dataset_from_buffers(
        "minari/own-v2", buffers, observation_space=parts, action_space=gymnasium.spaces.Discrete(3, start=5)
    )

    recording = open_recording("minari/own-v2")
    assert recording.action == Discrete(3, start=5)
    assert recording.observation == {"0": Array((3,), minimum=-2.0, maximum=2.0), "1": MultiBinary((2,))}
    steps = recording.read()
    assert same(np.concatenate([seen[0] for seen in observations]), steps.observation["0"])
    assert same(np.concatenate([seen[1] for seen in observations]), steps.observation["1"])
    assert steps.action.tolist() == [*(actions[0] - 5), 0, *(actions[1] - 5), 0]
    assert same(np.concatenate([rewards[0], [0.0], rewards[1], [0.0]]).astype("f4"), steps.reward)
    assert np.flatnonzero(steps.terminated).tolist() == [6]


@pytest.mark.parametrize(
    "space",
    [
        Array((2, 2), "int16", -3, 7),
        Array((), "uint8"),
        Array((2,), "float32", [-1.0, 0.0], np.inf),
        Discrete(3, start=-2),
        Discrete(3, "int32", (2, 2)),
        MultiBinary((2, 3)),
        MultiDiscrete((4, 2), "int32", (1, 0)),
        {"a": Discrete(2), "b": {"c": Array((1,))}},
    ],
    ids=str,
)
def test_spaces_come_back_as_they_were(space):
    import gymnasium
    from minari.serialization import deserialize_space

    read = read_space(space_text(space), "action space")
    assert space_text(read) == space_text(space)
    assert isinstance(deserialize_space(space_text(space)), gymnasium.Space)


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path):
    directory = write(str(tmp_path / "sets" / "one"))
    with pytest.raises(errors.UsageError, match="exists already, and data sets are never overwritten"):
        write(str(tmp_path / "sets" / "one"))
    with contextlib.suppress(AttributeError), RecordingWriter(str(directory.parent / "two"), OBSERVATION, ACTION, {}) as writer:
        writer.add(EPISODES[0])
        writer.add(None)
    assert [path.name for path in directory.parent.iterdir()] == ["one"]
    assert json.loads((directory / "data" / "metadata.json").read_text())["dataset_id"] == "one-v0"


def rewritten(directory, key, value):
    with h5py.File(directory / "data" / "main_data.hdf5", "a") as file:
        del file[key]
        if value is not None:
            file[key] = value


def described(directory, **changes):
    path = directory / "data" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(directory):
    path = directory / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:-500])


def pickled(directory):
    rewritten(directory, "episode_1/actions", np.void(pickle.dumps(print)))


def objects(directory):
    with h5py.File(directory / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1/actions"]
        file["episode_1"].create_dataset("actions", data=[pickle.dumps(print).hex()], dtype=h5py.string_dtype())


def linked(directory):
    rewritten(directory, "episode_1/rewards", h5py.ExternalLink("/etc/passwd", "/"))


def packed(directory):
    """Has the numbers in a block of two gigabytes that takes nothing on disk, nor memory unless it is unpacked."""
    with h5py.File(directory / "data" / "main_data.hdf5", "a") as file:
        episode = file["episode_1"]
        count = episode["rewards"].shape[0]
        del episode["rewards"]
        shape = {"shape": (count,), "maxshape": (None,), "chunks": (2**29,)}
        episode.create_dataset("rewards", dtype="float32", compression="gzip", **shape)


def box(*shape):
    return json.dumps({"type": "Box", "dtype": "float32", "shape": shape, "low": -1.0, "high": 1.0})


BAD = {
    "block": (packed, "rewards is stored in blocks of 2,147,483,648 bytes; expected at most 67,108,864"),
    "large": (lambda path: described(path, observation_space=box(10**9, 10**9)), "a space of 1,000,000,000,000,000,000 "),
    "bits": (
        lambda path: described(path, action_space=json.dumps({"type": "MultiBinary", "n": [10**9, 10**9]})),
        "a space of 1,000,000,000,000,000,000 numbers; expected at most",
    ),
    "missing": (lambda path: shutil.rmtree(path), "There is no data set 'bad': no directory 'bad'"),
    "no_metadata": (lambda path: (path / "data" / "metadata.json").unlink(), "there is no metadata.json"),
    "no_file": (lambda path: (path / "data" / "main_data.hdf5").unlink(), "there is no main_data.hdf5"),
    "json": (lambda path: (path / "data" / "metadata.json").write_text("{"), "metadata.json is not valid JSON"),
    "no_count": (lambda path: described(path, total_episodes=None), "has total_episodes None"),
    "fewer": (lambda path: described(path, total_episodes=2), "it holds 3 episodes, where metadata.json says 2"),
    "arrow": (lambda path: described(path, data_format="arrow"), "is in the format 'arrow'; expected 'hdf5'"),
    "space": (lambda path: described(path, action_space='{"type": "Text"}'), "action space of the data .* of type 'Text'"),
    "deep": (lambda path: described(path, action_space='{"type":"Tuple","subspaces":[' * 500), "can't be read"),
    "truncated": (cut, "can't be read: .*truncated file"),
    "pickled": (pickled, r"episode_1/actions holds \|V\d+ values; expected numbers"),
    "objects": (objects, "episode_1/actions holds object values; expected numbers"),
    "linked": (linked, "/episode_1 has no 'rewards' of its own"),
    "absent": (lambda path: rewritten(path, "episode_2/actions", None), "/episode_2 has no 'actions' of its own"),
    "nan": (
        lambda path: rewritten(path, "episode_0/rewards", np.array([0.0, np.nan, 1.0])),
        "in episode 0, step 1's rewards is nan; expected a finite float32",
    ),
    "choice": (
        lambda path: rewritten(path, "episode_2/actions", np.array([[0, 0], [2, 0]])),
        r"in episode 2, step 1's actions\[0\] is 2; expected 0 to 1",
    ),
    "lengths": (lambda path: rewritten(path, "episode_2/actions", np.zeros((3, 2), int)), r"shape \(3, 2\); expected \(2, 2\)"),
    "ends": (lambda path: rewritten(path, "episode_0/terminations", np.array([True, False, True])), "continues after"),
    "fractions": (lambda path: rewritten(path, "episode_0/actions", np.zeros((3, 2))), "has dtype float64; expected int64"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_sets_are_refused_in_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spoil, message = BAD[name]
    spoil(write("bad"))
    with pytest.raises(errors.UsageError, match=message) as caught:
        open_recording("bad").read()
    assert "\n" not in str(caught.value)


def test_a_set_larger_than_memory_is_refused_before_it_is_read(monkeypatch):
    write()
    monkeypatch.setattr("agentlab.system.free_memory.free_bytes", lambda: 100)
    with pytest.raises(
        errors.UsageError, match=r"of 9 observations takes [\d,]+ bytes .*; only 100 .*smaller environment.data"
    ):
        open_recording("tests/mixed-v0").read()


def test_compressed_pictures_are_refused():
    with RecordingWriter("tests/pictures-v0", Array((32, 32), "uint8", 0, 255), Discrete(2), {}) as writer:
        writer.add(Episode(np.ones((2, 32, 32), "u1"), np.zeros(1, int), np.ones(1, "f4"), True))
    assert open_recording("tests/pictures-v0").read().observation.sum() == 2 * 32 * 32
    described(directory_of("tests/pictures-v0"), jpeg_encoding=True)
    with pytest.raises(errors.UsageError, match="has compressed pictures"):
        open_recording("tests/pictures-v0")
