"""The settings that say which text is read, and which part of it."""

from __future__ import annotations

from typing import Any, Literal

import attrs


@attrs.define(slots=False, eq=False)
class SplitText:
    """A text and its split; the environments that read one describe each setting."""

    path: str = "corpus:python-docs"
    text: str | None = None
    units: Literal["characters", "bytes"] = "characters"
    lowercase: bool = False
    split: Literal["train", "validation", "test", "all"] = "train"
    validation: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    test: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])

    def of_text(self) -> dict[str, Any]:
        """Returns these settings by name, for another reader of the same text."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(SplitText)}
