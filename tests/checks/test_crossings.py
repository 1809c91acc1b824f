"""What crosses between an environment, an agent and a program's own loop: checked by all ways in, and copied where needed."""

import json
import re
import threading
import warnings

import attrs
import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

import agentlab
from agentlab import Agent, Parts, TimeStep, errors
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.foreign.guard import guarded
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.evaluation import Evaluator
from agentlab.loop.host.gear import HostGear
from agentlab.program import play
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy, Greedy
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab_dqn.trainer import DQN
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import MLP
from agentlab_supervised.score import ClassScore

SPEC = EnvironmentSpec("sick", Array((3,)), Discrete(2))
ZEROS = np.zeros(3, np.float32)
NUMBER = "expected a finite float32 number"
FAULTS = {  # what row 1 returns instead at its third step, and what is said of it
    "reward nan": ({"reward": float("nan")}, f"row 1's reward is nan; {NUMBER}."),
    "reward infinite": ({"reward": -np.inf}, f"row 1's reward is -inf; {NUMBER}."),
    "reward too large": ({"reward": 1e39}, f"row 1's reward is 1e+39; {NUMBER}."),
    "reward None": ({"reward": None}, f"row 1's reward is None; {NUMBER}."),
    "reward text": ({"reward": "one"}, f"row 1's reward is 'one'; {NUMBER}."),
    "reward complex": ({"reward": 1j}, f"row 1's reward is 1j; {NUMBER}."),
    "observation nan": ({"observation": np.float32([0, 0, np.nan])}, f"row 1's observation[2] is nan; {NUMBER}."),
    "observation infinite": ({"observation": np.float32([0, np.inf, 0])}, f"row 1's observation[1] is inf; {NUMBER}."),
    "terminated 2": ({"terminated": 2}, "row 1's terminated is 2; expected True or False."),
    "truncated nan": ({"truncated": float("nan")}, "row 1's truncated is nan; expected True or False."),
    "terminated None": ({"terminated": None}, "row 1's terminated is None; expected True or False."),
    "truncated text": ({"truncated": "False"}, "row 1's truncated is 'False'; expected True or False."),
}
ON_DEVICE = ("reward nan", "reward infinite", "observation nan", "observation infinite")  # TensorFlow's types rule out the rest


def step_of(row, step, fault=""):
    """What a row returns at a step, as a table of the leaves."""
    fine = {"observation": ZEROS + step, "reward": 1.0, "terminated": False, "truncated": False}
    return {**fine, **(FAULTS[fault][0] if fault and row == 1 and step == 3 else {})}


class Sick(gymnasium.Env):
    observation_space = spaces.Box(-1e6, 1e6, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, fault="", render_mode=None):
        self.fault, self.row = fault, 0

    def reset(self, *, seed=None, options=None):
        self.row, self.step_number = (seed or 0) % 2, 0
        return ZEROS.copy(), {}

    def step(self, action):
        self.step_number += 1
        outcome = step_of(self.row, self.step_number, self.fault)
        return outcome["observation"], outcome["reward"], outcome["terminated"], outcome["truncated"], {}


class SickVector(VectorEnv):
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    single_observation_space, single_action_space = Sick.observation_space, Sick.action_space

    def __init__(self, num_envs, fault="", max_episode_steps=None):
        self.num_envs, self.fault = num_envs, fault
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        self.step_number = 0
        return np.zeros((self.num_envs, 3), np.float32), {}

    def step(self, actions):
        self.step_number += 1
        return *rows_of(self.step_number, self.num_envs, self.fault).values(), {}


def rows_of(step, rows, fault=""):
    """The same of all rows, each leaf a list or an array `[B, ...]`."""
    steps = [step_of(row, step, fault) for row in range(rows)]
    leaves = {name: [one[name] for one in steps] for name in steps[0]}
    return {**leaves, "observation": np.stack(leaves["observation"])}


class SickHost(Environment):
    """The same on the host, by somebody who checks nothing."""

    num_environments = 2
    spec = SPEC

    def __init__(self, fault=""):
        self.fault = fault

    def reset(self, seed):
        self.step_number = 0
        return TimeStep(np.zeros((2, 3), np.float32), np.zeros(2, np.float32), *np.zeros((2, 2), bool), np.zeros((2, 3)))

    def step(self, action):
        self.step_number += 1
        return timestep_of(self.step_number, self.fault)


def timestep_of(step, fault=""):
    leaves = rows_of(step, 2, fault)
    return TimeStep(**leaves, final_observation=leaves["observation"])


@attrs.frozen
class SickDevice(DeviceEnvironment):
    """The same in TensorFlow."""

    fault: str = ""

    @property
    def spec(self):
        return SPEC

    def initial(self, seed, batch):
        return tf.zeros([batch], tf.int64)

    def transition(self, state, action, seed):
        reward = FAULTS[self.fault][0].get("reward", 1.0) if self.fault else 1.0
        is_sick = tf.equal(state + 1, 3) & tf.equal(tf.range(state.shape[0]), 1)
        return state + 1, tf.where(is_sick, tf.cast(reward, tf.float32), 1.0), tf.zeros_like(state, tf.bool), ()

    def observe(self, state):
        observation = tf.cast(state, tf.float32)[:, None] + tf.zeros([1, 3])
        wrong = FAULTS[self.fault][0].get("observation", ZEROS) if self.fault else ZEROS
        return tf.where(tf.equal(state, 3)[:, None] & tf.equal(tf.range(state.shape[0]), 1)[:, None], wrong, observation)


def agent_for(spec, rows=2, learning_starts=10_000, execution="graph"):
    model = build_model(MLP((4,)), spec, 2, 0)
    trainer = DQN(learning_starts=learning_starts, update_period=4)
    return Agent(
        spec, Parts({"values": [model]}, EpsilonGreedy(0.5), trainer, UniformReplay(100, 8)), rows, execution=execution
    )


def gymnasium_environment(fault, vectorization):
    gymnasium.register("test/Sick-v0", Sick, disable_env_checker=True, vector_entry_point=SickVector)
    return GymnasiumEnvironment("test/Sick-v0", 2, vectorization, arguments={"fault": fault})


def steps_of(environment):
    environment.reset(0)
    for _ in range(3):
        environment.step(np.zeros(2, np.int64))


def in_gear(environment):
    gear = HostGear(agent_for(SPEC, execution="eager"), environment, 0)
    gear.start()
    gear.run(10)


def on_device(fault, execution):
    gear = DeviceGear(agent_for(SPEC, execution=execution), SickDevice(fault), 0)
    gear.start()
    gear.run(10)


def judged(environment):
    agent = agent_for(SPEC, execution="eager")
    Evaluator(environment, agent.policy, 2, 0).run()


def in_own_loop(fault):
    agent = agent_for(SPEC, execution="eager")
    agent.step(timestep_of(1))
    agent.step(timestep_of(2))
    agent.step(timestep_of(3, fault))


WAYS = {
    "sync": lambda fault: steps_of(gymnasium_environment(fault, "sync")),
    "native": lambda fault: steps_of(gymnasium_environment(fault, "native")),
    "gear": lambda fault: in_gear(SickHost(fault)),
    "judged": lambda fault: judged(SickHost(fault)),
    "own loop": in_own_loop,
    "device, eager": lambda fault: on_device(fault, "eager"),
    "device, graph": lambda fault: on_device(fault, "graph"),
    "device, xla": lambda fault: on_device(fault, "xla"),
}


@pytest.fixture(autouse=True)
def unregistered():
    yield
    gymnasium.registry.pop("test/Sick-v0", None)


COMPILED = ("device, graph", "device, xla")
FAULTS_OF = {**dict.fromkeys(WAYS, tuple(FAULTS)), "device, eager": ON_DEVICE, **dict.fromkeys(COMPILED, ON_DEVICE[::3])}
CASES = [(way, fault) for way, faults in FAULTS_OF.items() for fault in faults]


@pytest.mark.parametrize(("way", "fault"), CASES)
@pytest.mark.slow
def test_every_way_in_says_the_same_of_the_same_fault(way, fault):
    with pytest.raises(errors.AgentlabError) as caught:
        WAYS[way](fault)
    who = "The agent's step 3 can't take its time step" if way == "own loop" else r"The environment .* failed at vector step 3"
    caught.match(f"^{who}: ")
    assert str(caught.value).endswith(": " + FAULTS[fault][1])
    assert isinstance(caught.value, errors.UsageError if way == "own loop" else errors.EnvironmentFault)


@pytest.mark.parametrize("fault", ["reward text", "terminated 2", "observation nan"])
def test_workers_say_the_same(fault):
    environment = gymnasium_environment(fault, "async")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\x1b\[31mERROR: ", UserWarning)  # Gymnasium shows the worker's traceback in red
            with pytest.raises(errors.EnvironmentFault, match="failed at vector step 3: ") as caught:
                steps_of(environment)
        assert str(caught.value).endswith(": " + FAULTS[fault][1])
    finally:
        environment.close()


ONE = {"reward": np.array([1.0]), "terminated": np.array([False])}  # arrays of one element, as some environments return


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_reward_in_an_array_of_one_element_is_that_number(monkeypatch, vectorization):
    monkeypatch.setitem(FAULTS, "arrays of one", (ONE, ""))
    environment = gymnasium_environment("arrays of one", vectorization)
    try:
        environment.reset(0)
        rewards = [environment.step(np.zeros(2, np.int64)).reward.tolist() for _ in range(4)]
    finally:
        environment.close()
    assert rewards == [[1.0, 1.0]] * 4


# ---- own loops ---------------------------------------------------------------------------------------------------------------


WRONG = {
    "reward of a column": {"reward": np.ones((2, 1))},
    "one reward for two rows": {"reward": 1.0},
    "reward too many": {"reward": np.ones(3)},
    "ragged": {"reward": [[1.0], [1.0, 2.0]]},
    "reward nan": {"reward": [1.0, np.nan]},
    "reward text": {"reward": ["1", "2"]},
    "terminated for one": {"terminated": True},
    "terminated 0.5": {"terminated": [0.5, 0.0]},
    "truncated None": {"truncated": [None, False]},
    "observation nan": {"observation": np.full((2, 4), np.nan)},
    "observation beyond float32": {"observation": np.full((2, 4), 1e39)},
    "final observation of one": {"final_observation": np.zeros(4)},
    "final observation infinite": {"final_observation": np.full((2, 4), np.inf)},
    "acted 2": {"acted": [2, 0]},
    "no time step": None,
}


def stepped(agent, generator, wrong=()):
    """Steps an agent through random time steps, with wrong ones in between; returns the actions."""
    actions = []
    for step in range(40):
        observation = generator.normal(size=(2, 4)).astype(np.float32)
        ends = generator.random((2, 2)) < 0.1
        timestep = TimeStep(observation, generator.normal(size=2), *ends, observation, acted=generator.random(2) >= 0.1)
        for change in wrong:
            with pytest.raises(errors.UsageError) as caught:
                agent.step(timestep if change is None else attrs.evolve(timestep, **change)) if change else agent.step(change)
            assert "\n" not in str(caught.value)
            if change and "observation" not in change:
                caught.match(f"^The agent's step {step + 1} can't take its time step: ")
        actions.append(agent.step(timestep).copy())
    return actions


def own_agent(execution="graph"):
    changes = {"num_environments": 2, "trainer": {"learning_starts": 20, "update_period": 2}, "model": {"hidden_units": [8]}}
    return agentlab.make_agent("dqn", 3, {**changes, "execution": execution})


def everything(agent):
    variables = {**agent.variables(), **agent.memory_variables()}
    return {name: variable.numpy() for name, variable in variables.items()}


@pytest.mark.slow
def test_a_refused_step_leaves_no_trace():
    agents = own_agent(), own_agent()
    actions = stepped(agents[0], np.random.default_rng(0)), stepped(agents[1], np.random.default_rng(0), WRONG.values())
    np.testing.assert_array_equal(*actions)
    assert agents[0].learner.updates.numpy() > 10
    for one, other in zip(everything(agents[0]).values(), everything(agents[1]).values(), strict=True):
        np.testing.assert_array_equal(one, other)


SAME = [  # of one environment: the same time step, written otherwise
    {"reward": np.float32(1)},
    {"reward": np.float64(1)},
    {"reward": np.int64(1)},
    {"reward": np.array(1.0)},
    {"reward": np.array([1.0])},
    {"reward": [1]},
    {"reward": True},
    {"terminated": np.bool_(False), "truncated": np.array(False)},
    {"terminated": 0, "truncated": 0.0},
    {"terminated": [False], "truncated": np.array([0])},
    {"observation": [1.0, 1.0, 1.0, 1.0], "final_observation": [1.0, 1.0, 1.0, 1.0]},
    {"observation": tf.ones([4]), "reward": tf.constant(1.0)},
]


def test_numbers_of_numpy_and_lists_are_taken_for_what_they_are():
    agent = agentlab.make_agent("dqn", changes={"trainer": {"learning_starts": 10**6}})
    ones = np.ones(4, np.float32)
    plain = TimeStep(ones, 1.0, False, False, ones)
    for change in [{}, *SAME]:
        agent.step(attrs.evolve(plain, **change))
    batch = [[1.0] * 4]
    agent.step(TimeStep(batch, [1.0], [False], [False], batch))
    agent.step(TimeStep(batch, 1.0, False, False, batch))
    stage = agent.host_actor()._staging
    count = len(SAME) + 2
    assert stage._count == count
    columns = {name.partition("/")[0]: stage._records[name][:count] for name in stage.dtype.names}
    assert columns["reward"].tolist() == [1.0] * count
    assert not columns["terminated"].any()
    assert (columns["final_observation"] == 1).all()


@pytest.mark.parametrize(("values", "clause"), [(np.nan, "[1] is nan"), (np.inf, "[1] is inf"), (1e39, "[1] is inf")])
def test_acting_on_what_is_no_number_is_refused(values, clause):
    agent = agentlab.make_agent("dqn")
    with pytest.raises(errors.UsageError, match="The agent can't act on its observation: row 1's observation") as caught:
        agent.act([[0.0] * 4, [0.0, values, 0.0, 0.0]])
    assert clause in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 2, 4), (1, 1, 1, 4), (4, 1), (2, 5), ()])
def test_an_observation_has_one_batch_axis_at_most(shape):
    agent = agentlab.make_agent("dqn")
    for use in (agent.act, lambda observation: agent.step(TimeStep.begin(observation))):
        with pytest.raises(errors.UsageError, match=re.escape(f"of shape {shape}; expected (4,), or a batch of such")):
            use(np.zeros(shape, np.float32))


def test_two_threads_that_step_one_agent_are_told():
    agent = agentlab.make_agent("dqn", changes={"trainer": {"learning_starts": 10**6}})
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def __array__(self, dtype=None, copy=None):
            entered.set()
            assert leave.wait(60)
            return np.zeros(4, np.float32)

    thread = threading.Thread(target=agent.step, args=(TimeStep.begin(Slow()),))
    thread.start()
    assert entered.wait(60)
    with pytest.raises(errors.UsageError, match="Two threads called 'step' of one agent at the same time"):
        agent.step(TimeStep.begin(np.zeros(4)))
    assert agent.act(np.zeros(4)) in (0, 1)
    leave.set()
    thread.join()
    assert agent.step(TimeStep.begin(np.zeros(4))) in (0, 1)
    assert agent.host_actor().turns == 2


# ---- arrays that are changed once they were handed over ----------------------------------------------------------------------


class Clips(gymnasium.Env):
    """Changes the action it is given, and what it showed before."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-10, 10, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        self.buffer = np.zeros(1, np.float32)
        return self.buffer, {}

    def step(self, action):
        self.buffer[:] = action / 10
        np.clip(action, -1, 1, out=action)
        return self.buffer, float(action[0]), False, False, {}


@pytest.fixture
def clips():
    gymnasium.register("test/Clips-v0", Clips, disable_env_checker=True)
    yield
    del gymnasium.registry["test/Clips-v0"]


@pytest.mark.usefixtures("clips")
@pytest.mark.parametrize("autoreset", ["same_step", "next_step", "disabled"])
def test_an_environment_that_changes_its_action_changes_neither_the_callers_nor_the_log(autoreset):
    environments = [GymnasiumEnvironment("test/Clips-v0", 2, autoreset=autoreset) for _ in range(3)]
    environments[0].reset(0)
    action = np.array([[8.0], [-7.0]], np.float32)
    for _ in range(3):
        timestep = environments[0].step(action)
    assert action.tolist() == [[8.0], [-7.0]]
    timestep.observation[...] = 0.25  # the caller's own by now
    state = environments[0].state()
    assert state["actions"].ravel().tolist() == [8.0] * 3 + [-7.0] * 3
    for environment in environments[1:]:  # of one state, twice
        environment.reset(1)
        np.testing.assert_allclose(environment.restore(state), [[0.8], [-0.7]], rtol=1e-6)
    assert state["actions"].ravel().tolist() == [8.0] * 3 + [-7.0] * 3


class Greedily(Environment):
    """Says whether an action was its row's sign; writes over all it handed out, and over the actions."""

    spec = EnvironmentSpec("greedily", Array((1,)), Discrete(2), target=Discrete(2))
    num_environments = 2

    def __init__(self, rude):
        self.rude, self.generator = rude, np.random.default_rng(0)
        self.arrays = {"observation": np.zeros((2, 1), np.float32), "target": np.zeros(2, np.int64)}

    def reset(self, seed):
        self.generator = np.random.default_rng(seed)
        return self.answer(np.zeros(2, np.float32), np.zeros(2, bool))

    def step(self, action):
        target = (self.arrays["observation"][:, 0] > 0).astype(np.int64)
        reward = (action == target).astype(np.float32)
        if self.rude:
            action[...] = 1 - action
        return self.answer(reward, np.ones(2, bool), target)

    def answer(self, reward, ended, target=0):
        if not self.rude:
            self.arrays = {name: array.copy() for name, array in self.arrays.items()}
        self.arrays["observation"][...] = self.generator.uniform(-1, 1, (2, 1))
        self.arrays["target"][...] = target
        observation = self.arrays["observation"]
        return TimeStep(observation, reward, ended, np.zeros(2, bool), observation.copy(), self.arrays["target"])

    def inexact(self):
        return ""

    def state(self):
        return {"observation": self.arrays["observation"]}


def learned_among(rude):
    """Returns the evaluation and the memory of an agent among polite or rude environments."""
    agent = agent_for(Greedily.spec, learning_starts=1)
    gear = HostGear(agent, Greedily(rude), 0)
    gear.start()
    gear.run(60)
    state = gear.state()["environment"]["observation"]
    before = state.copy()
    gear.run(1)
    np.testing.assert_array_equal(state, before)
    judge = agent.actor(Greedy(), 0)

    def loss(target, output):
        return tf.reduce_sum(output, axis=-1) * tf.cast(target, tf.float32)

    evaluation = Evaluator(Greedily(rude), judge, 20, 0, lambda: ClassScore(loss, [], 2)).run()
    gear.state()  # hands over what waits for the memory
    return evaluation, everything(agent)


@pytest.mark.slow
def test_environments_that_write_over_what_crossed_change_nothing_of_the_agents():
    (evaluation, variables), (other, others) = learned_among(False), learned_among(True)
    assert evaluation == other
    for name, values in variables.items():
        np.testing.assert_array_equal(values, others[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["eager", "graph"])
@pytest.mark.parametrize("task", ["dqn", "classifier-digits"])  # with a memory, and learning on the spot
def test_what_the_caller_changes_after_a_step_changes_nothing_of_the_agents(task, execution):
    def steps(careless):
        settings = {"trainer": {"learning_starts": 4, "update_period": 2}} if task == "dqn" else {"gear": "host"}
        agent = agentlab.make_agent(task, 3, {"num_environments": 2, "execution": execution, **settings})
        shape = agent.spec.observation.shape
        generator, actions, spoiled = np.random.default_rng(0), [], []
        for _ in range(12):
            observation = generator.random((2, *shape)).astype(np.float32)
            ends = generator.random((2, 2)) < 0.2
            target = () if agent.spec.target is None else generator.integers(0, 10, 2)
            timestep = TimeStep(observation, np.ones(2), *ends, observation.copy(), target, generator.random(2) < 0.2)
            action = agent.step(timestep)
            actions.append(action.copy())
            spoiled = [action, *(leaf for leaf in tf.nest.flatten(timestep) if isinstance(leaf, np.ndarray))]
            for array in spoiled if careless else []:
                array[...] = np.logical_not(array)
        return actions, everything(agent)

    (actions, variables), (others, spoiled) = steps(False), steps(True)
    np.testing.assert_array_equal(actions, others)
    for name, values in variables.items():
        np.testing.assert_array_equal(values, spoiled[name], err_msg=name)


# ---- what an adapter converts ------------------------------------------------------------------------------------------------


class Numbered(gymnasium.Env):
    """Takes a Discrete action as its own space counts, and accepts no other."""

    observation_space = spaces.Box(-5, 5, (3,), np.float32)

    def __init__(self, start=1, dtype=np.int64, num=3):
        self.action_space = spaces.Discrete(num, start=start, dtype=dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        return self.np_random.normal(size=3).astype(np.float32), 1.0, self.steps >= 5, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("start", [1, -2, 7])
def test_runs_loaded_agents_and_own_loops_answer_in_the_environments_own_numbers(tmp_path, start):
    changes = {"steps": 60, "trainer": {"learning_starts": 30}, "evaluation": {"episodes": 2}}
    environment = Numbered(start)
    run = agentlab.run("dqn", 0, changes, environment=environment, run_dir=tmp_path / "run")
    observations = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32) * 10
    numbers = range(start, start + 3)
    for agent in (run.agent, agentlab.load(run.directory)):
        batch = agent.act(observations)
        assert set(batch.tolist()) <= set(numbers)
        assert int(agent.act(observations[0])) == batch[0]
        np.testing.assert_array_equal(batch - start, agent.policy.respond(observations).action)
    world = GymnasiumEnvironment(run.task.environment.settings["id"])
    stage = play.Stage(guarded(world), seed=0, longest=100, film=None)
    play.play_episodes(run.agent, stage, 1)
    assert stage.returns == [5.0]
    agent = agentlab.make_agent("dqn", 0, {"trainer": {"learning_starts": 20}}, environment=environment)
    environment.reset(seed=0)
    timestep, taken = TimeStep.begin(ZEROS), set()
    for _ in range(60):
        action = agent.step(timestep)
        taken.add(int(action))
        observation = environment.step(action)[0]
        timestep = TimeStep(observation, 1.0, False, False, observation)
    assert taken == set(numbers)
    stored = next(values for name, values in everything(agent).items() if name.endswith("action"))
    assert stored.min() >= 0
    assert stored.max() <= 2  # models and memories count from 0


def test_choices_keep_their_own_dtype():
    agent = agentlab.make_agent("dqn", environment=Numbered(-100, np.int8, 100))
    numbers = agent.act(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32) * 100)
    assert numbers.dtype == np.int8
    assert numbers.min() >= -100
    assert numbers.max() <= -1


def test_where_choices_begin_is_kept_in_the_spec_and_a_wrong_one_refused():
    spec = EnvironmentSpec("numbered", Array((3,)), Discrete(3, start=-4))
    data = json.loads(json.dumps(spec.as_data()))
    assert EnvironmentSpec.from_data(data) == spec
    for start in (1.5, True, "1", 2**63 - 2, -(2**64), [1]):
        with pytest.raises(errors.UsageError, match="start is"):
            EnvironmentSpec.from_data({**data, "action": {**data["action"], "start": start}})
    del data["action"]["start"]  # as older runs wrote it
    assert EnvironmentSpec.from_data(data).action == Discrete(3)


@pytest.mark.parametrize("action", [[0, 2], [-1, 0], [0.5, 0.0], ["0", "1"], [0], [[0], [1]]])
@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_actions_that_are_none_of_the_environments_are_refused_and_leave_no_trace(action, vectorization):
    environment = gymnasium_environment("", vectorization)
    environment.reset(0)
    with pytest.raises(errors.UsageError, match=r"^test/Sick-v0 can't take its actions at vector step 1: "):
        environment.step(np.array(action))
    assert environment.step(np.array([0, 1])).observation[0, 0] == 1.0


@pytest.mark.usefixtures("clips")
def test_actions_that_are_no_numbers_are_refused():
    environment = GymnasiumEnvironment("test/Clips-v0", 2)
    environment.reset(0)
    with pytest.raises(errors.UsageError, match=r"row 1's action\[0\] is nan; expected a finite float32 number\.$"):
        environment.step(np.array([[0.0], [np.nan]]))


@pytest.mark.parametrize("execution", ["eager", "graph", "xla"])
@pytest.mark.slow
def test_a_sampler_that_draws_what_there_is_not_is_told_by_the_device_gear(execution):
    class OneTooFar(EpsilonGreedy):
        def sample(self, distribution, step, seed):
            return super().sample(distribution, step, seed) + tf.cast(step >= 6, tf.int64) * 2

    parts = Parts(
        {"values": [build_model(MLP((4,)), SPEC, 2, 0)]}, OneTooFar(0.0), DQN(learning_starts=10**6), UniformReplay(100, 8)
    )
    gear = DeviceGear(Agent(SPEC, parts, 2, execution=execution), SickDevice(), 0)
    gear.start()
    with pytest.raises(errors.UsageError, match=r"^sick can't take its actions at vector step 4: row 0's action is [23]; expe"):
        gear.run(10)


class Drives(gymnasium.Env):
    """Takes two numbers with ranges of their own."""

    observation_space = Sick.observation_space

    def __init__(self, high=(1.0, 0.0)):
        self.action_space = spaces.Box(np.float32([-1, -10]), np.float32(high))

    def reset(self, *, seed=None, options=None):
        return ZEROS, {}

    def step(self, action):
        return ZEROS, float(action[1]), False, False, {}


def test_bounds_of_their_own_are_those_of_each_element():
    gymnasium.register("test/Drives-v0", Drives, disable_env_checker=True)
    try:
        environment = GymnasiumEnvironment("test/Drives-v0")
        assert environment.spec.action == Array((2,), "float32", (-1.0, -10.0), (1.0, 0.0))
        environment.reset(0)
        assert environment.step(np.array([[0.0, -7.5]])).reward == -7.5
        wrapped = gymnasium.wrappers.RescaleAction(gymnasium.make("test/Drives-v0"), np.float32(-1), np.float32(1))
        gymnasium.register("test/Wrapped-v0", lambda: wrapped, disable_env_checker=True)
        environment = GymnasiumEnvironment("test/Wrapped-v0")
        assert environment.spec.action == Array((2,), "float32", -1.0, 1.0)
        environment.reset(0)
        assert environment.step(np.array([[0.0, -1.0]])).reward == -10
        half = GymnasiumEnvironment("test/Drives-v0", arguments={"high": (1.0, np.inf)}).spec.action
        assert half == Array((2,), "float32", (-1.0, -10.0), (1.0, np.inf))
        assert not half.is_bounded
    finally:
        for name in ("Drives", "Wrapped"):
            gymnasium.registry.pop(f"test/{name}-v0", None)
