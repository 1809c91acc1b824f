"""Images: data from everywhere, each sample once an epoch, splits, shifts, and what is wrong with bad data."""

import gc
import io
import os
import pathlib
import re
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.testing.probes.keras_process import settings_of_keras
from agentlab_envs.data import datasets
from agentlab_envs.data.distortion import rotated, shifted
from agentlab_envs.data.images import Images


def arrays(train=12, test=7, side=4, classes=3):
    """Images that differ in their first pixel, which is their number, and labels that follow from it."""

    def images(number, first):
        pixels = np.full((number, side, side), 255, np.uint8)
        pixels[:, 0, 0] = np.arange(number) + first
        return pixels

    return {
        "x_train": images(train, 0),
        "y_train": np.arange(train) % classes,
        "x_test": images(test, 100),
        "y_test": np.arange(test) % classes,
    }


def numbers(observation):
    return np.round(np.asarray(observation)[:, 0, 0, 0] * 255).astype(int)


def read(environment, rows, turns, seed=0, action=0):
    """Returns the numbers of the images that `rows` rows show over some turns, and the time steps."""
    hosted = HostedEnvironment(environment, rows)
    steps = [hosted.reset(seed)]
    for _ in range(turns - 1):
        steps.append(hosted.step(np.full(rows, action)))
    return np.array([numbers(step.observation) for step in steps]), steps


def test_reward_target_and_ends_by_hand():
    observations, steps = read(Images(arrays(), shuffle=False), 3, 3, action=1)
    assert observations.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    for step in steps[1:]:
        assert step.target.tolist() == [0, 1, 2]  # the labels of what was shown before
        assert step.reward.tolist() == [0.0, 1.0, 0.0]
        assert step.terminated.all()
        assert not step.truncated.any()
    assert numbers(steps[1].final_observation).tolist() == [0, 1, 2]
    assert steps[0].observation.dtype == np.float32
    assert steps[0].observation.shape == (3, 4, 4, 1)
    assert steps[0].observation.max() == 1.0


@pytest.mark.parametrize("rows", [1, 2, 5, 12])
def test_each_epoch_shows_every_sample_once_in_another_order(rows):
    observations, _ = read(Images(arrays()), rows, 60 // rows + 1)
    stream = observations.ravel()
    epochs = [stream[12 * number : 12 * (number + 1)] for number in range(60 // 12)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


@pytest.mark.slow
def test_the_seed_decides_the_order_and_rows_share_one_stream():
    one, again, other = (read(Images(arrays()), 4, 6, seed)[0] for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()


def test_with_replacement_any_sample_comes_at_any_time(assert_frequencies):
    observations, _ = read(Images(arrays(), replacement=True), 50, 100)
    assert_frequencies(observations, np.full(12, 1 / 12))
    assert len(set(observations[0])) < 12 or sorted(observations.ravel()[:12]) != list(range(12))
    assert Images(arrays(), replacement=True).spec.num_episodes is None


def test_splits_share_no_sample():
    splits = {
        split: Images(arrays(), split=split, validation_fraction=0.25, shuffle=False)
        for split in ("train", "validation", "test")
    }
    values = {
        split: read(environment, 1, environment.spec.num_episodes)[0].ravel().tolist() for split, environment in splits.items()
    }
    assert values == {"train": list(range(9)), "validation": [9, 10, 11], "test": list(range(100, 107))}
    for split, environment in splits.items():
        x, y = environment.arrays()
        assert numbers(x).tolist() == values[split]
        assert y.tolist() == [number % 3 if number < 100 else (number - 100) % 3 for number in values[split]]
    _, steps = read(splits["validation"], 3, 2, action=0)
    assert steps[1].target.tolist() == [0, 1, 2]


def test_arrays_are_what_is_observed(compiled):
    environment = Images("digits", split="test", shuffle=False)
    x, _ = environment.arrays()
    start = compiled(lambda seed: environment.observe(environment.initial(seed, len(x))))
    np.testing.assert_array_equal(start(seeds.at(1, 0)), x)


def test_every_pixel_value_is_shown_as_the_same_bits(compiled):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    environment = Images({**arrays(side=16), "x_train": pixels, "y_train": np.zeros(1, np.int64)}, num_classes=3)
    observed = compiled(lambda seed: environment.observe(environment.initial(seed, 1)))(seeds.at(1, 0))
    np.testing.assert_array_equal(np.ravel(observed), np.arange(256, dtype=np.float32) * np.float32(1 / 255))
    np.testing.assert_allclose(np.ravel(observed), np.arange(256) / 255, rtol=1e-6)


def test_a_shift_by_hand(compiled):
    image = tf.constant(np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1))
    images, shifts = tf.repeat(image, 3, axis=0), tf.constant([[0, 0], [1, 0], [-1, 2]], tf.int64)
    moved = compiled(lambda images, shifts: shifted(images, shifts, 2))(images, shifts)
    assert np.squeeze(moved).tolist() == [
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[0, 0, 0], [1, 2, 3], [4, 5, 6]],
        [[0, 0, 4], [0, 0, 7], [0, 0, 0]],
    ]


def test_a_quarter_turn_by_hand(compiled):
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    turned = compiled(rotated)(tf.constant(np.repeat(image, 3, axis=0)), tf.constant([0.0, np.pi / 2, np.pi], tf.float32))
    np.testing.assert_allclose(
        np.squeeze(turned),
        [[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[7, 4, 1], [8, 5, 2], [9, 6, 3]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]],
        atol=1e-5,
    )


def test_half_a_right_angle_interpolates():
    image = np.zeros((1, 3, 3, 1), np.float32)
    image[0, 0, 1] = 1.0
    turned = np.squeeze(rotated(tf.constant(image), tf.constant([np.pi / 4], tf.float32)))
    # The pixel at the top, one above the centre, comes to lie near the upper right corner, which looks 0.41 beyond it.
    assert turned[0, 2] == pytest.approx(2 - 2**0.5, abs=1e-5)
    assert turned[2].max() == pytest.approx(0.0, abs=1e-5)


def test_rotations_stay_within_their_limit():
    environment = Images("digits", max_rotation=30.0)
    angles = [environment.initial(seeds.at(1, step), 64).angle.numpy() for step in range(20)]
    assert np.abs(angles).max() <= np.pi / 6
    assert np.std(angles) == pytest.approx(np.pi / 6 / 3**0.5, rel=0.1)
    plain = Images("digits")
    state = environment.initial(seeds.at(1, 0), 4)
    assert (environment.observe(state).numpy() != plain.observe(plain.initial(seeds.at(1, 0), 4)).numpy()).any()


def test_shifts_are_drawn_anew_for_every_row_and_step(assert_frequencies):
    data = arrays(side=5)
    data["x_train"][:] = 0
    data["x_train"][:, 2, 2] = 255
    hosted = HostedEnvironment(Images(data, max_shift=1), 12)
    steps = [hosted.reset(0)] + [hosted.step(np.zeros(12, np.int64)) for _ in range(100)]
    places = np.array([step.observation.reshape(12, 25).argmax(axis=1) for step in steps])
    chances = np.zeros((5, 5))
    chances[1:4, 1:4] = 1 / 9
    assert_frequencies(places, chances.ravel())
    assert (places[:, 0] != places[:, 1]).any()
    assert (steps[1].final_observation == steps[0].observation).all()  # what was acted on


def test_a_file_is_held_once_as_bytes_and_given_back(tmp_path):
    file = tmp_path / "own.npz"
    np.savez(file, **arrays())
    train, test = Images(str(file)), Images(str(file), split="test")
    assert train._dataset is test._dataset
    assert train._dataset.train.inputs.dtype == tf.uint8
    del train, test
    gc.collect()
    assert not [key for key in datasets._HELD if key[0] == str(file)]


@pytest.mark.slow
def test_the_compiled_loop_holds_no_copy_of_the_data():
    environment = Images(arrays(train=255, side=64))
    traced = tf.function(lambda seed: environment.observe(environment.initial(seed, 2))).get_concrete_function(seeds.at(0, 0))
    assert traced.graph.as_graph_def().ByteSize() < 100_000  # of data there are 255 * 64 * 64 bytes


def test_names_come_from_the_folder_first(tmp_path, monkeypatch):
    np.savez(tmp_path / "mnist.npz", **arrays(side=6))
    np.savez(tmp_path / "own.npz", **arrays(side=5))
    monkeypatch.setenv("AGENTLAB_DATA", str(tmp_path))
    assert Images("mnist").spec.observation.shape == (6, 6, 1)
    assert Images("own").spec.observation.shape == (5, 5, 1)


def test_keras_data_sets(monkeypatch):
    data = arrays(side=6)
    monkeypatch.delenv("AGENTLAB_DATA", raising=False)
    monkeypatch.setattr(
        keras.datasets.mnist, "load_data", lambda: ((data["x_train"], data["y_train"]), (data["x_test"], data["y_test"]))
    )
    assert Images("mnist").spec.num_episodes == 12


def test_keras_gives_pictures_in_color_the_order_of_axes_that_a_program_has_set(monkeypatch):
    """As `keras.datasets.cifar10` does; here it is the same one always."""
    pixels, labels = np.zeros((12, 3, 6, 5), np.uint8), np.arange(12)[:, None] % 3

    def load_data():
        last = keras.config.image_data_format() == "channels_last"
        return ((pixels.transpose(0, 2, 3, 1) if last else pixels, labels),) * 2

    monkeypatch.delenv("AGENTLAB_DATA", raising=False)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)
    with settings_of_keras(data_format="channels_first"):
        assert Images("cifar10").spec.observation.shape == (6, 5, 3)


def test_no_network_and_no_data(monkeypatch, tmp_path):
    def fail():
        raise Exception("URL fetch failure: no network")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    monkeypatch.setenv("AGENTLAB_DATA", str(tmp_path))
    with pytest.raises(errors.UsageError) as failure:
        Images("mnist")
    text = str(failure.value)
    for part in ("'mnist' can't be downloaded: URL fetch failure", "AGENTLAB_DATA", "mnist.npz", "environment.data=digits"):
        assert part in text


def test_digits():
    train, test = Images("digits"), Images("digits", split="test")
    assert (train.spec.num_episodes, test.spec.num_episodes) == (1_437, 360)
    assert train.spec.action.num_values == 10
    x, y = test.arrays()
    assert x.shape == (360, 8, 8, 1)
    assert (x.min(), x.max()) == (0.0, 1.0)
    assert np.bincount(y).min() > 20  # a random fifth


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_of_other_kinds(dtype):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(9, 5)).astype(dtype)
    environment = Images({"x_train": x, "y_train": np.arange(9) % 2, "x_test": x, "y_test": np.arange(9)[:, None] % 2})
    assert environment.spec.observation.shape == (5,)
    np.testing.assert_array_equal(environment.arrays()[0], x.astype(np.float32))


def wrong(**changes):
    return {name: array for name, array in {**arrays(), **changes}.items() if array is not None}


NAN = np.zeros((12, 4, 4), np.float32)
NAN[5, 1, 1] = np.nan
LABELS = np.arange(12) % 3


@pytest.mark.parametrize(
    ("data", "settings", "sentence"),
    [
        (wrong(y_test=None), {}, r"lacks y_test; expected the arrays x_train, y_train, x_test, y_test"),
        (wrong(y_train=np.where(LABELS == 1, -1, LABELS)), {}, r"the label -1 in y_train, sample 1; expected 0 to 2"),
        (wrong(y_test=np.arange(7)), {}, r"the label 3 in y_test, sample 3; expected 0 to 2"),
        (arrays(), {"num_classes": 2}, r"the label 2 in y_train, sample 2; expected 0 to 1. .*num_classes"),
        (wrong(y_train=LABELS.astype(np.float32)), {}, r"y_train as float32 \(12,\); expected one whole number per sample"),
        (wrong(y_train=LABELS[:5]), {}, r"y_train as int64 \(5,\); expected one whole number per sample, \[12\]"),
        (wrong(x_train=NAN), {}, r"a value that is not finite in x_train, sample 5"),
        (wrong(x_train=np.zeros((0, 4, 4), np.uint8), y_train=LABELS[:0]), {}, r"x_train as uint8 \(0, 4, 4\)"),
        (wrong(x_train=np.array(["a"] * 12)), {}, r"x_train as <U1 \(12,\); expected numbers"),
        (wrong(x_test=np.zeros((7, 5, 5), np.uint8)), {}, r"x_test as uint8 \(7, 5, 5, 1\); expected samples of one shape"),
        ([1, 2], {}, r"'data' is a list; expected a name, the path of an .npz file, or a dict"),
        ("mnits", {}, r"No data set named 'mnits'. .*Did you mean 'mnist'\? Set AGENTLAB_DATA"),
        ("missing.npz", {}, r"'missing.npz' can't be read: No such file"),
        (arrays(), {"max_shift": 4}, r"samples of shape \(4, 4, 1\), which can't be moved by 4 pixels"),
        (arrays(), {"split": "validation"}, r"The validation split .* is empty: validation_fraction is 0 of 12"),
        (arrays(), {"validation_fraction": 0.99}, r"The train split .* is empty: validation_fraction is 0.99 of 12"),
    ],
)
def test_bad_data_is_told(data, settings, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        Images(data, **settings)


def pickled(path):
    np.savez(path, **{**arrays(), "y_train": np.array([print] * 12, object)})


def truncated(path):
    np.savez_compressed(path, **arrays())
    path.write_bytes(path.read_bytes()[:-300])


def flipped(path):
    np.savez_compressed(path, **arrays())
    data = bytearray(path.read_bytes())
    data[90:110] = b"x" * 20
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [pickled, truncated, flipped, lambda path: path.write_bytes(b"not a zip file")])
def test_damaged_files_are_told_and_never_unpickled(tmp_path, damage):
    file = tmp_path / "own.npz"
    damage(file)
    with pytest.raises(
        errors.UsageError, match=re.escape(f"Data file {str(file)!r} is damaged or not an .npz file of plain arrays")
    ):
        Images(str(file))


def test_members_that_are_no_arrays_are_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", "nothing")
    with pytest.raises(errors.UsageError, match=r"is damaged or not an .npz file of plain arrays: .*magic"):
        Images(str(tmp_path / "own.npz"))


def test_no_path_of_ones_own_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", **arrays())
    assert Images("own.npz").spec.num_episodes == 12
    assert pathlib.Path("own.npz").is_file()


def npz(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in members.items():
            written = io.BytesIO()
            np.save(written, array)
            archive.writestr(name, written.getvalue())
    return str(path)


def test_there_is_one_way_to_read_an_array(tmp_path):
    """A member by the array's bare name, which NumPy would take as well, is not looked at."""
    good = {f"{name}.npy": array for name, array in arrays().items() if name != "x_train"}
    with pytest.raises(errors.UsageError, match="lacks x_train"):
        Images(npz(tmp_path / "own.npz", **good, x_train=arrays()["x_train"]))
    path = npz(tmp_path / "both.npz", **good, **{"x_train.npy": arrays()["x_train"], "x_train": np.zeros((9, 9))})
    assert Images(path).spec.num_episodes == 12


def test_what_arrays_take_while_they_are_converted_is_counted(tmp_path, monkeypatch):
    path = npz(tmp_path / "own.npz", **{f"{name}.npy": array.astype(np.uint8) for name, array in arrays().items()})
    stored = sum(array.size for array in arrays().values())
    labels = arrays()["y_train"].size + arrays()["y_test"].size
    needed = 4 * (stored - labels) + 18 * labels
    monkeypatch.setattr("agentlab.system.free_memory.free_bytes", lambda: needed - 1)
    with pytest.raises(errors.UsageError, match=f"its arrays take {needed:,} bytes, of which {needed - 1:,} are free"):
        Images(path)
    monkeypatch.setattr("agentlab.system.free_memory.free_bytes", lambda: needed)
    assert Images(path).spec.num_episodes == 12


@pytest.mark.parametrize("path", ["/dev/zero.npz", "pipe.npz", "folder.npz", "nul\0.npz", "x" * 5_000 + ".npz", "sparse.npz"])
def test_what_is_no_file_is_told_at_once(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.npz")
    pathlib.Path("folder.npz").mkdir()
    pathlib.Path("sparse.npz").touch()
    os.truncate("sparse.npz", 2**43)
    with pytest.raises(
        errors.UsageError,
        match=r"Data file .* (can't be read|is damaged or not an .npz file)|The path .* (is too long|holds a zero character)",
    ):
        Images(path)


def test_of_a_file_that_is_exchanged_each_version_is_a_data_set_of_its_own(tmp_path):
    for name in (0, 1):
        np.savez(tmp_path / f"{name}.npz", **{**arrays(), "y_train": np.full(12, name), "y_test": np.zeros(7, np.int64)})
    status = (tmp_path / "0.npz").stat()
    held = Images(str(tmp_path / "0.npz"))
    os.utime(tmp_path / "1.npz", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "1.npz").replace(tmp_path / "0.npz")
    again = Images(str(tmp_path / "0.npz"))
    assert (held.arrays()[1].tolist(), again.arrays()[1].tolist()) == ([0] * 12, [1] * 12)
