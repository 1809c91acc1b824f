"""R2D2 against numbers worked by hand: sequences, burn-in, priorities, returns of several steps, rescaled values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, seeds
from agentlab.model import RecurrentModel
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab_dqn.r2d2 import R2D2
from agentlab_dqn.returns import rescaled, sums_ahead, unscaled
from making import build, make_batch, tensors

SPEC = EnvironmentSpec("line", Array((1,)), Discrete(2))
SEED = seeds.at(seeds.stream(0, "trainer"), 0)


class Sums(RecurrentModel):
    """The state s adds up v times what is shown; the values of the two actions are w s, with w = (1, 2) and v = 1."""

    def __init__(self):
        super().__init__(name="sums")
        self.factor = self.add_weight(shape=(), initializer="ones", name="v")
        self.values = self.add_weight(shape=(2,), initializer="ones", name="w")
        self.values.assign([1.0, 2.0])
        self.built = True

    def initial_state(self, batch_size):
        return tf.zeros([batch_size])

    def call(self, observation, state, training=False):
        state = state + self.factor * observation[:, 0]
        return state[:, None] * self.values, state


def batch(ended=(False,) * 4, discount=(1, 1, 1, 1), weight=(0, 0, 2, 2), reward=(0, 0, 0, 0)):
    """One sequence of four steps, from a state of 10: 1, 2, 3, 4 are shown, then 5; action 0 is taken; nothing is earned."""
    return tensors(
        make_batch(
            observation=np.float32([[[1], [2], [3], [4]]]),
            action=np.int64([[0, 0, 0, 0]]),
            reward=np.float32([reward]),
            discount=np.float32([discount]),
            next_observation=np.float32([[[2], [3], [4], [5]]]),
            ended=np.array([ended]),
            state=np.float32([[10, 11, 13, 16]]),
            weight=np.float32([weight]),
        )
    )


def learned(burn_in=2, rows=None, **settings):
    """Returns how far v and w moved against the gradient, and the update."""
    settings = {"discount": 0.5, "huber_delta": None, "optimizer": "sgd", "learning_rate": 1.0, **settings}
    model = Sums()
    trainer = build(R2D2(sequence_length=4 - burn_in, burn_in=burn_in, target_update_period=1_000, **settings), SPEC, model)
    update = trainer.learn(batch() if rows is None else rows, SEED)
    return float(1.0 - model.factor.numpy()), (np.float32([1.0, 2.0]) - model.values.numpy()).tolist(), update


def test_the_burn_in_carries_no_gradient():
    """States 11, 13, 16, 20, then 25: the values of action 0; the best next ones are 26 to 50, half of which are the targets.

    Of the steps learned from, the errors are 20 - 16 = 4 and 25 - 20 = 5. The state at a step depends on v by what was shown
    since the burn-in, 3 and 7, and would by 1 + 2 more if the burn-in had a gradient.
    """
    v, w, update = learned()
    assert v == pytest.approx(-(4 * 3 + 5 * 7) / 2)
    assert w == pytest.approx([-(4 * 16 + 5 * 20) / 2, 0.0])
    assert float(update.metrics["loss"]) == pytest.approx((4**2 + 5**2) / 4)
    assert update.priority.numpy() == pytest.approx([0.9 * 5 + 0.1 * 4.5])


def test_without_burn_in_all_steps_are_learned_from():
    """The errors are 13 - 11, 16 - 13, 4 and 5, and the state depends on v by 1, 3, 6 and 10."""
    v, w, update = learned(burn_in=0, rows=batch(weight=(1, 1, 1, 1)), priority_mix=0.25)
    assert v == pytest.approx(-(2 * 1 + 3 * 3 + 4 * 6 + 5 * 10) / 4)
    assert w == pytest.approx([-(2 * 11 + 3 * 13 + 4 * 16 + 5 * 20) / 4, 0.0])
    assert update.priority.numpy() == pytest.approx([0.25 * 5 + 0.75 * 3.5])


@pytest.mark.parametrize("burn_in", [0, 2])
def test_the_state_is_reset_where_an_episode_begins(burn_in):
    """The episode is cut off with the third step, whose next value counts; the fourth begins in state 0, so it is in state 4.

    Its error is half of 2 (4 + 5) less 4. Bootstrapping from the reset state would give the third step a target of 4.
    """
    rows = batch(ended=(False, False, True, False))
    update = learned(burn_in, rows)[2]
    assert float(update.metrics["loss"]) == pytest.approx((4**2 + 5**2) / 4)
    errors_of = [20 - 16, 9 - 4]
    assert update.priority.numpy() == pytest.approx([0.9 * max(errors_of) + 0.1 * np.mean(errors_of)])


def test_a_terminated_step_has_no_value_beyond():
    update = learned(rows=batch(ended=(False, False, True, False), discount=(1, 1, 0, 1)))[2]
    assert update.priority.numpy() == pytest.approx([0.9 * 16 + 0.1 * (16 + 5) / 2])


def test_steps_that_pad_a_sequence_count_nowhere():
    """Of the two steps learned from, the second is a repetition: only the error of 4 is left."""
    update = learned(rows=batch(weight=(0, 0, 4, 0)))[2]
    assert update.priority.numpy() == pytest.approx([4.0])
    assert float(update.metrics["loss"]) == pytest.approx(4**2 / 2)


def test_double_learning_chooses_by_the_network_that_learns():
    """Once the learned values of action 0 are the larger ones, the target network's of action 0 count: half as much."""
    model = Sums()
    trainer = build(R2D2(sequence_length=4, discount=0.5, huber_delta=None, target_update_period=1_000), SPEC, model)
    model.values.assign([1.0, 0.0])
    update = trainer.learn(batch(weight=(1, 1, 1, 1)), SEED)
    assert update.priority.numpy() == pytest.approx([0.9 * 7.5 + 0.1 * (4.5 + 5 + 6 + 7.5) / 4])  # 11 - 13 / 2 and so on


def test_returns_of_several_steps_end_with_the_episode_and_with_the_sequence(compiled):
    reward, ended = tf.constant([[1.0, 2.0, 4.0, 8.0]] * 2), tf.constant([[False] * 4, [False, True, False, False]])
    discount = tf.constant([[1.0] * 4, [1.0, 0.0, 1.0, 1.0]])
    sums, following, last = compiled(lambda *leaves: sums_ahead(*leaves, 0.5, 3))(reward, discount, ended)
    assert sums.numpy().tolist() == [[1 + 1 + 1, 2 + 2 + 2, 4 + 4, 8], [1 + 1, 2, 4 + 4, 8]]
    assert following.numpy().tolist() == [[0.25, 0.25, 0.5, 1.0], [0.0, 0.0, 0.5, 1.0]]
    assert last.numpy().tolist() == [[2, 3, 3, 3], [1, 1, 3, 3]]


def test_returns_of_two_steps_by_hand():
    """Rewards of 1: from the third step 1 + 0.5 * 1 + 0.25 * 50 = 14, in state 16; from the last 1 + 25, in state 20."""
    update = learned(rows=batch(reward=(1, 1, 1, 1)), num_steps=2)[2]
    assert update.priority.numpy() == pytest.approx([0.9 * 6 + 0.1 * 4])


def test_rescaling_and_back():
    """h(3) = sqrt(4) - 1 + 0.003 and h(-8) = -(3 - 1) - 0.008."""
    np.testing.assert_allclose(rescaled(tf.constant([0.0, 3.0, -8.0])), [0.0, 1.003, -2.008], rtol=1e-6)
    values = tf.constant([-1e4, -1.0, 0.0, 0.3, 500.0])
    np.testing.assert_allclose(unscaled(rescaled(values)), values, rtol=1e-4, atol=1e-6)


def test_rescaled_values():
    """What is learned is h of the return: the target of the third step is h(0.5 * h^-1(40))."""
    update = learned(rescaled=True, priority_mix=1.0, rows=batch(weight=(0, 0, 4, 0)))[2]
    target = rescaled(0.5 * unscaled(tf.constant(40.0)))
    assert update.priority.numpy() == pytest.approx([abs(float(target) - 16)], rel=1e-5)
    with pytest.raises(ValueError, match="'rescaled' is for expected values"):
        R2D2(rescaled=True, num_atoms=51)


def test_a_sequence_longer_than_the_replay(tmp_path):
    changes = {"memory": {"capacity": 200}, "trainer": {"sequence_length": 30, "burn_in": 10}}
    with pytest.raises(errors.UsageError, match=r"A replay of 200 transitions can't hold 40 steps of 8 environments each"):
        agentlab.run("r2d2-cartpole-no-velocity", changes=changes, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_burn_in_without_a_state():
    dense = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    with pytest.raises(errors.UsageError, match=r"burn_in=2 is for models that carry a state from step to step"):
        build(R2D2(burn_in=2), SPEC, dense)
    build(R2D2(), SPEC, dense)


def test_request():
    request = R2D2(sequence_length=4, burn_in=2, discount=0.9).request(SPEC)
    assert (request.length, request.burn_in, request.keep, request.priority) == (6, 2, ("state",), True)
