"""What remains of an update's graph once nobody needs it."""

import gc
import weakref

import keras
import pytest
import tensorflow as tf

from agentlab.tensors.execution import Compiled
from agentlab.tensors.parameters import Updater


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
