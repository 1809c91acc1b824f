"""Variables copied for a checkpoint and filled from it, at once and block by block."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from agentlab.system import arrays as array_files
from agentlab.system import files
from agentlab.system.array_rows import without_zeros
from agentlab.system.files import UnreadableError
from agentlab.tensors import variables

DTYPES = st.sampled_from(["bool", "uint8", "int32", "int64", "float32", "float64"])
COPY = {"whole": variables.copied, "by rows": variables.copied_by_rows}
ASSIGN = {"whole": variables.assign, "by rows": variables.assign_by_rows}
HELD = arrays(DTYPES, array_shapes(min_dims=0, max_dims=3, max_side=9))


def write(path, held):
    with path.open("wb") as opened:
        array_files.write(opened, held)


@pytest.fixture(scope="module", params=[8, 64, 2**24])
def _block(request):
    """Bytes of a block: one row, some rows, everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK", request.param)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("way", COPY)
@given(held=HELD, data=st.data())
def test_what_was_copied_and_written_is_assigned_bit_for_bit(tmp_path_factory, way, held, data):
    path = tmp_path_factory.mktemp("file") / "memory.safetensors"
    if held.ndim:
        held[data.draw(st.integers(0, len(held))) :] = 0  # as in a ring that is not full
    copied = COPY[way](tf.Variable(held))
    assert (copied.dtype, copied.shape, copied.tobytes()) == (held.dtype, held.shape, held.tobytes())
    write(path, {"ring": without_zeros(copied) if way == "by rows" else copied})
    other = tf.Variable(tf.ones_like(held))
    ASSIGN[way](array_files.ArrayFile.open(path), {"ring": other})
    assert other.numpy().tobytes() == held.tobytes()


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("copy", COPY.values(), ids=COPY)
def test_a_copy_is_not_changed_by_what_comes_after(copy):
    variable = tf.Variable(tf.zeros([6, 2]))
    variable.scatter_update(tf.IndexedSlices(tf.ones([1, 2]), [0]))
    copied = copy(variable)
    variable.scatter_update(tf.IndexedSlices(tf.ones([2, 2]), [1, 5]))
    variable.assign_add(tf.ones([6, 2]))
    np.testing.assert_array_equal(copied, [[1, 1], *[[0, 0]] * 5])


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("assign", ASSIGN.values(), ids=ASSIGN)
def test_nothing_is_assigned_from_a_file_of_something_else(tmp_path, assign):
    write(tmp_path / "file", {"one": np.ones((4, 3)), "other": np.ones(5)})
    held = {"one": tf.Variable(np.zeros((4, 3))), "other": tf.Variable(np.zeros(4))}
    with pytest.raises(UnreadableError, match=r"file has other as F64 \(5,\); expected float64 \(4,\)"):
        assign(array_files.ArrayFile.open(tmp_path / "file"), held)
    assert not held["one"].numpy().any()


def test_reading_weights_stays_free_of_copies(tmp_path):
    """Of a large variable too, which a checkpoint was made of and filled from: a copy at every read slows each update."""
    weights = tf.Variable(tf.ones([2 * files.BLOCK // 4, 1]))
    write(tmp_path / "file", {"weights": variables.copied(weights)})
    variables.assign(array_files.ArrayFile.open(tmp_path / "file"), {"weights": weights})
    reads = [weights.read_value() for _ in range(2)]
    assert len({np.asarray(memoryview(read)).ctypes.data for read in reads}) == 1


@pytest.mark.usefixtures("_block")
@given(held=HELD, data=st.data())
def test_what_is_used_is_all_but_zeros_at_the_end(held, data):
    if held.ndim:
        held[data.draw(st.integers(0, len(held))) :] = 0
    ring = tf.Variable(held)
    used = variables.used_rows(ring)
    copied = variables.copied_by_rows(ring, used)
    assert used is None or len(copied) == used
    ours, theirs = without_zeros(copied), without_zeros(held)
    assert (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def test_a_zero_below_zero_is_something():
    ring = tf.Variable(np.array([[0.0], [-0.0], [0.0]], np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK", 4)
        assert variables.used_rows(ring) == 2
