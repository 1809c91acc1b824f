"""Parts that don't suit each other are refused by name, before training, and leave nothing behind."""

import keras
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, errors
from agentlab.distribution import Normal
from agentlab.loop.agent import Agent, Parts
from agentlab.memory import Latest, Request
from agentlab.registry import plugins
from agentlab.runs.composition import check_actions
from agentlab.sampler import Greedy, Sampler
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.trainer import Loss, Trainer
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from agentlab_memories.rollout import Rollout

SPEC = EnvironmentSpec("example", Array((3,)), Discrete(2))
ARM = EnvironmentSpec("arm", Array((3,)), Array((3,)))


class Reward(Trainer):
    """Learns the reward of the first action."""

    def loss(self, output, batch, seed):
        return Loss(tf.square(batch.reward - output[:, 0]))


class InOrder(Reward):
    """Learns from everything in eight turns, in order."""

    def request(self, spec):
        return Request(length=8, order="all", priority=True)


class Sequences(Reward):
    """Learns from any eight steps on end."""

    def request(self, spec):
        return Request(length=8)


def agent(trainer, memory, rows=4):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    agent = Agent(SPEC, Parts({"policy": [model]}, Greedy(), trainer, memory), rows)
    agent.learner.prepare()
    return agent


REFUSED = [
    (InOrder(), UniformReplay(), "learns from everything since its last update, in order; a replay hands out draws"),
    (InOrder(), PrioritizedReplay(), "learns from everything since its last update, in order; a replay hands out draws"),
    (InOrder(), Latest(), "learned from once a turn, every 4 steps here; the trainer asks for 1 updates every 32 steps"),
    (Sequences(), Latest(), "The trainer learns from 8 steps in a row; memory 'latest' hands out single steps"),
    (Reward(), Rollout(), "hands out everything since the last update, in steps of one; the trainer asks for draws"),
    (Reward(), PrioritizedReplay(), "draws by the trainer's error on each transition, which this trainer doesn't report"),
    (Sequences(), UniformReplay(capacity=32), "can't hold 8 steps of 4 environments each; expected a capacity greater than 32"),
]


@pytest.mark.parametrize(("trainer", "memory", "sentence"), REFUSED)
def test_a_request_that_a_memory_cannot_meet_is_refused(trainer, memory, sentence):
    with pytest.raises(AgentlabError, match=sentence):
        agent(trainer, memory)


@pytest.mark.parametrize(
    ("trainer", "memory"), [(InOrder(), Rollout()), (Sequences(), UniformReplay()), (Reward(), UniformReplay())]
)
def test_parts_that_suit_are_taken(trainer, memory):
    agent(trainer, memory)


class NeedsAWeight(Reward):
    def loss(self, output, batch, seed):
        return Loss(batch.weight * super().loss(output, batch, seed).value)


class NeedsASequence(Reward):
    def loss(self, output, batch, seed):
        return Loss(tf.reshape(batch.reward, [7, 3]))


class NeedsATargetOfItsOwn(Reward):
    def loss(self, output, batch, seed):
        if tf.reduce_sum(batch.reward) > 0:  # traced anew, with AutoGraph
            return super().loss(output, batch, seed)
        return Loss(batch.future - output[:, 0])


@pytest.mark.parametrize(
    ("trainer", "memory", "gear", "execution"),
    [
        (NeedsAWeight, "replay", "device", "xla"),
        (NeedsAWeight, "replay", "device", "eager"),
        (NeedsASequence, "replay", "host", "graph"),
        (NeedsASequence, "latest", "host", "graph"),
        (NeedsATargetOfItsOwn, "latest", "device", "graph"),
    ],
)
@pytest.mark.quick("NeedsAWeight-replay-device-eager", "NeedsASequence-*")
def test_a_trainer_that_cannot_use_the_batches_is_told_by_name(tmp_path, monkeypatch, trainer, memory, gear, execution):
    usual = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: trainer if name == "own" else usual(kind, name))
    changes = {
        "trainer": {"name": "own"},
        "memory": {"name": memory},
        "model": {"hidden_units": [4]},
        "num_environments": 4,
        "steps": 40,
        "gear": gear,
        "execution": execution,
        "evaluation": {"episodes": 1},
    }
    batches = {"replay": "the batches of UniformReplay", "latest": "the batches of Latest"}[memory]
    with pytest.raises(errors.UsageError) as caught:
        agentlab.run("dqn-cartpole", changes=changes, run_dir=tmp_path / "run")
    assert str(caught.value).startswith(f"{trainer.__name__} can't learn from {batches}: ")
    assert "in user code" not in str(caught.value)
    assert str(caught.value).endswith("Choose another memory, or fix the trainer.")
    if gear == "device" and execution != "eager":  # elsewhere, it takes a step to see it
        assert not (tmp_path / "run").exists()


class Paired(Sampler):
    """Draws two actions at a time."""

    def sample(self, distribution, step, seed):
        return tf.reshape(distribution.sample(seed), [-1, 2])


class Doubled(Sampler):
    """Draws each number twice."""

    def sample(self, distribution, step, seed):
        return tf.repeat(distribution.sample(seed), 2, axis=-1)


def test_a_sampler_that_cannot_draw_is_told_by_name():
    check_actions(Greedy(), Normal(shape=(3,)), ARM)
    with pytest.raises(
        AgentlabError, match="Sampler Paired can't draw an action of 'arm' from a Normal of 6 outputs, which is"
    ):
        check_actions(Paired(), Normal(shape=(3,)), ARM)
    with pytest.raises(AgentlabError, match=r"Sampler Doubled draws actions of shape \(6,\) from a Normal; environment 'arm'"):
        check_actions(Doubled(), Normal(shape=(3,)), ARM)
