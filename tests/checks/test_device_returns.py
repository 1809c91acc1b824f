"""What a device environment returns wrongly is reported in one sentence that names the method, in both gears."""

from typing import Any

import attrs
import pytest
import tensorflow as tf

from agentlab import errors
from agentlab.environment import DeviceEnvironment
from agentlab.loop.autoreset import Autoreset, HostedEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors.execution import compiled

ROWS = 3
RIGHT: dict[str, Any] = {
    "initial": lambda: {"place": tf.zeros([ROWS, 2])},
    "state": lambda state: state,
    "reward": lambda: tf.zeros([ROWS]),
    "terminated": lambda: tf.zeros([ROWS], tf.bool),
    "target": lambda: (),
    "result": lambda values: values,
    "restart": lambda: {"place": tf.zeros([ROWS, 2])},
    "observe": lambda state: state["place"],
}


@attrs.frozen
class Odd(DeviceEnvironment):
    """Returns what it is told to."""

    returns: Any
    target: Any = None
    observation: Any = attrs.field(factory=lambda: Array((2,)))

    @property
    def spec(self):
        return EnvironmentSpec("odd", self.observation, Discrete(2), target=self.target)

    def _of(self, name, *arguments):
        return self.returns.get(name, RIGHT[name])(*arguments)

    def initial(self, seed, batch):
        return self._of("initial")

    def restart(self, state, seed):
        return self._of("restart")

    def transition(self, state, action, seed):
        values = (self._of("state", state), self._of("reward"), self._of("terminated"), self._of("target"))
        return self._of("result", values)

    def observe(self, state):
        return self._of("observe", state)


def take_a_step(environment, execution="graph"):
    runner = Autoreset(environment, ROWS, 0)
    episodes, _ = runner.reset()
    return compiled(runner.step, execution)(episodes, tf.zeros([ROWS], tf.int64), tf.constant(1, tf.int64))


WRONG = {
    "a tuple of three": (
        {"result": lambda values: values[:3]},
        r"returned 3 values from 'transition'; expected \(state, reward",
    ),
    "nothing": ({"result": lambda values: None}, "returned None from 'transition'; expected .state, reward"),
    "a state alone": ({"result": lambda values: values[0]}, "returned .'place': .*'transition'; expected .state, reward"),
    "another structure": (
        {"state": lambda state: (state["place"],)},
        r"a state of the structure \(\.,\) from 'transition'; expected \{'place': \.\}, as before",
    ),
    "another entry": (
        {"state": lambda state: {"speed": state["place"]}},
        r"structure \{'speed': \.\} from 'transition'; expected \{'place': \.\}",
    ),
    "a state of another shape": (
        {"state": lambda state: {"place": state["place"][:, :1]}},
        r"a state of float32 \[3, 1\] from 'transition'; expected float32 \[3, 2\]",
    ),
    "a state of another dtype": (
        {"state": lambda state: {"place": tf.cast(state["place"], tf.int64)}},
        r"a state of int64 \[3, 2\] from 'transition'; expected float32 \[3, 2\]",
    ),
    "one reward": ({"reward": lambda: tf.constant(1.0)}, r"a reward of float32 \[\] from 'transition'; expected float32 \[3\]"),
    "a whole reward": ({"reward": lambda: tf.zeros([ROWS], tf.int64)}, r"a reward of int64 \[3\].*expected float32 \[3\]"),
    "no reward": ({"reward": lambda: None}, "a reward that is None from 'transition'; expected a tensor"),
    "an end in numbers": ({"terminated": lambda: tf.zeros([ROWS])}, r"'terminated' of float32 \[3\].*expected bool \[3\]"),
    "a target that there isn't": (
        {"target": lambda: tf.zeros([ROWS])},
        "a target, .* from 'transition'; expected .., as its spec",
    ),
    "another state anew": (
        {"restart": lambda: tf.zeros([ROWS, 2])},
        r"a state of the structure \. from 'restart'; expected \{'place': \.\}, as before",
    ),
    "an initial state without rows": (
        {"initial": lambda: {"place": tf.zeros([2])}},
        r"a state with a tensor of shape \(2,\) from 'initial'; expected \[3, ...\]",
    ),
    "an initial state of text": (
        {"initial": lambda: {"place": object()}},
        "a state that is <object .*'initial'; expected a tensor",
    ),
    "another observation": (
        {"observe": lambda state: state["place"][:, 0]},
        r"an observation of float32 \[3\] from 'observe'; expected float32 \[3, 2\]",
    ),
    "an observation of another dtype": (
        {"observe": lambda state: tf.cast(state["place"], tf.float64)},
        r"an observation of float64 \[3, 2\] from 'observe'; expected float32 \[3, 2\]",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_one_sentence_names_what_was_returned(wrong):
    returns, message = WRONG[wrong]
    with pytest.raises(errors.EnvironmentFault, match=message) as caught:
        take_a_step(Odd(returns))
    assert str(caught.value).startswith("The environment 'odd' returned ")


@pytest.mark.parametrize("execution", ["eager", "xla"])
def test_in_every_execution(execution):
    with pytest.raises(errors.EnvironmentFault, match="returned 3 values from 'transition'"):
        take_a_step(Odd(WRONG["a tuple of three"][0]), execution)


def test_on_the_host_too():
    environment = HostedEnvironment(Odd(WRONG["a tuple of three"][0]), ROWS)
    timestep = environment.reset(0)
    with pytest.raises(errors.EnvironmentFault, match="returned 3 values from 'transition'"):
        environment.step(timestep.reward.astype("int64"))


def test_a_target_that_is_missing_or_wrong():
    with pytest.raises(errors.EnvironmentFault, match="returned no target from 'transition'; expected a choice among 4 values"):
        take_a_step(Odd({}, target=Discrete(4)))
    with pytest.raises(errors.EnvironmentFault, match=r"a target of float32 \[3\] .*; expected int64 \[3\]"):
        take_a_step(Odd({"target": lambda: tf.zeros([ROWS])}, target=Discrete(4)))


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (
            lambda state: state["place"],
            r"an observation that is .*Tensor.* from 'observe'; expected a mapping with \['a', ",
        ),
        (
            lambda state: {"a": state["place"]},
            r"that is the entries \['a'\] from 'observe'; expected a mapping with \['a', ",
        ),
        (
            lambda state: {"a": state["place"], "b": state["place"]},
            r"entry 'b', of float32 \[3, 2\].*int64 \[3\]",
        ),
    ],
)
def test_mappings(observation, message):
    space = {"a": Array((2,)), "b": Discrete(5)}
    with pytest.raises(errors.EnvironmentFault, match=message):
        take_a_step(Odd({"observe": observation}, observation=space))


def test_what_is_right_passes(execution):
    episodes, timestep = take_a_step(Odd({}), execution)
    assert episodes.state["place"].shape == (ROWS, 2)
    assert timestep.reward.shape == (ROWS,)
