"""Variables copied for a checkpoint and filled from it, at once and block by block."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from agentlab import arrays as files
from agentlab import variables
from agentlab.files import UnreadableError

DTYPES = st.sampled_from(["bool", "uint8", "int32", "int64", "float32", "float64"])
HELD = arrays(DTYPES, array_shapes(min_dims=0, max_dims=3, max_side=9))


@pytest.fixture(scope="module", params=[8, 64, 2**24])
def _block(request):
    """Bytes of a block: one row, some rows, everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK", request.param)
        yield


@pytest.mark.usefixtures("_block")
@given(held=HELD, data=st.data())
def test_what_was_copied_and_written_is_assigned_bit_for_bit(tmp_path_factory, held, data):
    path = tmp_path_factory.mktemp("file") / "memory.safetensors"
    if held.ndim:
        held[data.draw(st.integers(0, len(held))) :] = 0  # as in a ring that is not full
    copied = variables.copied(tf.Variable(held))
    assert (copied.dtype, copied.shape, copied.tobytes()) == (held.dtype, held.shape, held.tobytes())
    files.write(path, {"ring": files.without_zeros(copied)})
    other = tf.Variable(tf.ones_like(held))
    variables.assign(path, {"ring": other})
    assert other.numpy().tobytes() == held.tobytes()


@pytest.mark.usefixtures("_block")
def test_a_copy_is_not_changed_by_what_comes_after():
    variable = tf.Variable(tf.zeros([6, 2]))
    variable.scatter_update(tf.IndexedSlices(tf.ones([1, 2]), [0]))
    copied = variables.copied(variable)
    variable.scatter_update(tf.IndexedSlices(tf.ones([2, 2]), [1, 5]))
    variable.assign_add(tf.ones([6, 2]))
    np.testing.assert_array_equal(copied, [[1, 1], *[[0, 0]] * 5])


@pytest.mark.usefixtures("_block")
def test_nothing_is_assigned_from_a_file_of_something_else(tmp_path):
    files.write(tmp_path / "file", {"one": np.ones((4, 3)), "other": np.ones(5)})
    held = {"one": tf.Variable(np.zeros((4, 3))), "other": tf.Variable(np.zeros(4))}
    with pytest.raises(UnreadableError, match=r"file has other as F64 \(5,\); expected float64 \(4,\)"):
        variables.assign(tmp_path / "file", held)
    assert not held["one"].numpy().any()
