"""The contract of export formats, and what a format can't hold."""

from __future__ import annotations

import abc
import importlib.util
import pathlib
from collections.abc import Callable, Iterable
from typing import ClassVar, TypeAlias

import attrs
import numpy as np

from agentlab import errors
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export.met import Met

Arrays: TypeAlias = dict[str, np.ndarray]
Runner: TypeAlias = Callable[[Arrays], Arrays]  # from inputs to outputs, by name


class UnsupportedError(Exception):
    """A format lacks something of a policy; the message is a clause."""


@attrs.frozen
class Signature:
    """The inputs and outputs of an exported policy: dtype and shape of each by name, such as "float32 [None, 4]".

    Attributes:
        inputs: in their order.
        outputs: in theirs.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]


class Format(abc.ABC):
    """A format of exported policies.

    Attributes:
        name: of the format.
        packages: modules that it needs.
        extra: of agentlab, which brings them; empty where none is needed.
        suffix: with which the name of its file ends; empty where any name will do.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    suffix: ClassVar[str] = ""

    def check(self, path: pathlib.Path) -> None:
        """Raises UsageError if a package is missing, or a file of this format has to have another name."""
        if missing := [package for package in self.packages if importlib.util.find_spec(package) is None]:
            raise errors.UsageError(
                f"Format {self.name!r} needs the package {missing[0]!r}, which is not installed: pip install "
                f"'agentlab[{self.extra}]'."
            )
        if not path.name.endswith(self.suffix):
            raise errors.UsageError(f"Files of format {self.name!r} end in {self.suffix!r}; {str(path)!r} doesn't. Rename it.")

    @abc.abstractmethod
    def export(self, actor: PolicyActor, met: Iterable[Met], path: pathlib.Path) -> Signature:
        """Writes the policy of an actor to a new file or directory, and compares the two.

        Args:
            actor: that hasn't acted yet.
            met: observations on which both have to do the same, step after step.
            path: of the file or directory.

        Raises:
            UnsupportedError: the format lacks something of the policy, or they don't do the same.
        """
