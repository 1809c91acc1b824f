"""The look at global state around a block: also where the block would put a generator where it already is."""

import random

import numpy as np
import pytest

from agentlab.testing.checks.violation import Violation
from agentlab.testing.probes.untouched import untouched


@pytest.mark.parametrize(
    ("seed", "name"),
    [(lambda: random.seed(0), "Python's random state"), (lambda: np.random.seed(0), "NumPy's random state")],
    ids=["python", "numpy"],
)
def test_a_seed_is_seen_where_the_generator_has_it_already(seed, name):
    seed()
    with pytest.raises(Violation, match=name), untouched("the block"):
        seed()


def test_generators_go_on_from_where_they_were():
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.random()
    random.seed(3)
    np.random.seed(3)
    with untouched("the block"):
        pass
    assert (random.random(), np.random.random()) == expected
