"""What remains of an update's graph once nobody needs it; and what XLA makes of the norm of a gradient."""

import gc
import re
import weakref

import keras
import pytest
import tensorflow as tf

from agentlab.tensors.execution import Compiled
from agentlab.tensors.parameters import Updater, global_norm


@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, keras.optimizers.AdamW])  # as one vector, and one by one
def test_the_graph_of_an_update_is_freed_with_its_function(optimizer, max_norm):
    weights = [keras.Variable(tf.ones([3, 2])), keras.Variable(tf.ones([2]))]
    updater = Updater(optimizer(0.5), weights)
    function = Compiled(lambda: updater.apply([tf.ones([3, 2]), tf.ones([2])], max_norm), "graph", [])
    function()
    graph = weakref.ref(function.concrete().graph)
    assert float(weights[0].value[0, 0]) < 1.0
    del function
    gc.collect()
    assert graph() is None


def test_a_norm_stays_a_sum_of_columns_when_xla_compiles_it():
    """Not one sum of all elements, one after the other: an update of MNIST's MLP took half as long again."""
    norm = tf.function(lambda gradient: global_norm([gradient]), jit_compile=True)
    program = norm.experimental_get_compiler_ir(tf.zeros([784, 100]))(stage="optimized_hlo")
    widths = [int(match[1] or 1) for match in re.finditer(r"= f32\[(\d*)\]\S* reduce\(", program)]
    assert len(widths) == 2
    assert max(widths) >= 100
