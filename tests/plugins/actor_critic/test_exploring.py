"""The samplers that explore by noise: their statistics, their bounds, and the same draws by every execution."""

import attrs
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, schedules, seeds
from agentlab.distribution import Categorical, SquashedNormal
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy, Sampler, Stochastic
from agentlab.spec import Array, EnvironmentSpec
from agentlab_actor_critic.samplers import NormalNoise, OrnsteinUhlenbeckNoise
from agentlab_actor_critic.squashed import Squashed
from agentlab_actor_critic.td3 import TD3
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import Linear

SEED = seeds.at(7, 0)
LOW, HIGH = np.float32([-1.0, -3.0]), np.float32([1.0, 1.0])
NARROW = Squashed(shape=(2,), low=LOW, high=HIGH)
ROWS = 20_000


def middle(rows=ROWS):
    """Returns a policy that takes the middle of the bounds, [0, -1]."""
    return NARROW.of(tf.zeros([rows, 2]))


def step(number):
    return tf.constant(number, tf.int64)


def test_noise_has_its_deviation_and_is_independent():
    noise = (NormalNoise(0.1).sample(middle(), step(0), SEED).numpy() - [0, -1]) / [1, 2]
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=4 * 0.1 / ROWS**0.5)
    np.testing.assert_allclose(noise.std(axis=0), 0.1, rtol=0.03)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 4 / ROWS**0.5
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 4 / ROWS**0.5


def test_noise_stays_within_the_bounds_of_every_element():
    actions = NormalNoise(3.0).sample(middle(), step(0), SEED).numpy()
    np.testing.assert_array_equal(actions.min(axis=0), LOW)
    np.testing.assert_array_equal(actions.max(axis=0), HIGH)


def test_the_deviation_follows_a_schedule():
    sampler = NormalNoise(schedules.Linear(0.4, 0.0, 100))
    spread = [np.std(sampler.sample(middle(), step(number), SEED).numpy()[:, 0]) for number in (0, 50, 100)]
    np.testing.assert_allclose(spread, [0.4, 0.2, 0.0], rtol=0.05, atol=1e-6)


@pytest.mark.parametrize(
    "sampler", [NormalNoise(0.0, random_steps=10), Stochastic(random_steps=10)], ids=["noise", "stochastic"]
)
def test_actions_are_uniform_at_first(sampler):
    cold = SquashedNormal(shape=(2,), low=LOW, high=HIGH).of(tf.constant([[0.0, 0.0, -20.0, -20.0]] * ROWS))
    actions = sampler.sample(cold, step(9), SEED).numpy()
    assert (actions >= LOW).all()
    assert (actions <= HIGH).all()
    for element in range(2):
        share, _ = np.histogram(actions[:, element], bins=10, range=(LOW[element], HIGH[element]))
        np.testing.assert_allclose(share / ROWS, 0.1, atol=0.01)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 4 / ROWS**0.5
    np.testing.assert_allclose(sampler.sample(cold, step(10), SEED), [[0, -1]] * ROWS, atol=1e-6)


def test_random_actions_are_the_same_bits_by_every_execution(compiled):
    odd = Squashed(shape=(2,), low=np.float32([-0.1, -1 / 3]), high=np.float32([0.7, 2.9]))
    draw = compiled(lambda: NormalNoise(0.1, random_steps=1).sample(odd.of(tf.zeros([500, 2])), step(0), SEED))
    np.testing.assert_array_equal(draw(), NormalNoise(0.1, random_steps=1).sample(odd.of(tf.zeros([500, 2])), step(0), SEED))


def test_choices_are_uniform_at_first(assert_frequencies):
    policy = Categorical(num_values=3).of(tf.constant([[9.0, 0.0, 0.0]] * ROWS))
    assert_frequencies(Stochastic(random_steps=10).sample(policy, step(9), SEED), [1 / 3] * 3)
    assert np.mean(Stochastic(random_steps=10).sample(policy, step(10), SEED) == 0) > 0.99


def test_an_epsilon_greedy_sampler_of_numbers_is_refused():
    with pytest.raises(errors.UsageError, match="Sampler 'epsilon-greedy' is for choices; a Squashed is of numbers"):
        EpsilonGreedy().sample(middle(1), step(0), SEED)


@pytest.mark.parametrize("sampler", [NormalNoise(), OrnsteinUhlenbeckNoise()], ids=["normal", "ou"])
def test_noise_in_choices_is_refused(sampler):
    with pytest.raises(errors.UsageError, match="Categorical is not one of numbers within bounds"):
        sampler.sample(Categorical(num_values=3).of(tf.zeros([1, 3])), step(0), SEED)


@pytest.mark.parametrize("wrong", [{"deviation": -0.1}, {"deviation": schedules.Linear(0.1, -0.1, 5)}, {"random_steps": -1}])
@pytest.mark.parametrize("sampler", [NormalNoise, OrnsteinUhlenbeckNoise])
def test_impossible_settings_are_refused(sampler, wrong):
    with pytest.raises(ValueError, match="must be"):
        sampler(**wrong)


def test_ornstein_uhlenbeck_noise_by_hand(compiled):
    sampler = OrnsteinUhlenbeckNoise(deviation=0.5, reversion=0.25)
    policy = NARROW.of(tf.constant([[0.25, -0.5]]))
    start = sampler.initial_state(NARROW, 1)

    @compiled
    def actions():
        state, actions = start, []
        for index in range(6):
            action, state = sampler.sample_with_state(policy, state, step(index), seeds.at(7, index))
            actions.append(action)
        return actions

    noise, expected = np.zeros(2), []
    for index in range(6):
        noise = 0.75 * noise + 0.5 * np.float64(seeds.normal(seeds.at(7, index), [1, 2])[0])
        action = np.array([np.tanh(0.25), -1 + 2 * np.tanh(-0.5)]) + noise * [1, 2]
        expected.append([np.clip(action, LOW, HIGH)])
    np.testing.assert_allclose(actions(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(start, [[0, 0]])
    np.testing.assert_allclose(sampler.sample(policy, step(0), seeds.at(7, 0)), expected[0], rtol=1e-5)  # a first step


def test_ornstein_uhlenbeck_noise_goes_on():
    """Its deviation becomes 0.2 / sqrt(1 - 0.85**2) = 0.38, and its correlation from step to step is 0.85."""
    sampler, policy = OrnsteinUhlenbeckNoise(0.2, 0.15), middle()
    state = sampler.initial_state(NARROW, ROWS)
    for index in range(40):
        before = state
        _, state = sampler.sample_with_state(policy, state, step(index), seeds.at(7, index))
    assert float(tf.math.reduce_std(state)) == pytest.approx(0.3797, rel=0.02)
    assert np.corrcoef(before.numpy()[:, 0], state.numpy()[:, 0])[0, 1] == pytest.approx(0.85, abs=0.01)


class Recorded(Sampler):
    """Adds noise that grows by 1 at every step of an episode: actions tell how many there were."""

    def initial_state(self, distribution, rows):
        return tf.zeros([rows, 1])

    def sample(self, distribution, step, seed):
        return distribution.mode() + 1.0

    def sample_with_state(self, distribution, state, step, seed):
        return 0.0 * distribution.mode() + state, state + 1.0


@attrs.frozen
class Corridor(DeviceEnvironment):
    """Shows nothing and ends after three steps; takes any number."""

    @property
    def spec(self):
        return EnvironmentSpec("corridor", Array((1,)), Array((1,), minimum=-9.0, maximum=9.0), 3)

    def initial(self, seed, batch):
        return tf.zeros([batch, 1])

    def transition(self, state, action, seed):
        return state, action[:, 0], tf.zeros(tf.shape(action)[:1], tf.bool), ()

    def observe(self, state):
        return state


@pytest.mark.slow
@pytest.mark.parametrize("gear", [DeviceGear, HostGear])
def test_the_loop_carries_a_samplers_state_and_resets_it_with_the_episode(gear):
    trainer, spec = TD3(learning_starts=10**6), Corridor().spec
    models = {
        name: [build_model(Linear(), network.input_spec(spec), network.num_outputs, 0) for _ in range(network.count)]
        for name, network in trainer.networks(spec).items()
    }
    agent = Agent(spec, Parts(models, Recorded(), trainer, UniformReplay(100, 4)), 2, 0, "graph")
    running = gear(agent, Corridor() if gear is DeviceGear else HostedEnvironment(Corridor(), 2), 0)
    running.start()
    running.run(4)
    assert running.state()["loop"]["state/000"].tolist() == [[1.0], [1.0]]  # what a checkpoint holds
    assert "state/000" in running.ranges()["loop"]
    running.run(3)
    running.state()  # what waits on the host reaches the memory
    assert agent.memory_variables()["ring/stored/reward"].numpy()[:14].tolist() == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0, 0]


def run_with_noise(folder, name, **changes):
    """Returns a short run of TD3 that explores by Ornstein-Uhlenbeck noise."""
    small = {
        "environment": {"name": "pendulum", "max_episode_steps": 30},
        "model": {"hidden_units": [8]},
        "trainer": {"learning_starts": 40, "update_period": 4},
        "sampler": {"name": "ou-noise", "random_steps": 20},
        "memory": {"capacity": 400, "batch_size": 8},
        "num_environments": 2,
        "report_period": 100,
        "checkpoint_period": 100,
        "execution": "graph",
        "evaluation": {"environment": {"name": "pendulum"}, "episodes": 2},
        **changes,
    }
    return agentlab.run("td3", 3, small, run_dir=folder / name)


def weights(run):
    return [variable.numpy() for variable in run.model.variables]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_with_noise(tmp_path_factory.mktemp("whole"), "device", steps=300, gear="device")


@pytest.mark.slow
@pytest.mark.parametrize(("gear", "steps"), [("host", 300), ("device", 140), ("host", 140)])
def test_both_gears_and_a_resumed_run_come_to_the_same(tmp_path, whole, gear, steps):
    other = run_with_noise(tmp_path, "other", steps=steps, gear=gear)
    if steps < 300:
        other = agentlab.resume(other.directory, steps=300)
    for one, same in zip(weights(whole), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)
    assert other.result["evaluation"]["return_mean"] == whole.result["evaluation"]["return_mean"]
