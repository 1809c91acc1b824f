"""Parts that don't suit each other are refused by name, before training, and leave nothing behind."""

import keras
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, errors, seeds
from agentlab.loop.agent import Agent, Parts
from agentlab.memory import Latest
from agentlab.registry import plugins
from agentlab.sampler import Greedy, Sampler, check_actions
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.trainer import Trainer
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay

SPEC = EnvironmentSpec("example", Array((3,)), Discrete(2))
ARM = EnvironmentSpec("arm", Array((3,)), Array((3,)))


class Reward(Trainer):
    """Learns the reward of the first action."""

    def num_outputs(self, spec):
        return 2

    def loss(self, output, batch, seed):
        return tf.square(batch.reward - output[:, 0]), {}


class OnPolicy(Reward):
    on_policy = True


class Rollout(UniformReplay):
    """Hands out what happened in eight turns."""

    on_policy = True

    def update_period(self, num_environments):
        return 8 * num_environments


def agent(trainer, memory, rows=4):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    return Agent(SPEC, Parts(model, Greedy(), trainer, memory), rows)


@pytest.mark.parametrize("memory", [UniformReplay, PrioritizedReplay])
def test_an_on_policy_trainer_refuses_older_transitions(memory):
    expected = f"OnPolicy learns from what the present policy does; {memory.__name__} hands out transitions of earlier ones"
    with pytest.raises(AgentlabError, match=expected):
        agent(OnPolicy(), memory())


@pytest.mark.parametrize(
    ("trainer", "memory"), [(OnPolicy(), Latest()), (OnPolicy(update_period=32), Rollout()), (Reward(), UniformReplay())]
)
def test_parts_that_suit_are_taken(trainer, memory):
    agent(trainer, memory)


@pytest.mark.parametrize(("period", "rows", "updates"), [(31, 4, "31"), (32, 2, "32"), (None, 4, "4"), (64, 4, "64")])
def test_a_memory_for_updates_at_certain_times_refuses_others(period, rows, updates):
    expected = (
        f"Rollout hands out what happened in {8 * rows} steps, with {rows} environments; the trainer updates every {updates}"
    )
    with pytest.raises(AgentlabError, match=f"{expected}. Set trainer.update_period={8 * rows}, or the memory"):
        agent(Reward(update_period=period), Rollout(), rows)


class NeedsAWeight(Reward):
    def loss(self, output, batch, seed):
        return batch.weight * super().loss(output, batch, seed)[0], {}


class NeedsASequence(Reward):
    def loss(self, output, batch, seed):
        return tf.reshape(batch.reward, [7, 3]), {}


class NeedsATargetOfItsOwn(Reward):
    def loss(self, output, batch, seed):
        if tf.reduce_sum(batch.reward) > 0:  # traced anew, with AutoGraph
            return super().loss(output, batch, seed)
        return batch.future - output[:, 0], {}


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
    batches = {"replay": "the batches of UniformReplay", "latest": "the latest batch"}[memory]
    with pytest.raises(errors.UsageError) as caught:
        agentlab.run("dqn-cartpole", changes=changes, run_dir=tmp_path / "run")
    assert str(caught.value).startswith(f"{trainer.__name__} can't learn from {batches}: ")
    assert "in user code" not in str(caught.value)
    assert str(caught.value).endswith("Choose another memory, or mend the trainer.")
    if gear == "device" and execution != "eager":  # elsewhere, it takes a step to see it
        assert not (tmp_path / "run").exists()


class Gaussian(Sampler):
    """Draws each number from a mean and a standard deviation."""

    outputs_per_number = 2

    def sample(self, output, step, seed):
        mean, deviation = tf.split(output, 2, axis=-1)
        return mean + tf.exp(deviation) * seeds.normal(seed, tf.shape(mean))


def test_a_sampler_that_cannot_draw_from_the_outputs_is_told_by_name():
    check_actions(Gaussian(), ARM, tf.zeros([1, 6]))
    with pytest.raises(AgentlabError, match="Sampler Gaussian can't draw an action of 'arm' from 3 outputs, which is what the"):
        check_actions(Gaussian(), ARM, tf.zeros([1, 3]))
    with pytest.raises(
        AgentlabError, match=r"Sampler Gaussian draws actions of shape \(2,\); environment 'arm' takes a float32"
    ):
        check_actions(Gaussian(), ARM, tf.zeros([1, 4]))
