"""Auto-reset against a plain-Python reference, over any pattern of terminations and time limits."""

import attrs
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import Autoreset, HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.model import ModelBuilder
from agentlab.runs.model_building import build_model
from agentlab.sampler import Greedy
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.trainer import Loss, Trainer
from agentlab_memories.replay import UniformReplay

ROWS, TURNS = 3, 12
FRESH = 1000.0  # a new episode's first observation is at least this, what an action led to is less


@attrs.frozen(eq=False)
class Scripted(DeviceEnvironment):
    """Terminates where the script `[TURNS, ROWS]` says. Observations: `[row, turns since the reset]`, or `[row, FRESH + draw]`.

    The state is a nest of leaves of several ranks, so that a reset which mixes up rows or leaves shows.
    """

    script: object
    limit: int | None = None

    @property
    def spec(self):
        return EnvironmentSpec("scripted", Array((2,)), Discrete(2), self.limit, Discrete(5))

    def initial(self, seed, batch):
        drawn = FRESH + tf.cast(seeds.integers(seed, [batch], 10**6), tf.float32)
        row = tf.range(batch, dtype=tf.int64)
        return {
            "turn": tf.zeros([batch], tf.int64),
            "shown": drawn,
            "wide": tf.tile(drawn[:, None, None], [1, 2, 2]),
            "row": row,
        }

    def transition(self, state, action, seed):
        # `turn` begins anew with an episode; the script is read by what never does: the steps that seed the transition.
        terminated = tf.gather(self.script, seed[1] - 1)
        turn = state["turn"] + 1
        reward = tf.cast(10 * state["row"] + turn, tf.float32) + tf.cast(action, tf.float32) / 4
        led = {**state, "turn": turn, "shown": tf.cast(turn, tf.float32), "wide": tf.zeros_like(state["wide"])}
        return led, reward, terminated, (state["row"] + turn) % 5

    def observe(self, state):
        return tf.stack([tf.cast(state["row"], tf.float32), state["shown"]], axis=1)


def reference(script, limit, actions):
    """The same in plain Python: for each turn and row what happened, without the observation of a new episode."""
    elapsed, answers = [0] * ROWS, []
    for flags, taken in zip(script, actions, strict=True):
        answer = []
        for row in range(ROWS):
            elapsed[row] += 1
            reward = 10 * row + elapsed[row] + taken[row] / 4
            truncated = limit is not None and elapsed[row] >= limit
            answer.append((reward, bool(flags[row]), truncated, (row, elapsed[row]), (row + elapsed[row]) % 5))
            if flags[row] or truncated:
                elapsed[row] = 0
        answers.append((answer, list(elapsed)))
    return answers


def flags(terminations):
    return tf.constant(np.array(terminations, np.bool_))


scripts = st.lists(st.lists(st.booleans(), min_size=ROWS, max_size=ROWS), min_size=TURNS, max_size=TURNS)
limits = st.none() | st.integers(1, 5)
actions_taken = st.lists(st.lists(st.integers(0, 1), min_size=ROWS, max_size=ROWS), min_size=TURNS, max_size=TURNS)


def check(timestep, answer):
    rewards, terminated, truncated, final, target = zip(*answer, strict=True)
    assert timestep.reward.tolist() == list(rewards)
    assert timestep.terminated.tolist() == list(terminated)
    assert timestep.truncated.tolist() == list(truncated)
    assert timestep.final_observation.tolist() == [list(map(float, row)) for row in final]
    assert timestep.target.tolist() == list(target)
    assert timestep.acted.tolist() == [True] * ROWS
    ended = timestep.terminated | timestep.truncated
    assert (timestep.observation[:, 0] == range(ROWS)).all()
    assert (timestep.observation[ended, 1] >= FRESH).all()
    assert (timestep.observation[~ended] == timestep.final_observation[~ended]).all()


def numpy(structure):
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), structure)


@pytest.mark.slow
@given(scripts, limits, actions_taken)
def test_time_steps_are_those_of_plain_python(script, limit, actions):
    autoreset = Autoreset(Scripted(flags(script), limit), ROWS, 0)
    episodes, timestep = autoreset.reset()
    first = numpy(timestep)
    assert not np.any([first.reward, first.terminated, first.truncated, first.acted])
    assert (first.observation == first.final_observation).all()
    for index, (taken, (answer, elapsed)) in enumerate(zip(actions, reference(script, limit, actions), strict=True), 1):
        episodes, timestep = autoreset.step(episodes, tf.constant(taken, tf.int64), tf.constant(index, tf.int64))
        check(numpy(timestep), answer)
        assert episodes.elapsed.numpy().tolist() == elapsed
        assert episodes.state["turn"].numpy().tolist() == elapsed
        begun = np.array(elapsed) == 0
        assert (episodes.state["wide"].numpy()[begun] >= FRESH).all()


@pytest.mark.slow
@settings(max_examples=15)
@given(scripts, limits, actions_taken)
def test_the_host_face_does_the_same(script, limit, actions):
    for execution in ("graph", "eager"):
        environment = HostedEnvironment(Scripted(flags(script), limit), ROWS, execution)
        environment.reset(0)
        for taken, (answer, _) in zip(actions, reference(script, limit, actions), strict=True):
            check(environment.step(np.array(taken)), answer)


def test_a_reset_to_the_same_seed_compiles_nothing_anew():
    traces = []

    class Traced(Scripted):
        def transition(self, state, action, seed):
            traces.append(seed)
            return super().transition(state, action, seed)

    environment = HostedEnvironment(Traced(tf.zeros([TURNS, ROWS], tf.bool)), ROWS)
    observations = []
    for seed in (0, 0, 1, 1, 1):
        observations.append(environment.reset(seed).observation.tolist())
        environment.step(np.zeros(ROWS, np.int64))
    assert len(traces) == 2
    assert observations[0] == observations[1] != observations[2] == observations[4]


@given(scripts, limits, actions_taken)
def test_episode_statistics_are_those_of_plain_python(script, limit, actions):
    statistics, running, returns, lengths = EpisodeStatistics.start(ROWS), [0.0] * ROWS, [], []
    for answer, elapsed in reference(script, limit, actions):
        rewards, terminated, truncated = (np.array(column) for column in list(zip(*answer, strict=True))[:3])
        statistics = statistics.after(rewards.astype(np.float32), (terminated | truncated).astype(np.float32))
        for row, (reward, end, cut, (_, length), _) in enumerate(answer):
            running[row] += reward
            if end or cut:
                returns.append(running[row])
                lengths.append(length)
                running[row] = 0.0
        assert statistics.running_return.tolist() == running
        assert statistics.running_length.tolist() == elapsed
    expected = {"episodes": len(returns), "return_mean": None, "episode_length_mean": None}
    if returns:
        expected.update(return_mean=np.mean(returns), episode_length_mean=np.mean(lengths))
    assert statistics.summary() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("terminated", "limit", "expected"),
    [
        (False, None, (False, False)),
        (True, None, (True, False)),
        (False, 1, (False, True)),
        (True, 1, (True, True)),
    ],
)
def test_one_row_ends_while_the_others_go_on(compiled, terminated, limit, expected):
    """By hand: row 1 is where something happens; with a limit of 1 all rows are cut off."""
    autoreset = Autoreset(Scripted(flags([[False, terminated, False]]), limit), ROWS, 0)
    episodes, first = autoreset.reset()
    episodes, timestep = numpy(compiled(autoreset.step)(episodes, tf.zeros(ROWS, tf.int64), tf.constant(1, tf.int64)))
    assert (bool(timestep.terminated[1]), bool(timestep.truncated[1])) == expected
    assert timestep.terminated.tolist() == [False, terminated, False]
    assert timestep.truncated.tolist() == [limit == 1] * 3
    assert timestep.final_observation.tolist() == [[0, 1], [1, 1], [2, 1]]
    goes_on = [limit is None, not any(expected), limit is None]
    assert (timestep.observation[:, 1] == 1).tolist() == goes_on
    assert (timestep.observation[:, 1] != first.observation.numpy()[:, 1]).all(), "a reset draws anew"
    assert episodes.elapsed.tolist() == [int(going) for going in goes_on]


class Nothing(Trainer):
    """Learns nothing: the test is of what is remembered."""

    def loss(self, output, batch, seed):
        return Loss(tf.reduce_sum(output, axis=1))


class Line(ModelBuilder):
    def build(self, spec, num_outputs):
        import keras

        return keras.Sequential([keras.Input(spec.observation.shape), keras.layers.Dense(num_outputs)])


@pytest.mark.slow
@pytest.mark.parametrize("gear", [DeviceGear, HostGear])
@pytest.mark.parametrize("limit", [None, 2, 3])
def test_no_transition_across_a_reset_is_remembered(gear, limit):
    generator = np.random.default_rng(1)
    script = generator.random((TURNS, ROWS)) < 0.3
    environment = Scripted(flags(script), limit)
    memory = UniformReplay(TURNS * ROWS, 4)
    model = build_model(Line(), environment.spec, 2, 0)
    trainer = Nothing(learning_starts=TURNS * ROWS, update_period=ROWS)  # the host hands over what waits when it learns
    agent = Agent(environment.spec, Parts({"policy": [model]}, Greedy(), trainer, memory), ROWS, 0, "graph")
    running = gear(agent, environment if gear is DeviceGear else HostedEnvironment(environment, ROWS), 0)
    running.start()
    running.run(TURNS)
    summary = running.report()
    running.close()
    stored = {name.rpartition("/")[2]: variable.numpy() for name, variable in memory.variables().items()}
    assert stored["added"] == TURNS * ROWS
    actions = stored["action"].reshape(TURNS, ROWS)
    ends = 0
    for turn, (answer, _) in enumerate(reference(script, limit, actions.tolist())):
        for row, (reward, terminated, truncated, final, target) in enumerate(answer):
            place = turn * ROWS + row
            assert stored["next_observation"][place].tolist() == list(map(float, final))
            assert stored["next_observation"][place][1] < FRESH
            assert stored["reward"][place] == reward
            assert stored["discount"][place] == 1 - terminated
            assert stored["target"][place] == target
            begins = stored["observation"][place][1] >= FRESH
            assert begins == (final[1] == 1)
            assert begins or stored["observation"][place][1] == final[1] - 1
            ends += terminated or truncated
    assert summary["episodes"] == ends > 3
