"""The table of kinds of parts: a new kind of part is a row here."""

from __future__ import annotations

import importlib
import sys

import attrs


@attrs.frozen
class Kind:
    """A kind of part that packages can offer.

    Attributes:
        name: as in a task's settings.
        plural: as in `agentlab list` and the name of its entry-point group.
        contracts: the classes of which a part derives from one, as "module.Class"; a task is an instance, not a class.
        suites: the conformance tests that go with each contract, as "module.Class".
    """

    name: str
    plural: str
    contracts: tuple[str, ...]
    suites: tuple[str, ...]

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"agentlab.{self.plural}"

    def contract_classes(self) -> tuple[type, ...]:
        """Returns the contracts, imported."""
        return tuple(load(name) for name in self.contracts)

    def suite_of(self, part: object) -> type:
        """Returns the conformance tests, imported, of the contract from which `part` derives; the last ones if from none."""
        derived = [isinstance(part, type) and issubclass(part, contract) for contract in self.contract_classes()]
        place = derived.index(True) if True in derived else -1
        return load(self.suites[place])


def load(name: str) -> type:
    """Imports and returns a class by its "module.Class"."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("task", "tasks", ("agentlab.task.Task",), ("agentlab.testing.task.TaskTests",)),
        Kind(
            "environment",
            "environments",
            ("agentlab.environment.Environment", "agentlab.environment.DeviceEnvironment"),
            (
                "agentlab.testing.host_environment.HostEnvironmentTests",
                "agentlab.testing.device_environment.DeviceEnvironmentTests",
            ),
        ),
        Kind("model", "models", ("agentlab.model.ModelBuilder",), ("agentlab.testing.model.ModelTests",)),
        Kind("trainer", "trainers", ("agentlab.trainer.Trainer",), ("agentlab.testing.trainer.TrainerTests",)),
        Kind("sampler", "samplers", ("agentlab.sampler.Sampler",), ("agentlab.testing.sampler.SamplerTests",)),
        Kind("memory", "memories", ("agentlab.memory.Memory",), ("agentlab.testing.memory.MemoryTests",)),
        Kind("tracker", "trackers", ("agentlab.tracker.Tracker",), ("agentlab.testing.tracker.TrackerTests",)),
    )
}


def kind_of_contract(contract: type) -> str | None:
    """Returns the kind of which a class is a contract; None if of none.

    Contracts are looked up among what is imported already: to import them would import TensorFlow.
    """
    return next((kind.name for kind in KINDS.values() if any(_imported(name) is contract for name in kind.contracts)), None)


def _imported(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)
