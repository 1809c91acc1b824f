"""Fields of parts: attrs fields for settings that are numbers within limits."""

from __future__ import annotations

import math
from typing import Any

import attrs

from agentlab import schedules
from agentlab.settings import LIVE, OUTSIDE


def check_not_negative(_: Any, attribute: attrs.Attribute, value: Any) -> None:
    """Raises ValueError unless a number, or every value of a schedule, is 0 or greater and finite; a validator of attrs."""
    if any(isinstance(number, (int, float)) and not 0.0 <= number < math.inf for number in schedules.values_of(value)):
        raise ValueError(f"{attribute.name!r} must be 0 or greater and finite: {value}")


def positive(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting that must be greater than 0; a `live` one may be changed during training."""
    return attrs.field(default=default, validator=attrs.validators.gt(0), metadata={LIVE: live})


def optional_positive(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting that is None or greater than 0; for `live` see `positive`."""
    validator = attrs.validators.optional(attrs.validators.gt(0))
    return attrs.field(default=default, validator=validator, metadata={LIVE: live})


def non_negative(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting that must be 0 or greater; for `live` see `positive`."""
    return attrs.field(default=default, validator=attrs.validators.ge(0), metadata={LIVE: live})


def scheduled(default: Any) -> Any:
    """Returns an attrs field for a live setting: a number, or a schedule of numbers, 0 or greater and finite."""
    return attrs.field(default=default, validator=check_not_negative, metadata={LIVE: True})


def fraction(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting in 0 to 1, both included; for `live` see `positive`."""
    validators = [attrs.validators.ge(0), attrs.validators.le(1)]
    return attrs.field(default=default, validator=validators, metadata={LIVE: live})


def outside(default: Any) -> Any:
    """Returns an attrs field for a setting that names a server, or where to write: a file may not set it, only a user."""
    return attrs.field(default=default, metadata={OUTSIDE: True})
