"""Names of metrics: one that another column has would replace it without a word, so it is refused before training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, errors
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.evaluation import Evaluator
from agentlab.loop.statistics import COLUMNS, EVALUATION, Means
from agentlab.memory import Latest
from agentlab.runs import composition
from agentlab.sampler import Greedy
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import TrainerTests
from agentlab.testing.checks import report
from agentlab.trainer import Loss, Score, Trainer

SPEC = EnvironmentSpec("example", Array((3,)), Discrete(2))
WRONG = [*COLUMNS, f"{EVALUATION}return_mean", "loss", "", " ", "two\nlines", 3]
FINE = ["q_mean", "policy/loss", "a.b", "\u00fcbung", "Step"]


def trainer(name):
    class Own(Trainer):
        """Learns the reward of the first action, with a metric more.

        Attributes:
            optimizer: as of Trainer.
        """

        metric_names = (*Trainer.metric_names, name)

        def loss(self, output, batch, seed):
            return Loss(tf.square(batch.reward - output[:, 0]), {name: tf.constant(7.0)})

    return Own


def agent(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    return Agent(SPEC, Parts({"policy": [model]}, Greedy(), trainer(name)(), Latest()))


@pytest.mark.parametrize("name", WRONG, ids=repr)
def test_a_metric_named_like_a_column_is_refused_before_training(name):
    with pytest.raises(errors.UsageError, match="A metric is named"):
        agent(name)


@pytest.mark.parametrize("name", FINE, ids=ascii)
def test_any_other_name_is_fine(name):
    assert agent(name).learner.means.collect() == {}


def test_a_check_says_so():
    line = report.run_line(type("Tests", (TrainerTests,), {"part": trainer("seconds")}), "test_metrics")
    assert line.state == "failed"
    assert "expected metric_names that are no other column of metrics.jsonl; got A metric is named 'seconds'" in line.problem


@pytest.mark.slow
def test_the_columns_are_those_of_a_line(tmp_path):
    """So that a column that is added one day is guarded too."""
    changes = {"steps": 2_000, "report_period": 1_000, "execution": "graph", "evaluation": {"episodes": 1, "period": 1_000}}
    lines = list(agentlab.train("dqn-cartpole", changes=changes, run_dir=tmp_path / "run"))
    own = {name for line in lines for name in line if not name.startswith(EVALUATION)}
    assert own == {
        *COLUMNS,
        "loss",
        "gradient_norm",
        "q_mean",
        "error",
        "learning_rate",
        "epsilon",
    }  # a metric may take the place of the last two
    assert Means(["loss"]).collect() == {}


@pytest.mark.parametrize("name", ["episodes", "return_mean", "loss", "confusion_matrix"])
def test_a_keras_metric_named_like_an_entry_of_evaluations_is_refused(name):
    with pytest.raises(AgentlabError, match=f"A metric is named '{name}', as another entry of evaluations is"):
        agentlab.make_agent("classifier-digits", changes={"trainer": {"metrics": [keras.metrics.Mean(name=name)]}})


def test_two_keras_metrics_of_one_name_are_refused():
    with pytest.raises(AgentlabError, match="A metric is named 'accuracy', as another entry"):
        agentlab.make_agent("classifier-digits", changes={"trainer": {"metrics": ["accuracy", "acc"]}})


class Counting(Score):
    """A score with an entry that every evaluation has."""

    def add(self, output, batch):
        pass

    def figures(self):
        return {"episodes": lambda: np.inf}


def test_a_score_does_not_replace_an_evaluations_own_figures():
    made = agentlab.make_agent("dqn-cartpole")
    judge = composition.build_evaluator(composition.resolved("dqn", {"evaluation": {"episodes": 1}}), 0, made)
    try:
        with pytest.raises(errors.UsageError, match="The trainer's score has an entry 'episodes', as evaluations have"):
            Evaluator(judge.environment, judge._actor, 1, 0, Counting)
    finally:
        judge.close()
