"""agentlab inside somebody else's program: lines of metrics, objects of one's own, threads, and nothing global touched."""

import gc
import shutil
import subprocess
import sys
import threading

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, TimeStep, errors
from agentlab.loop.acting import LARGE_BATCH
from agentlab.runs.model_building import weights_within
from agentlab.testing.probes.untouched import untouched
from guessing import Guess

SMALL = {
    "steps": 2_000,
    "trainer": {"learning_starts": 500},
    "report_period": 500,
    "execution": "graph",
    "evaluation": {"episodes": 4},
}
LEARNING = {"trainer": {"learning_starts": 100}}


class Uncopied(Guess):
    def __deepcopy__(self, memory):
        raise TypeError("no copies")


# ---- lines of metrics ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns a run and the lines that it reported."""
    lines = []
    where = tmp_path_factory.mktemp("whole") / "run"
    return agentlab.run("dqn-cartpole", 1, SMALL, run_dir=where, on_report=lines.append), lines


@pytest.mark.slow
def test_training_is_an_iterator_of_lines(tmp_path):
    training = agentlab.train("dqn-cartpole", 1, SMALL, run_dir=tmp_path / "run")
    steps = [(line["step"], line["steps_per_second"] > 0, training.agent.act(np.zeros(4)) in (0, 1)) for line in training]
    assert [step for step, *_ in steps] == [512, 1_024, 1_504, 2_016]
    assert all(all(rest) for _, *rest in steps)
    assert training.run.result["evaluation"]["episodes"] == 4
    assert (tmp_path / "run" / "result.json").exists()
    assert training.run.agent is training.agent


@pytest.mark.slow
def test_training_comes_to_what_run_comes_to(tmp_path, whole):
    run, lines = whole
    training = agentlab.train("dqn-cartpole", 1, SMALL, run_dir=tmp_path / "training")
    assert [line.get("loss") for line in training] == [line.get("loss") for line in lines]
    for one, other in zip(run.model.get_weights(), training.run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["with", "close", "dropped"])
def test_training_that_is_left_early_can_be_resumed(tmp_path, whole, way):
    training = agentlab.train("dqn-cartpole", 1, SMALL, run_dir=tmp_path / "run")
    if way == "with":
        with training:
            next(training)
    else:
        next(training)
        if way == "close":
            training.close()
    with pytest.raises(errors.UsageError, match="The training isn't finished"):
        _ = training.run
    del training
    gc.collect()
    resumed = agentlab.resume(tmp_path / "run")
    for one, other in zip(whole[0].model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_that_was_not_begun_lets_its_directory_go(tmp_path):
    agentlab.train("dqn-cartpole", 1, SMALL, run_dir=tmp_path / "run").close()
    with pytest.raises(AgentlabError, match="is not a run"):
        agentlab.resume(tmp_path / "run")


@pytest.mark.slow
def test_what_a_callback_raises_ends_the_run_with_a_checkpoint(tmp_path):
    def enough(line):
        raise ZeroDivisionError(line["step"])

    with pytest.raises(ZeroDivisionError, match="512"):
        agentlab.run("dqn-cartpole", 1, SMALL, run_dir=tmp_path / "run", on_report=enough)
    assert agentlab.load(tmp_path / "run").act(np.zeros(4)) in (0, 1)
    assert max(int(path.name.removeprefix("step-")) for path in (tmp_path / "run" / "checkpoints").glob("step-*")) > 512


# ---- objects of one's own --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("own_environment", [Guess(), Guess, lambda: gymnasium.wrappers.TimeLimit(Guess(), 10)])
def test_an_environment_of_ones_own_is_learned_in_and_judged_in(tmp_path, own_environment):
    changes = {"steps": 2_000, "num_environments": 2, **LEARNING, "evaluation": {"episodes": 20}}
    run = agentlab.run("dqn", 0, changes, environment=own_environment, run_dir=tmp_path / "run")
    assert run.result["evaluation"]["return_mean"] > 9.0  # of 10; 5 by chance
    assert not hasattr(own_environment, "number")
    assert agentlab.load(tmp_path / "run").act(np.float32([0.5])) == 1


@pytest.mark.slow
def test_an_agent_for_a_loop_of_ones_own_around_such_an_environment():
    environment = Guess()
    agent = agentlab.make_agent("dqn", 0, LEARNING, environment=environment)
    observation, _ = environment.reset(seed=0)
    timestep = TimeStep.begin(observation)
    rewards = []
    for _ in range(1_000):
        final_observation, reward, terminated, truncated, _ = environment.step(agent.step(timestep))
        observation = environment.reset()[0] if terminated or truncated else final_observation
        timestep = TimeStep(observation, reward, terminated, truncated, final_observation)
        rewards.append(reward)
    right = [int(agent.act(np.float32([value]))) == int(value > 0) for value in np.linspace(-1, 1, 20)]
    assert np.mean(right) > 0.8


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (3, "The environment is 3; expected the name of one, a gymnasium.Env, or a class or function that makes one"),
        ("cartpol", "No environment named 'cartpol'"),
        (Uncopied(), "can't be copied: TypeError: no copies. Pass a function that makes one"),
        (lambda: 3, "lambda cannot be made: "),
    ],
)
def test_an_environment_that_is_none_is_told(environment, reason):
    with pytest.raises(errors.UsageError) as failure:
        agentlab.make_agent("dqn", environment=environment)
    assert reason in str(failure.value)


@pytest.mark.slow
def test_a_keras_model_of_ones_own(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    before = [weight.copy() for weight in model.get_weights()]
    run = agentlab.run("dqn-cartpole", 0, SMALL, model=model, run_dir=tmp_path / "run")
    assert run.model is model
    assert any(np.any(one != other) for one, other in zip(before, model.get_weights(), strict=True))


# ---- wrong kinds, shapes and dtypes ----------------------------------------------------------------------------------------


class Failing(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.matmul(inputs, keras.ops.zeros((7, 2)))


def test_why_a_model_refuses_an_observation_is_told():
    with pytest.raises(errors.UsageError, match=r"refused an observation .*: Dimensions must be equal.*\. Expected a model"):
        agentlab.make_agent("dqn", model=keras.Sequential([Failing()]))


def test_the_advice_for_an_output_that_was_not_flattened_leads_on():
    layers = keras.layers
    with pytest.raises(errors.UsageError, match=r"shape \(1, 4, 2\).*shape \(1, 2\).* Put a Flatten layer before its last"):
        agentlab.make_agent("dqn", model=keras.Sequential([layers.Reshape((4, 1)), layers.Dense(2)]))
    flattened = keras.Sequential([layers.Reshape((4, 1)), layers.Flatten(), layers.Dense(2)])
    assert agentlab.make_agent("dqn", model=flattened).act(np.zeros(4)) in (0, 1)


@pytest.fixture(scope="module")
def agent():
    return agentlab.make_agent("dqn-cartpole", changes={"num_environments": 2})


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda agent: agentlab.run(3), "The task is 3; expected the name of one, such as 'dqn-cartpole'"),
        (lambda agent: agentlab.train(None), "The task is None; expected"),
        (lambda agent: agentlab.make_agent("dqn-cartpole", changes=["steps"]), "The changes are ['steps']; expected nested"),
        (lambda agent: agentlab.make_agent("dqn-cartpole", model=3), "The model is 3; expected a keras.Model, or"),
        (lambda agent: agentlab.make_agent("dqn-cartpole", model=keras.Model), "expected a keras.Model, or"),
        (lambda agent: agent.act(np.zeros(3)), "got an observation of shape (3,); expected (4,), or a batch of such"),
        (lambda agent: agent.act(np.zeros((5, 3))), "got an observation of shape (5, 3); expected (4,)"),
        (lambda agent: agent.act(["a", "b", "c", "d"]), "got an observation of dtype <U1; expected float32"),
        (lambda agent: agent.act([[0.0], [0.0, 1.0]]), "got an observation that is not an array: ValueError"),
        (lambda agent: agent.act(None), "expected (4,), or a batch of such"),
        (lambda agent: agent.step(np.zeros(4)), "step got ndarray"),
        (lambda agent: agent.step(TimeStep.begin(np.zeros(4))), "The agent got 1 observations; expected 2"),
        (lambda agent: agent.step(TimeStep.begin(np.zeros((2, 3)))), "got an observation of shape (2, 3); expected (4,)"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(agent, call, reason):
    with pytest.raises(errors.UsageError) as failure:
        call(agent)
    assert reason in str(failure.value)
    assert "\n" not in str(failure.value)


# ---- more than one, and nothing else -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_agents_in_one_process_do_not_disturb_each_other():
    def drawn(generator):
        observation = generator.normal(size=4).astype(np.float32)
        return TimeStep(observation, 1.0, False, False, observation)

    def steps(agent, count):
        generator = np.random.default_rng(0)
        return [int(agent.step(drawn(generator))) for _ in range(count)]

    alone = steps(agentlab.make_agent("dqn", 3, LEARNING), 200)
    one, other = (agentlab.make_agent("dqn", seed, LEARNING) for seed in (3, 4))
    generators = [np.random.default_rng(0) for _ in range(2)]
    taken = []
    for _ in range(200):
        for agent, generator in zip((one, other), generators, strict=True):
            action = agent.step(drawn(generator))
            if agent is one:
                taken.append(int(action))
    assert taken == alone


@pytest.mark.slow
def test_agents_learn_in_threads_as_they_do_alone(tmp_path):
    runs = {}

    def run(seed, where):
        runs[where] = agentlab.run(
            "dqn-cartpole", seed, {**SMALL, "steps": 1_000}, run_dir=tmp_path / where
        ).model.get_weights()

    for seed in range(2):
        run(seed, f"alone-{seed}")
    threads = [threading.Thread(target=run, args=(seed, f"thread-{seed}")) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(2):
        for one, other in zip(runs[f"alone-{seed}"], runs[f"thread-{seed}"], strict=True):
            np.testing.assert_array_equal(one, other)


def test_limits_of_weights_are_a_threads_own_and_wait_for_no_other():
    original, failures, in_between = keras.layers.Layer.add_weight, [], threading.Barrier(2, timeout=20)

    def load():
        with weights_within(6):
            in_between.wait()  # both have begun
            in_between.wait()  # the other has ended
            keras.layers.Dense(2).build((None, 2))
            with pytest.raises(errors.UsageError, match="checkpoint of 6 weights") as failure:
                keras.layers.Dense(1).build((None, 1))
            failures.append(failure.value)

    thread = threading.Thread(target=load)
    with weights_within(12):
        thread.start()
        in_between.wait()
        keras.layers.Dense(4).build((None, 2))
    keras.layers.Dense(40).build((None, 20))
    in_between.wait()
    thread.join()
    assert len(failures) == 1
    assert keras.layers.Layer.add_weight is original


def test_limits_of_threads_that_load_at_a_time_leave_keras_as_it_was():
    original, entered, leave = keras.layers.Layer.add_weight, threading.Event(), threading.Event()

    def load():
        with weights_within(10):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=load)
    with weights_within(5):
        thread.start()
        entered.wait(0.2)
    assert entered.wait(60)
    leave.set()
    thread.join()
    assert keras.layers.Layer.add_weight is original


def test_an_agent_acts_from_several_threads(agent):
    observations = np.random.default_rng(0).normal(size=(4, 50, 4)).astype(np.float32)
    expected = [[int(agent.act(row)) for row in rows] for rows in observations]
    actions = {}

    def act(index):
        actions[index] = [int(agent.act(row)) for row in observations[index]]

    threads = [threading.Thread(target=act, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [actions[index] for index in range(4)] == expected


@pytest.mark.slow
def test_an_agent_outlives_its_run_directory(tmp_path):
    run = agentlab.run("dqn-cartpole", 0, SMALL, run_dir=tmp_path / "run")
    loaded = agentlab.load(run.directory)
    shutil.rmtree(run.directory)
    observations = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_array_equal(run.agent.act(observations), loaded.act(observations))
    nothing = np.zeros(32, bool)
    batch = np.zeros((32, 4), np.float32)
    assert loaded.step(TimeStep(batch, np.zeros(32), nothing, nothing, batch)).shape == (32,)
    with pytest.raises(errors.UsageError, match="is not a run: it holds no config"):
        agentlab.load(run.directory)


@pytest.mark.slow
def test_embedding_touches_nothing_global(tmp_path):
    with untouched("making an agent, acting and stepping"):
        agent = agentlab.make_agent("dqn", 0, LEARNING)
        agent.act(np.zeros(4))
        agent.step(TimeStep.begin(np.zeros(4)))
    with untouched("training"):
        list(agentlab.train("dqn-cartpole", 0, SMALL, run_dir=tmp_path / "run"))


def test_importing_agentlab_imports_nothing_heavy():
    script = (
        "import sys, agentlab; dir(agentlab); from agentlab import Task, part, AgentlabError; "
        "assert not {'tensorflow', 'keras', 'gymnasium', 'numpy'} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_every_name_of_the_api_is_there():
    assert set(agentlab.__all__) == set(dir(agentlab))
    for name in agentlab.__all__:
        assert getattr(agentlab, name).__doc__


# ---- episodes that the caller begins -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_beginning_an_episode_by_hand_is_no_transition():
    observations = np.arange(1.0, 5.0, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    agent = agentlab.make_agent("dqn", changes={"trainer": {"learning_starts": 3, "update_period": 3}})
    agent.step(TimeStep.begin(observations[0]))
    agent.step(TimeStep(observations[1], 1.0, True, False, observations[1]))
    agent.step(TimeStep.begin(observations[2]))
    agent.step(TimeStep(observations[3], 1.0, False, False, observations[3]))
    stored = {name: variable.numpy() for name, variable in agent.learner.memory_variables().items()}
    observed = next(values for name, values in stored.items() if name.endswith("/observation") or name == "observation")
    assert observed[:3, 0].tolist() == [1.0, 3.0, 0.0]


@pytest.mark.slow
def test_rewards_are_not_summed_across_an_episode_that_was_given_up():
    trainer = {"learning_starts": 12, "update_period": 12, "num_steps": 3, "discount": 1.0}
    agent = agentlab.make_agent("dqn", changes={"trainer": trainer})
    for beginning, reward in ((0.0, 1.0), (100.0, 10.0)):
        agent.step(TimeStep.begin(np.full(4, beginning, np.float32)))
        for step in range(1, 5):
            observation = np.full(4, beginning + step, np.float32)
            agent.step(TimeStep(observation, reward, False, False, observation))
    for _ in range(3):  # until an update is due, by which what was experienced reaches the memory
        agent.step(TimeStep.begin(np.zeros(4, np.float32)))
    batch = agent.learner.memory._ring.read(tf.range(8, dtype=tf.int64))
    assert batch.reward.numpy().tolist() == [3.0, 3.0, 2.0, 1.0, 30.0, 30.0, 20.0, 10.0]
    assert batch.next_observation.numpy()[:, 0].tolist() == [3.0, 4.0, 4.0, 4.0, 103.0, 104.0, 104.0, 104.0]
    assert batch.discount.numpy().tolist() == [1.0] * 8


@pytest.mark.slow
def test_an_agent_that_saw_only_beginnings_has_nothing_to_learn_from():
    agent = agentlab.make_agent("dqn", changes={"trainer": {"learning_starts": 3, "update_period": 3}})
    for _ in range(10):
        agent.step(TimeStep.begin(np.zeros(4, np.float32)))
    assert agent.learner.updates.numpy() == 0


@pytest.mark.parametrize("execution", ["eager", "graph", "xla"])
@pytest.mark.quick("eager", "graph")
def test_rows_that_were_being_reset_are_not_learned_from_on_the_spot(execution):
    def learned(target_of_first, others=3):
        rows, changes = 1 + others, {"num_environments": 1 + others, "execution": execution, "gear": "host"}
        agent = agentlab.make_agent("classifier-digits", changes=changes)
        observation = np.random.default_rng(0).random((rows, *agent.spec.observation.shape), np.float32)
        target = np.array([target_of_first, 1, 2, 3][:rows])
        nothing, first = np.zeros(rows, np.bool_), np.arange(rows) == 0
        agent.step(TimeStep(observation, np.zeros(rows), nothing, nothing, observation, target))
        agent.step(TimeStep(observation, np.zeros(rows), nothing, nothing, observation, target, ~first))
        return agent.learner.updates.numpy(), [weight.numpy() for weight in agent.model.weights]

    count, weights = learned(0)
    assert count == 1
    for weight, other in zip(weights, learned(9)[1], strict=True):
        np.testing.assert_array_equal(weight, other)
    assert learned(0, others=0)[0] == 0


def test_rows_act_the_same_in_a_large_batch_and_in_small_ones():
    agent = agentlab.make_agent("dqn-cartpole", seed=0)
    rows = np.random.default_rng(0).uniform(-0.2, 0.2, (LARGE_BATCH + 40, 4)).astype(np.float32)
    parts = [agent.act(rows[begin : begin + 32]) for begin in range(0, len(rows), 32)]
    np.testing.assert_array_equal(agent.act(rows), np.concatenate(parts))
