"""Tests of the Trainer contract."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.distribution import Distribution
from agentlab.loop.statistics import check_names
from agentlab.memory import Layout, Request, UpdateSchedule
from agentlab.spec import EnvironmentSpec
from agentlab.system.json_lines import is_number
from agentlab.task import Task
from agentlab.tensors import execution
from agentlab.testing.checks import around
from agentlab.testing.checks.learning import evaluated_twice, mean_return
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.updates import ROWS, Collected, History, Learning, Way, collected, history_of, reversed_rows
from agentlab.testing.checks.violation import expect, expect_in_range, expect_same, shape_and_dtype
from agentlab.testing.probes.draws import kinds_of_draws
from agentlab.testing.probes.untouched import untouched
from agentlab.trainer import Loss, Network, Trainer, Update
from agentlab.types import Batch, Tensor

UPDATES = 3
OWN_UPDATES = "it makes updates of its own, without `loss`"


class TrainerTests(Suite):
    """Tests of trainers; derive a class, and name yours as `part`.

    Attributes:
        among: a task with the environment, models, sampler and memory that go with it. Of memories that have not what it asks
            for, another one takes the place.
        learns: whether it is asked to learn to name the symbol that `identity` shows, if it accepts that environment.
    """

    kind: ClassVar[str] = "trainer"
    among: ClassVar[Task] = around.IDENTITY
    learns: ClassVar[bool] = True

    def test_networks(self) -> None:
        """It names its networks, outputs and their distribution; or raises a UsageError that says what it needs."""
        for name in (self.among.environment.name, "identity"):
            spec = self._spec() if name == self.among.environment.name else around.spec_of(around.IDENTITY.environment)
            try:
                networks, distribution = self.make().networks(spec), self.make().distribution(spec)
            except errors.UsageError as error:
                expect(name != self.among.environment.name, f"to accept {name!r}, among whose parts it is tested", str(error))
                continue
            expect(isinstance(distribution, Distribution), f"an agentlab Distribution for {name!r}", repr(distribution)[:80])
            _expect_networks(networks, distribution, name)

    def test_request(self) -> None:
        """`request` says what it learns from, and `update_schedule` when."""
        spec = self._spec()
        request = self.make().request(spec)
        expect(isinstance(request, Request), "an agentlab.memory.Request", repr(request)[:80])
        factor = getattr(self.make(), "discount", request.discount)
        expect(request.discount == factor, f"Request(discount={factor}), by which rewards are normalised", request.discount)
        schedule = self.make().update_schedule(spec, ROWS)
        is_schedule = isinstance(schedule, UpdateSchedule) and schedule.period >= 1 and schedule.count >= 1
        expect(is_schedule, "an UpdateSchedule of at least one update a period", repr(schedule)[:80])

    def test_loss(self) -> None:
        """`loss` returns a Loss: one finite float32 a row, or their mean, and metrics by name: scalars or one a row."""
        if not self._has_loss():
            self.not_applicable(OWN_UPDATES)
            return

        # Eagerly, so that Python sees the numbers.
        learning = self._untrained()
        loss = learning.loss(around.seed())
        expect(isinstance(loss, Loss), "an agentlab.trainer.Loss", type(loss).__name__)
        shapes = (tuple(learning.batch.reward.shape[:1]), tuple(learning.batch.reward.shape))
        fits = tf.is_tensor(loss.value) and loss.value.dtype == tf.float32 and tuple(loss.value.shape) in (*shapes, ())
        expect(fits, f"losses in float32 of shape {shapes[0]}, or a scalar", shape_and_dtype(loss.value))
        expect(np.isfinite(loss.value.numpy()).all(), "finite losses", loss.value.numpy())
        for name, value in loss.metrics.items():
            known = np.shape(value) in ((), *shapes)
            expect(known, f"a metric {name!r} that is a scalar or of shape {shapes[0]}", shape_and_dtype(value))

    def test_metrics(self) -> None:
        """An update returns the metrics that `metric_names` announces, all of them finite."""
        try:
            names = self._untrained().trainer.metric_names  # once built: they may depend on the environment
            check_names(names)
        except errors.UsageError as error:
            expect(False, "metric_names that are no other column of metrics.jsonl", str(error))

        # With a pass of its own, and with the one that acted.
        for way in self._ways():
            update = self._history(way).updates[0]
            expect(isinstance(update, Update), f"an agentlab.trainer.Update from `{way}`", type(update).__name__)
            metrics = update.metrics
            expect(isinstance(metrics, dict), f"metrics by name from `{way}`", type(metrics).__name__)
            expect(set(metrics) == set(names), f"the metrics {sorted(names)}", f"{sorted(metrics)} from `{way}`")
            for name, value in metrics.items():
                expect(bool(np.isfinite(value).all()), f"a finite {name!r} from `{way}`", value)

    def test_priority(self) -> None:
        """If its request says that it tells how far off it was, an update does so for each row: finite, 0 or greater."""
        if not self.make().request(self._spec()).priority:
            self.not_applicable("its request doesn't say that it tells how far off it was")
            return
        for way in self._ways():
            priority = self._history(way).updates[0].priority

            # [N], one for each row.
            rows = self._experience().batch.reward.shape[:1]
            fits = tf.is_tensor(priority) and priority.dtype == tf.float32 and priority.shape == rows
            expect(fits, f"priorities in float32 of shape {tuple(rows)} from `{way}`", shape_and_dtype(priority))
            fits = np.isfinite(priority).all() and np.min(priority) >= 0.0
            expect(fits, f"finite priorities of at least 0 from `{way}`", np.asarray(priority)[:4])

    def test_update(self) -> None:
        """Updates change the trainable weights of every network, the acting one's first of all, and leave them finite."""
        for way in self._ways():
            before, first, halfway = self._history(way).trainable
            acting = next(iter(before))

            # The acting network has to change at once; others may wait, as for a delayed update.
            expect(_changed(before[acting], first[acting]), "weights that change", f"none by `{way}`")
            for name, after in halfway.items():
                expect(_changed(before[name], after), "weights that change", f"none of network {name!r} by `{way}`")
                finite = all(np.isfinite(weight).all() for weight in after)
                expect(finite, "finite weights after an update", f"nan or infinity by `{way}`")

    def test_added_losses(self) -> None:
        """The losses that layers add, as by activity regularization, count: those of the pass over `observation`."""
        price = float(self._watched().model.price)
        expected = "the losses that layers add in the pass over `observation` to be part of what is minimised"
        expect(price < 0.0, expected, "those of another pass" if price > 0.0 else "a loss without them")

    def test_statistics(self) -> None:
        """Only the pass over `observation` is one in training: statistics, as of batch normalization, are of it alone."""
        strays = int(self._watched().model.strays)
        expect(not strays, "no pass in training over anything but `observation`", f"{strays} in {UPDATES} updates")

    def test_terminated(self) -> None:
        """Where the task terminated (discount 0), nothing beyond counts: next_observation changes no loss."""
        batch = self._experience().batch

        # [N] every step terminates, and what it led to is another row's.
        ends = tf.ones_like(batch.reward, tf.bool)
        batch = attrs.evolve(batch, discount=tf.zeros_like(batch.discount), ended=ends)
        other = attrs.evolve(batch, next_observation=reversed_rows(batch.next_observation))
        if self._has_loss():
            one, changed = (self._untrained().loss(around.seed(), variant).value.numpy() for variant in (batch, other))
            expect_same(one, changed, "the same losses whatever lies beyond a terminated episode")
            return
        one, changed = (self._weights_after(variant) for variant in (batch, other))
        expect_same(one, changed, "the same weights whatever lies beyond a terminated episode")

    def test_score(self) -> None:
        """The score of evaluations names its figures beforehand: numbers, and all that are; each evaluation has a new one."""
        if self._learning().trainer.score() is None:
            self.not_applicable("its evaluations have no score")
            return
        names, first, second = evaluated_twice(self.among, self.make())
        for name in names:
            expect(is_number(first.get(name)), f"a number as figure {name!r} of an evaluation", repr(first.get(name))[:80])
        late = sorted(name for name, value in first.items() if is_number(value) and name not in names)
        expect(not late, "a score that names all its figures before anything is added", f"{', '.join(late)} later")
        others = sorted(name for name in first if first[name] != second[name])
        expect(not others, "the same entries from a second evaluation of the same steps", f"other {', '.join(others)}")

    def test_seed(self) -> None:
        """Updates are a function of the batch and the seed: the same ones, the same weights."""
        learning = self._learning()

        # Draws from anything but the seed would be others at every start.
        kinds = kinds_of_draws(lambda seed: self._drawn(learning, seed), tf.TensorSpec([2], tf.int64))
        expect(not kinds.stateful, "draws by agentlab.seeds, from the seed given", f"the operations {sorted(kinds.stateful)}")
        for way in self._ways():
            other = self._learning(way)
            for step in range(UPDATES):
                other.update(step)
            weights, _ = self._history(way).halfway
            expect_same(weights, other.weights(), f"the same weights after the same updates by `{way}`")

    def test_variables(self) -> None:
        """`variables()` names all that training changes besides the models: restored with it, training continues alike."""
        for way in self._ways():
            history, other = self._history(way), self._learning(way)
            names = history.trainer.variables().keys()
            expect(names == other.trainer.variables().keys(), "the same names in every process", "others")
            expect_in_range(history.trainer.ranges(), history.trainer.variables())

            # Whatever is not among the variables stays behind here.
            other.assign(history.halfway)
            for step in range(UPDATES, 2 * UPDATES):
                other.update(step)
            expect_same(history.weights, other.weights(), "the same weights from a trainer restored by its variables()")

    def test_graph(self) -> None:
        """Run as a graph, updates are what they are eagerly."""
        self._expect_compiled("graph")

    def test_xla(self) -> None:
        """Compiled by XLA, updates are what they are eagerly."""
        self._expect_compiled("xla")

    def test_updating_touches_nothing(self) -> None:
        """An update leaves random states and other global state alone."""
        for way in self._ways():
            learning = self._learning(way)
            with untouched("an update"):
                learning.update()

    def test_learns(self) -> None:
        """Where it accepts `identity`, it learns there to name the symbol shown: 16 right of 16."""
        task = self._identity() if self.learns else None
        if task is None:
            self.not_applicable("it does not accept `identity`" if self.learns else "its tests say `learns = False`")
            return
        mean = mean_return(task, self.make())
        expect(mean >= 15.0, f"a mean return of at least 15 of 16 after {task.steps:,} steps", f"{mean:.2f}")

    def _spec(self) -> EnvironmentSpec:
        return around.seen_in(self.among)

    def _has_loss(self) -> bool:
        return getattr(self.part, "loss", None) is not Trainer.loss

    def _ways(self) -> tuple[Way, ...]:
        """Returns the ways in which an update is made here: with a pass of its own, and from the one that acted."""
        return ("update", "record") if self._experience().records_acting else ("update",)

    def _experience(self) -> Collected:
        """Returns what the trainer learns from, collected once for all tests of the class."""
        return self._once("_collected", lambda: collected(self.make(), self.among))

    def _learning(self, way: Way = "update", is_watched: bool = False) -> Learning:
        return Learning(self.make(), self.among, self._experience(), way, is_watched)

    def _untrained(self) -> Learning:
        """Returns one that makes no updates, built once for all tests of the class."""
        return self._once("_never_updated", self._learning)

    def _watched(self) -> Learning:
        """Returns one whose network is watched, after its updates, made once for all tests of the class."""

        def updated() -> Learning:
            learning = self._learning(is_watched=True)
            for step in range(UPDATES):
                learning.update(step)
            return learning

        return self._once("_after_watching", updated)

    def _history(self, way: Way) -> History:
        """Returns eager updates, made once for all tests of the class."""
        return self._once(f"_history_of_{way}", lambda: history_of(self._learning(way), UPDATES))

    def _weights_after(self, batch: Batch) -> list[np.ndarray]:
        """Returns the weights after an update from a batch."""
        learning = self._learning()
        learning.traced(around.seed(), batch)
        return learning.weights()

    def _drawn(self, learning: Learning, seed: Tensor) -> Any:
        """Returns what draws may affect: the loss of a batch, or the metrics of an update without one; traceable."""
        return learning.loss(seed).value if self._has_loss() else learning.traced(seed, learning.batch).metrics

    def _identity(self) -> Task | None:
        """Returns the task of learning `identity` with this trainer, or None if it refuses that environment."""
        spec, trainer, rows = around.spec_of(around.IDENTITY.environment), self.make(), self.among.num_environments
        try:
            trainer.networks(spec)
        except errors.UsageError:
            return None
        schedule = trainer.update_schedule(spec, rows)
        layout = Layout(spec, rows, trainer.request(spec), schedule)
        return attrs.evolve(
            around.IDENTITY,
            sampler=self.among.sampler,
            memory=around.memory_part_for(layout, self.among.memory),
            num_environments=rows,
            steps=max(around.IDENTITY.steps, 1_000 * rows, 100 * schedule.period),
        )

    def _expect_compiled(self, mode: str) -> None:
        for way in self._ways():
            other = self._learning(way)
            # Of tensors whose values Python can't see, as in the loop.
            update = execution.compiled(lambda seed, batch, other=other: other.traced(seed, batch).metrics, mode)
            for step, eager in enumerate(self._history(way).updates[:UPDATES]):
                got = update(around.seed(step), other.batch)
                for name, value in eager.metrics.items():
                    close = np.allclose(value, got[name], rtol=1e-2, atol=1e-3)
                    expected = f"the same {name} of update {step + 1} by `{way}` eagerly and by {mode}"
                    expect(close, expected, f"{value} and {got[name]}")


def _changed(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    return any(np.any(one != other) for one, other in zip(before, after, strict=True))


def _expect_networks(networks: dict[str, Network], distribution: Distribution, name: str) -> None:
    """Raises a Violation unless there are networks with outputs, the first of as many as the distribution reads."""
    are_networks = (
        isinstance(networks, dict) and networks and all(isinstance(network, Network) for network in networks.values())
    )
    expect(are_networks, f"networks by name for {name!r}, one at least", repr(networks)[:80])

    # Every network has outputs, and the acting one those that its distribution reads.
    for network in networks.values():
        count = network.num_outputs
        expect(isinstance(count, int) and count >= 1, f"a number of outputs for {name!r}", repr(count))
    first = next(iter(networks.values())).num_outputs
    needed = distribution.num_outputs
    expect(first >= needed, f"at least the {needed} outputs for {name!r} that the distribution reads", first)
