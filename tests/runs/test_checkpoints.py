"""Checkpoints: committed whole or not at all, whatever fails in between; what is damaged is found out."""

import errno
import json
import os
import random
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from agentlab import errors
from agentlab.runs.checkpoints import Checkpoints, cutting
from agentlab.system import arrays, files
from agentlab.system.array_rows import without_zeros
from agentlab.system.arrays import ArrayFile
from agentlab.system.files import UnreadableError
from sabotage import Saboteur

FACTS = {"metrics_bytes": 7, "best": {"step": 10, "return_mean": 0.5}, "exact": True}
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
arrays_of_any_kind = st.dictionaries(
    st.text("abc/_0", min_size=1, max_size=8),
    st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_side=5, min_side=0))),
    max_size=4,
)


@pytest.fixture(scope="module", autouse=True)
def _small_blocks():
    """Has small arrays cut into blocks, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "BLOCK_BYTES", 64)
        yield


def write(path, held):
    with path.open("wb") as opened:
        return arrays.write(opened, held)


def groups(step):
    generator = np.random.default_rng(step)
    weights = {"model/000": generator.random((30, 4), np.float32), "updates": np.array(step)}
    reward = np.arange(50.0)  # [50], 7 blocks, of which 2 are of this step alone
    reward[[step // 10 * 3, 49]] = -step
    return {"agent": weights, "memory": {"reward": reward, "added": np.array(step)}, "loop": {"index/000": np.array(step)}}


def in_blocks(held):
    """Returns groups whose memory is cut into blocks where it is large."""
    return {**held, "memory": {name: cutting.cut_if_large(array) for name, array in held["memory"].items()}}


def saved(checkpoints, *steps):
    for step in steps:
        checkpoints.save(step, in_blocks(groups(step)), FACTS)
    return checkpoints


def newest_whole(checkpoints):
    """Returns the step of the newest checkpoint that verifies, having compared all it holds; None if there is none."""
    for step in reversed(checkpoints.steps()):
        try:
            checkpoint = checkpoints.open(step)
            checkpoint.verify()
        except UnreadableError:
            continue
        for group, expected in groups(step).items():
            assert_same(checkpoint.file(group).read_all(), expected)
        assert_same(load_file(checkpoint.path / "agent.safetensors"), groups(step)["agent"])
        assert checkpoint.facts == FACTS
        return step
    return None


def assert_same(values, expected):
    assert values.keys() == expected.keys()
    for name, array in expected.items():
        assert values[name].dtype == array.dtype
        np.testing.assert_array_equal(values[name], array)


@given(held=arrays_of_any_kind)
def test_arrays_come_back_to_the_bit_and_other_readers_can_read_them(tmp_path_factory, held):
    file = tmp_path_factory.mktemp("arrays") / "some.safetensors"
    size, digest = write(file, held)
    assert (file.stat().st_size, ArrayFile.open(file).sha256) == (size, digest)
    for contents in (load_file(file), ArrayFile.open(file).read_all()):
        assert contents.keys() == held.keys()
        for name, array in held.items():
            assert (contents[name].dtype, contents[name].shape, contents[name].tobytes()) == (
                array.dtype,
                array.shape,
                array.tobytes(),
            )


@given(filled=st.integers(0, 6), rows=st.integers(0, 6), width=st.integers(1, 3))
def test_rows_of_zeros_at_the_end_are_left_out_and_come_back(tmp_path_factory, filled, rows, width):
    array = np.zeros((filled + rows, width), np.float32)
    array[:filled, -1] = -0.0  # whose bits are not zero
    file = tmp_path_factory.mktemp("arrays") / "some.safetensors"
    write(file, {"ring": without_zeros(array)})
    assert load_file(file)["ring"].shape == (filled, width)
    opened = ArrayFile.open(file)
    opened.check({"ring": array}, short=True)
    assert opened.read("ring", array).tobytes() == array.tobytes()
    if rows:
        with pytest.raises(UnreadableError, match="has ring as"):
            opened.check({"ring": array})


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ({"other": np.zeros(3)}, "doesn't fit this agent: other, ring on one side only"),
        ({"ring": np.zeros(2)}, r"has ring as F64 \(3,\); expected float64 \(2,\)"),
        ({"ring": np.zeros((3, 1))}, r"has ring as F64 \(3,\); expected float64 \(3, 1\)"),
        ({"ring": np.zeros(3, np.float32)}, r"has ring as F64 \(3,\); expected float32 \(3,\)"),
    ],
)
def test_arrays_of_another_name_shape_or_dtype_are_refused(tmp_path, expected, sentence):
    write(tmp_path / "some.safetensors", {"ring": np.ones(3)})
    with pytest.raises(UnreadableError, match=sentence):
        ArrayFile.open(tmp_path / "some.safetensors").check(expected, short=True)


def test_a_checkpoint_of_the_same_step_takes_the_place_of_the_old_one(tmp_path):
    checkpoints = saved(Checkpoints(tmp_path / "checkpoints"), 10, 20)
    (tmp_path / "checkpoints" / "step-20" / "agent.safetensors").write_bytes(b"damaged")
    assert newest_whole(saved(checkpoints, 20)) == 20
    checkpoints.prune([20])
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"blocks", "step-20"}


def in_a_child(function, saboteur):
    """Runs a function in a forked process, sabotaged; returns its exit code."""
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as monkeypatch:
            saboteur.install(monkeypatch)
            function()
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def prune_and_save(checkpoints):
    checkpoints.save(30, in_blocks(groups(30)), FACTS)
    checkpoints.prune([20, 30])
    checkpoints.save(20, in_blocks(groups(20)), FACTS)  # in the place of what is there


def named(checkpoints):
    """Returns the blocks that checkpoints name."""
    arrays_in_blocks = [array for step in checkpoints.steps() for array in checkpoints.open(step).cut.values()]
    return {digest for array in arrays_in_blocks for digest in array.digests()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_crash_at_any_write_fsync_rename_or_unlink_loses_no_more_than_what_was_being_written(tmp_path):
    for which in range(1_000):
        directory = tmp_path / f"crash-{which}"
        directory.mkdir()
        checkpoints = saved(Checkpoints(directory / "checkpoints"), 10, 20)
        code = in_a_child(lambda checkpoints=checkpoints: prune_and_save(checkpoints), Saboteur(which))
        assert code in (0, 9)
        checkpoints.sweep()
        assert newest_whole(checkpoints) in (20, 30)
        assert not [path.name for path in checkpoints.directory.rglob(".*")]
        assert newest_whole(saved(checkpoints, 40)) == 40
        checkpoints.prune([30, 40])
        assert {path.name for path in checkpoints.directory.glob("blocks/*")} == named(checkpoints)
        shutil.rmtree(directory)
        if code == 0:
            break
    assert which > 60  # calls in all


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_is_full_keeps_the_old_checkpoint_and_leaves_no_temporary_file(tmp_path, code):
    checkpoints = saved(Checkpoints(tmp_path / "checkpoints"), 10)
    for which in range(1_000):
        saboteur, message = Saboteur(which, OSError(code, os.strerror(code))), ""
        with pytest.MonkeyPatch.context() as monkeypatch:
            saboteur.install(monkeypatch)
            try:
                checkpoints.save(20, in_blocks(groups(20)), FACTS)
            except errors.WriteFault as error:
                message = str(error)
        if saboteur.count <= which:
            break
        assert newest_whole(checkpoints) == 20 or (os.strerror(code) in message and "the newest is step-10" in message)
        assert newest_whole(checkpoints) in (10, 20)
        assert not list(checkpoints.directory.rglob(".*"))
        assert {path.name for path in checkpoints.directory.glob("blocks/*")} == named(checkpoints)
        shutil.rmtree(checkpoints.directory / "step-20", ignore_errors=True)
    assert which > 15


def damage(directory, generator):
    """Damages a checkpoint, or a block of it alone, in a random way and returns what it did."""
    checkpoints, blocks = Checkpoints(directory.parent), directory.parent / "blocks"
    own, other = (set(checkpoints.open(step).cut["reward"].digests()) for step in (20, 10))
    names = sorted(path.name for path in directory.iterdir())
    file = generator.choice([*(directory / name for name in names), *(blocks / name for name in sorted(own - other))])
    data = bytearray(file.read_bytes())
    way = generator.choice(["flip", "truncate", "extend", "remove", "swap", "empty", "other step", "directory", "link"])
    if way == "flip":
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        file.write_bytes(data)
    elif way == "truncate":
        file.write_bytes(data[: generator.randrange(len(data))])
    elif way == "extend":
        file.write_bytes(data + bytes(generator.randrange(1, 9)))
    elif way == "remove":
        file.unlink()
    elif way == "swap":
        swapped = file.parent / generator.choice(sorted(path.name for path in file.parent.iterdir() if path != file))
        file.write_bytes(swapped.read_bytes())
    elif way == "empty":
        file.write_bytes(b"")
    elif way == "other step":
        source = generator.choice(["agent.safetensors", "loop.safetensors", "memory.safetensors", "manifest.json"])
        shutil.copy(directory.parent / "step-10" / source, directory / source)
    elif way == "directory":
        file.unlink()
        file.mkdir()
    else:
        file.unlink()
        file.symlink_to(directory.parent / "step-10" / file.name)
    return f"{way} {file.name}"


def is_harmless(directory):
    """Whether what was changed is no more than white space in the manifest."""
    with (directory / "manifest.json").open("rb") as manifest:
        manifest_data = json.load(manifest)
    written = {name: entry["bytes"] for name, entry in manifest_data["files"].items()}
    return written == {path.name: path.stat().st_size for path in directory.glob("*.safetensors")}


@pytest.mark.slow
def test_damaged_checkpoints_are_found_out_and_the_newest_whole_one_is_used(tmp_path, full):
    generator = random.Random(0)
    original = saved(Checkpoints(tmp_path / "original"), 10, 20).directory
    for number in range(1_000 if full else 100):
        checkpoints = Checkpoints(tmp_path / f"{number}")
        shutil.copytree(original, checkpoints.directory)
        directory = checkpoints.directory / "step-20"
        what = damage(directory, generator)
        step = newest_whole(checkpoints)
        if step == 20:  # the manifest says the same with one bit more or less of white space
            assert what == "flip manifest.json", what
            assert is_harmless(directory), what
        else:
            assert step == 10, what
        shutil.rmtree(checkpoints.directory)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "holds a list"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
        ('{"a": ' + "9" * 10_000 + "}", "not valid JSON"),
        ("{", "not valid JSON"),
        ("\udcff", "can't be read"),
    ],
)
def test_json_that_is_not_what_it_should_be_is_refused(tmp_path, text, sentence):
    file = tmp_path / "some.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UnreadableError, match=sentence):
        files.read_json(file)


def test_only_plain_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "large").write_bytes(b"12345")
    for name, sentence in [
        ("pipe", "not a plain file"),
        ("link", "symbolic link"),
        ("none", "is missing"),
        (".", "not a plain"),
    ]:
        with pytest.raises(UnreadableError, match=sentence):
            files.read_text(tmp_path / name)
    with pytest.raises(UnreadableError, match="large has 5 bytes; expected at most 4"):
        files.read_text(tmp_path / "large", limit=4)


def test_the_manifest_names_files_of_its_own_directory_only(tmp_path):
    checkpoints = saved(Checkpoints(tmp_path), 10)
    manifest = tmp_path / "step-10" / "manifest.json"
    honest = json.loads(manifest.read_text())
    entry = honest["files"]["loop.safetensors"]
    assert "cut" not in entry
    for name in ("../loop.safetensors", "/etc/passwd", "a/b.safetensors", "loop", "..safetensors/../x.safetensors", ""):
        manifest.write_text(json.dumps({**honest, "files": {name: entry}}))
        with pytest.raises(UnreadableError, match="has a malformed list of files"):
            checkpoints.open(10)


def test_huge_shapes_are_refused_before_anything_is_allocated(tmp_path):
    file = tmp_path / "huge.safetensors"
    header = json.dumps({"ring": {"dtype": "F32", "shape": [2**40, 2**10], "data_offsets": [0, 4]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(UnreadableError, match=r"huge\.safetensors can't be read"):
        ArrayFile.open(file)
    file.write_bytes((2**62).to_bytes(8, "little") + header)
    with pytest.raises(UnreadableError, match=r"huge\.safetensors can't be read"):
        ArrayFile.open(file)


def test_the_saboteur_does_sabotage(tmp_path):
    """A test of the tests: the calls of a save are all seen."""
    saboteur = Saboteur(-1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        saboteur.install(monkeypatch)
        saved(Checkpoints(tmp_path / "checkpoints"), 10)
    # 3 files of 3 or more pieces, the manifest and 7 blocks, an fsync of each and of their directories, renames and mkdirs
    assert saboteur.count >= 50
