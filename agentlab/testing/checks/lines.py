"""Base of all classes of tests: a line of a contract may not apply to a part."""

from __future__ import annotations


class Lines:
    """The lines of a contract, a `test_` method each; its docstring says what is asked for.

    Attributes:
        inapplicable: why the line that was just run does not apply to the part; empty if it does.
    """

    inapplicable = ""

    def not_applicable(self, reason: str) -> None:
        """Takes note that the line under way does not apply, for the report: to pytest, the part passes."""
        self.inapplicable = reason
