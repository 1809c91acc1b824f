"""Tests that parts of every kind have in common."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any, ClassVar

from agentlab import settings
from agentlab.registry.kinds import KINDS
from agentlab.system import source_text
from agentlab.testing.checks.lines import Lines
from agentlab.testing.checks.violation import expect
from agentlab.testing.probes import probe
from agentlab.testing.probes.untouched import untouched

IMPORT_SECONDS = 10.0  # beyond TensorFlow's and agentlab's own


class Suite(Lines):
    """Tests that parts of every kind have in common.

    Attributes:
        kind: "environment", "model", ...
        part: the class under test.
        settings: constructor arguments to test it with; needed for those without a default.
    """

    kind: ClassVar[str]
    part: ClassVar[Any]
    settings: ClassVar[dict[str, Any]] = {}

    def make(self, **extra: object) -> Any:
        """Returns a new part with the settings to test it with, and those `given`."""
        return settings.build(self.part, {**self.settings, **extra}, f"{self.kind} {self.part.__name__!r}")

    def test_class(self) -> None:
        """It is a class derived from its contract, with every method that the contract asks for."""
        names = " or ".join(KINDS[self.kind].contracts)
        is_derived = inspect.isclass(self.part) and issubclass(self.part, KINDS[self.kind].contract_classes())
        expect(is_derived, f"a class derived from {names}", repr(self.part))
        missing = sorted(getattr(self.part, "__abstractmethods__", ()))
        expect(not missing, "every abstract method to be written", f"none of {', '.join(missing)}")

    def test_described(self) -> None:
        """Its docstring says what it is, and every setting under "Attributes:" or "Args:"."""
        expect(vars(self.part).get("__doc__"), "a docstring", "none")
        texts = "\n".join(inspect.getdoc(base) or "" for base in self.part.__mro__)
        silent = [setting.name for setting in settings.describe(self.part) if f"{setting.name}: " not in texts]
        expect(not silent, "every setting in the docstring", f"nothing of {', '.join(silent)}")

    def test_settings(self) -> None:
        """Every setting has a type, and a default unless there can be none."""
        annotated = inspect.signature(self.part).parameters
        for setting in settings.describe(self.part):
            typed = annotated[setting.name].annotation is not inspect.Parameter.empty
            expect(typed, f"a type of the setting {setting.name!r}", "no annotation")
            is_set = setting.name in {**self.settings, **self.runner_arguments()}
            has_value = is_set or setting.default is not inspect.Parameter.empty
            expect(has_value, f"a default of the setting {setting.name!r}, or a value to test with", "none")

    def test_settings_survive_json(self) -> None:
        """Settings written to a run's config.json and read again build the same part."""
        # What a run writes and reads again, objects included.
        defaults = {setting.name: setting.default for setting in settings.describe(self.part)}
        values = {**defaults, **self.settings, **self.runner_arguments()}
        data = json.loads(json.dumps(settings.as_data(values)))
        built = [settings.build(self.part, arguments, self.kind) for arguments in (values, data)]
        for name, value in values.items():
            attributes = [settings.as_data(getattr(part, name, value)) for part in built]
            expected = settings.as_data(value)
            expect(
                attributes == [expected, expected],
                f"{name} = {expected!r} kept as an attribute",
                " and ".join(map(repr, attributes)),
            )
        for part in built:
            self.release(part)

    def test_import(self) -> None:
        """Importing its module prints nothing, takes no more than ten seconds and leaves global state alone."""
        if self.part.__module__ == "__main__":
            self.not_applicable("it is defined by the program itself")
            return
        process = self.imported()
        expect(not process.error, "an import without error", process.error)
        expect(not process.printed, "an import that prints nothing", repr(process.printed))
        expect(process.seconds < IMPORT_SECONDS, f"an import of at most {IMPORT_SECONDS:g} s", f"{process.seconds:.1f} s")
        expect(not process.changed, "an import that leaves global state alone", f"changed: {', '.join(process.changed)}")

    def test_building_touches_nothing(self) -> None:
        """Building it leaves random states, logging, signal handlers and other global state alone."""
        with untouched("building the part"):
            part = self.make(**self.runner_arguments())
        self.release(part)

    def runner_arguments(self) -> dict[str, Any]:
        """Returns the constructor arguments that are the runner's business rather than settings."""
        return {}

    def release(self, part: Any) -> None:
        """Closes a part that was built and isn't needed any longer; most have nothing to close."""

    def imported(self) -> probe.Import:
        """Returns the effects of importing the part's module on a process that has imported agentlab's contracts."""
        name = module_of(self.part)
        return probe.observed(name)


def module_of(part: object) -> str:
    """Returns the full name of the module that defines a class, or the module's file if it isn't on the path."""
    name = str(part.__module__)
    return name if source_text.locate(name) else str(getattr(sys.modules.get(name), "__file__", name))
