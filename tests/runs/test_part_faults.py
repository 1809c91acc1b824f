"""Whatever a part of somebody else's raises, traced or eagerly, is one sentence with the part, the method and the place."""

import re
import sys

import pytest

import agentlab
from agentlab import errors
from agentlab.program import cli
from agentlab.registry import plugins

TEXT = """
import attrs, keras
import tensorflow as tf
from agentlab.environment import DeviceEnvironment
from agentlab.memory import Memory, Request
from agentlab.model import ModelBuilder
from agentlab.sampler import Sampler
from agentlab.schedules import Schedule
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.trainer import Loss, Trainer
from agentlab.types import Batch

BAD, KIND = "", RuntimeError


def reach(name):
    if name == BAD:
        raise KIND("the motor is on fire")  # here


class Bad(DeviceEnvironment):
    @property
    def spec(self):
        reach("spec")
        return EnvironmentSpec("Bad-v0", Array((2,), "float32"), Discrete(2), max_episode_steps=10)

    def initial(self, seed, batch):
        reach("initial")
        return tf.zeros([batch, 2])

    def observe(self, state):
        reach("observe")
        return state

    def transition(self, state, action, seed):
        reach("transition")
        if BAD == "hot":
            checks = [tf.debugging.assert_less(state, 0.0, message="too hot")]  # hot
            with tf.control_dependencies(checks):
                state = tf.identity(state)
        if BAD == "converted":
            if tf.reduce_sum(state) > 5.0:
                state = state * 0.0
            reach("converted")
        rows = tf.shape(state)[0]
        return state + 0.1, tf.ones([rows]), tf.zeros([rows], tf.bool), ()


class MyLayer(keras.layers.Dense):
    def call(self, x, training=False):
        reach("call in training" if training else "call")
        return super().call(x)


class MyModel(ModelBuilder):
    def __init__(self):
        reach("model's init")

    def build(self, spec, num_outputs):
        reach("model's build")
        return keras.Sequential([MyLayer(num_outputs)])


class MyRate(Schedule):
    def __call__(self, count):
        reach("schedule")
        return tf.constant(0.1)


class MySampler(Sampler):
    def __init__(self):
        reach("sampler's init")
        self.draws = 0

    def sample(self, distribution, step, seed):
        reach("sample")
        if not tf.is_tensor(step) or not isinstance(step, tf.__internal__.EagerTensor):
            reach("sample in the loop")
        MyRate()(step)
        return distribution.mode()

    def explore(self, distribution, choices, step, seed):
        reach("explore")
        return None


class MyMemory(Memory):
    def build(self, layout):
        reach("memory's build")
        observation = layout.spec.observation
        self.seen = tf.Variable(tf.zeros([layout.num_environments, *observation.shape], observation.dtype))

    def add(self, step, row):
        reach("add")
        self.newest = step

    def sample(self, seed):
        reach("memory's sample")
        return Batch(**attrs.asdict(self.newest, recurse=False), place=tf.range(1))

    def update_priorities(self, place, priority):
        reach("update_priorities")

    def variables(self):
        reach("memory's variables")
        return {"seen": self.seen}

    def ranges(self):
        reach("memory's ranges")
        return super().ranges()

    def appended_rows(self):
        reach("appended_rows")
        return super().appended_rows()


@attrs.define(slots=False, eq=False)
class MyTrainer(Trainer):
    def distribution(self, spec):
        reach("distribution")
        return super().distribution(spec)

    def networks(self, spec):
        reach("networks")
        return super().networks(spec)

    def request(self, spec):
        reach("request")
        return Request(priority=BAD == "update_priorities")

    def update_schedule(self, spec, num_environments):
        reach("update_schedule")
        return super().update_schedule(spec, num_environments)

    def optimizer_steps(self):
        reach("optimizer_steps")
        return super().optimizer_steps()

    def build(self, setup):
        reach("trainer's build")
        super().build(setup)

    def score(self):
        reach("score")
        return None

    def update(self, memory, seed):
        reach("update")
        return super().update(memory, seed)

    def loss(self, output, batch, seed):
        reach("loss")
        loss = tf.reduce_sum(output, -1)
        return Loss(loss, priority=loss)

    def ranges(self):
        reach("trainer's ranges")
        return super().ranges()
"""
PARTS = {"environment": "bad", "model": "my-model", "trainer": "my-trainer", "sampler": "my-sampler", "memory": "latest"}
PLACES = {
    "spec": "The environment Bad failed in its spec",
    "initial": "The environment Bad failed in its initial",
    "observe": "The environment Bad failed in its observe",
    "transition": "The environment Bad failed in its transition",
    "converted": "The environment Bad failed in its transition",
    "call": "Model '.*' refused an observation",
    "call in training": "The layer MyLayer failed in its call",
    "model's init": "The model MyModel failed in its __init__",
    "model's build": "MyModel can't build a model for 'Bad-v0'",
    "schedule": "Sampler MySampler can't draw an action",
    "sampler's init": "The sampler MySampler failed in its __init__",
    "sample": "Sampler MySampler can't draw an action",
    "sample in the loop": "The sampler MySampler failed in its sample",
    "explore": "The sampler MySampler failed in its explore",
    "memory's build": "The memory MyMemory failed in its build",
    "add": "The memory MyMemory failed in its add",
    "memory's sample": "The memory MyMemory failed in its sample",
    "update_priorities": "The memory MyMemory failed in its update_priorities",
    "memory's variables": "The memory MyMemory failed in its variables",
    "memory's ranges": "The memory MyMemory failed in its ranges",
    "appended_rows": "The memory MyMemory failed in its appended_rows",
    "distribution": "The trainer MyTrainer failed in its distribution",
    "networks": "The trainer MyTrainer failed in its networks",
    "request": "The trainer MyTrainer failed in its request",
    "update_schedule": "The trainer MyTrainer failed in its update_schedule",
    "optimizer_steps": "The trainer MyTrainer failed in its optimizer_steps",
    "trainer's build": "The trainer MyTrainer failed in its build",
    "score": "The trainer MyTrainer failed in its score",
    "update": "The trainer MyTrainer failed in its update",
    "loss": "The trainer MyTrainer failed in its loss",
    "trainer's ranges": "The trainer MyTrainer failed in its ranges",
}
WITHOUT_LATEST = {  # asked for where what is learned from is stored; exploration ahead of time on the host
    **dict.fromkeys(("memory's build", "add", "memory's sample", "update_priorities"), "auto"),
    **dict.fromkeys(("memory's variables", "memory's ranges", "appended_rows"), "auto"),
    "explore": "host",
}


@pytest.fixture
def module(tmp_path):
    file = tmp_path / "parts.py"
    file.write_text(TEXT)
    plugins.add_file(file)
    yield sys.modules["agentlab_plugin_file_parts"]
    del sys.modules["agentlab_plugin_file_parts"]


def changes(memory, gear="auto", execution="graph"):
    parts = {kind: {"name": name} for kind, name in {**PARTS, "memory": memory}.items()}
    return {**parts, "steps": 4, "gear": gear, "execution": execution, "evaluation": {"episodes": 1}}


def line(mark):
    return next(number for number, text in enumerate(TEXT.splitlines(), 1) if text.endswith(f"# {mark}"))


@pytest.mark.slow
@pytest.mark.parametrize("where", PLACES)
def test_a_part_that_raises_is_named_with_its_method_and_the_place(where, module, tmp_path):
    module.BAD = where
    changed = changes("my-memory", WITHOUT_LATEST[where]) if where in WITHOUT_LATEST else changes("latest")
    with pytest.raises(errors.AgentlabError) as caught:
        agentlab.run("dqn", 0, changed, run_dir=tmp_path / "run")
    text = str(caught.value)
    assert re.match(PLACES[where], text)
    assert "the motor is on fire. It happened in " in text
    assert f"{tmp_path / 'parts.py'}, line {line('here')}." in text
    assert "in user code" not in text
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert where == "score" or not (tmp_path / "run").exists()


@pytest.mark.parametrize(("where", "gear", "execution"), [
    ("transition", "host", "graph"), ("converted", "host", "graph"), ("transition", "auto", "eager"), ("loss", "auto", "eager"),
    ("call in training", "host", "eager"), ("loss", "host", "graph"), ("loss", "auto", "xla"),
])  # fmt: skip
def test_so_it_is_in_every_gear_and_execution(where, gear, execution, module, tmp_path):
    module.BAD = where
    with pytest.raises(errors.AgentlabError, match=r"raised RuntimeError: the motor is on fire\. It happened in .*parts\.py"):
        agentlab.run("dqn", 0, changes("latest", gear, execution), run_dir=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("gear", ["host", "device"])
def test_what_a_compiled_function_raises_as_it_runs_is_told_with_the_place(gear, module, tmp_path):
    module.BAD = "hot"
    with pytest.raises(errors.AgentlabError, match=rf"too hot.* It happened in .*parts\.py, line {line('hot')}\."):
        agentlab.run("dqn", 0, changes("latest", gear), run_dir=tmp_path / "run")


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, KeyboardInterrupt, MemoryError])
def test_no_part_ends_the_program(kind, module, tmp_path):
    module.BAD, module.KIND = "loss", kind
    with pytest.raises(errors.PartFault, match=f"MyTrainer failed in its loss: it raised {kind.__name__}"):
        agentlab.run("dqn", 0, changes("latest"), run_dir=tmp_path / "run")


@pytest.mark.slow
def test_an_agent_that_is_loaded_and_judged_tells_it_too(module, tmp_path, capsys):
    run = agentlab.run("dqn", 0, changes("latest"), run_dir=tmp_path / "run").directory
    module.BAD = "loss"
    assert cli.main(["evaluate", str(run)]) == 0
    module.BAD = "transition"
    assert cli.main(["evaluate", str(run)]) == 1
    assert "it raised RuntimeError: the motor is on fire. It happened in " in capsys.readouterr().err
    module.BAD = "distribution"
    with pytest.raises(errors.PartFault, match="MyTrainer failed in its distribution"):
        agentlab.load(run)


def test_what_the_program_around_a_run_raises_is_its_own(tmp_path):
    def stop():
        raise LookupError("of the program")

    with pytest.raises(LookupError, match="of the program"):
        agentlab.run("dqn", 0, {"environment": {"id": "CartPole-v1"}, "steps": 8}, run_dir=tmp_path / "run", stop=stop)
