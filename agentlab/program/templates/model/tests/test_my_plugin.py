"""The contract's tests, and what is special about this model."""

from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import ModelTests, TaskTests
from my_plugin.model import MyPlugin
from my_plugin.tasks import my_plugin


class TestMyPlugin(ModelTests):
    part = MyPlugin


class TestMyPluginOnImages(ModelTests):
    part = MyPlugin
    among = my_plugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def test_weights_of_every_layer():
    spec = EnvironmentSpec("example", Array((3, 2)), Discrete(4))
    model = MyPlugin(units=5, blocks=2).build(spec, num_outputs=4)
    assert model.count_params() == (6 * 5 + 5) + 2 * (5 * 5 + 5) + (5 * 4 + 4)
