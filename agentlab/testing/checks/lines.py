"""Base of all classes of tests: a line of a contract may not apply to a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Lines:
    """The lines of a contract, a `test_` method each; its docstring says what is asked for.

    Attributes:
        inapplicable: why the line that was just run does not apply to the part; empty if it does.
    """

    inapplicable = ""

    def not_applicable(self, reason: str) -> None:
        """Takes note that the line under way does not apply, for the report: to pytest, the part passes."""
        self.inapplicable = reason

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        """Returns the result of `make`, called once for all tests of the class."""
        cls = type(self)
        if name not in vars(cls):
            setattr(cls, name, make())
        return vars(cls)[name]
