"""Converts numbers of other libraries, such as NumPy's, to Python's own, which JSON can hold and annotations name."""

from __future__ import annotations

import decimal
import math
import numbers
from typing import Any

from agentlab import errors

LIST_SIZE = 64  # numbers in an array that stands for a list; a larger one is data, and stays the object it is


def plain(value: object) -> Any:
    """Converts a number, truth value or text of another library to Python's own; returns anything else as it is.

    Taken are NumPy's scalars, arrays and tensors of no dimension, `fractions.Fraction` and `decimal.Decimal`.

    >>> from fractions import Fraction
    >>> plain(Fraction(1, 4)), plain("text"), plain(None)
    (0.25, 'text', None)
    """
    if value is None or type(value) in (bool, int, float, str) or isinstance(value, type):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, (numbers.Real, decimal.Decimal)):
        return float(value)
    return _item(value)


def plain_list(value: object) -> Any:
    """Returns an array of at most `LIST_SIZE` numbers as nested lists, and anything else as it is."""
    shape, as_list = getattr(value, "shape", ()), getattr(value, "tolist", None)
    is_small_array = isinstance(shape, tuple) and len(shape) > 0 and math.prod(shape) <= LIST_SIZE
    return as_list() if is_small_array and callable(as_list) else value


def whole(value: object, what: str, least: int | None = None) -> int:
    """Returns an argument that has to be a whole number as an int.

    Args:
        value: of any library.
        what: names the argument in messages, such as "The seed".
        least: the smallest one allowed.

    Raises:
        UsageError: it is another kind of thing, or too small.
    """
    number = plain(value)
    if type(number) is float and number.is_integer():
        number = int(number)
    if type(number) is not int or (least is not None and number < least):
        expected = "a whole number" if least is None else f"a whole number of at least {least}"
        raise errors.UsageError(f"{what} is {repr(number)[:60]}; expected {expected}.")
    return number


def _item(value: object) -> Any:
    """Returns the value of a zero-dimensional array or tensor, and anything else as it is."""
    read = getattr(value, "item", None) or getattr(value, "numpy", None)
    if not callable(read) or not hasattr(value, "dtype") or getattr(value, "shape", None) != ():
        return value
    held = read()
    return held if type(held) is type(value) else plain(held)
