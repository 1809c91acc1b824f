"""A compiled call that takes NumPy arrays: what it keeps of them, and the shapes and dtypes it follows."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf

from agentlab.tensors.execution import GraphCall


@pytest.fixture(params=[[], ["GPU:0"]], ids=["cpu", "gpu"])
def devices(request, monkeypatch):
    """Has TensorFlow name devices, with which arrays become tensors in other ways; all is computed on the CPU."""
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _: request.param)


@pytest.mark.usefixtures("devices")
def test_what_a_call_keeps_or_returns_is_not_changed_by_the_next_call():
    variable = tf.Variable([0.0, 0.0])
    call = GraphCall(lambda array: variable.assign(array), [tf.TensorSpec([2])])  # hands on the very memory it is given
    array = np.array([1, 2], np.float32)
    returned = call(array)[0].numpy()
    array[:] = 3
    np.testing.assert_array_equal(variable, [1, 2])
    (later,) = call(np.array([5, 6], np.float32))
    np.testing.assert_array_equal(returned, [1, 2])
    call(np.array([7, 8], np.float32))
    np.testing.assert_array_equal(later, [5, 6])
    np.testing.assert_array_equal(variable, [7, 8])


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int32", "int64", "bool"])
def test_arrays_of_any_shape_layout_and_dtype_arrive_as_they_are(dtype):
    call = GraphCall(lambda array: array[..., ::-1], [tf.TensorSpec([None, 3], dtype)])
    array = np.arange(24).reshape(4, 6).astype(dtype)
    for part in (array[:, :3], array[:1, 3:], array[:0, :3], array[::2, ::2], array.T[:6:2, 1:]):
        (reversed_rows,) = call(part)
        np.testing.assert_array_equal(reversed_rows, part[:, ::-1])


def test_threads_get_the_results_of_their_own_arrays():
    call = GraphCall(lambda array: tf.reduce_sum(array * tf.ones([50, 20_000]), axis=-1), [tf.TensorSpec([20_000])])

    def wrong(number):
        array = np.full(20_000, number, np.float32)
        return sum(int((call(array)[0].numpy() != 20_000 * number).any()) for _ in range(20))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(wrong, range(4))) == [0, 0, 0, 0]


def test_tensors_are_taken_as_well():
    call = GraphCall(lambda first, second: first - second, [tf.TensorSpec([2]), tf.TensorSpec([2])])
    np.testing.assert_array_equal(call(np.array([5, 7], np.float32), tf.constant([1.0, 2.0]))[0], [4, 5])


def test_what_nothing_reads_is_not_copied():
    call = GraphCall(lambda first, _, last: first - last, [tf.TensorSpec([2]), tf.TensorSpec([None, 3]), tf.TensorSpec([])])
    for rows in (1, 4):
        unread = np.full([rows, 3], np.nan, np.float32)
        np.testing.assert_array_equal(call(np.array([5, 7], np.float32), unread, np.float32([2])[0, ...])[0], [3, 5])
    assert [index for index, _ in call._inlets] == [0, 2]


def test_an_array_of_another_dtype_is_refused():
    call = GraphCall(lambda array: array + 1.0, [tf.TensorSpec([2])])
    with pytest.raises(tf.errors.InvalidArgumentError, match="double"):
        call(np.zeros(2))


@pytest.mark.parametrize("fuse", [False, True])
def test_layers_give_what_they_give_eagerly_fused_or_not(fuse):
    weights, bias = (np.random.default_rng(0).normal(size=shape).astype(np.float32) for shape in ((4, 3), (3,)))
    rows = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    call = GraphCall(lambda array: tf.nn.relu(array @ weights + bias), [tf.TensorSpec([None, 4])], fuse)
    np.testing.assert_allclose(call(rows)[0], np.maximum(rows @ weights + bias, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(call(rows[:1])[0], call(rows)[0][:1], rtol=1e-5, atol=1e-6)
