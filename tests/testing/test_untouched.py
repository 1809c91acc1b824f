"""The look at global state around a block: also where the block would put a generator where it already is."""

import os
import random
import sys
import warnings

import attrs
import numpy as np
import pytest

from agentlab.registry import plugins
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


LIBRARY = """
import os
import warnings

os.environ["LIBRARY_IS_IMPORTED"] = "yes"
warnings.filterwarnings("ignore", module="library_of_a_part")
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Puts a module `library_of_a_part` where it can be imported, which changes global state as scikit-learn does."""
    (tmp_path / "library_of_a_part.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LIBRARY_IS_IMPORTED", "no")
    yield
    sys.modules.pop("library_of_a_part", None)


def test_what_a_library_changes_as_it_is_imported_is_no_change_of_the_block(library):
    with warnings.catch_warnings(), untouched("the block"):
        import library_of_a_part  # noqa: F401
    assert os.environ["LIBRARY_IS_IMPORTED"] == "yes"


def test_a_block_may_take_back_what_a_library_changes(library):
    with untouched("importing the library"), warnings.catch_warnings():
        import library_of_a_part  # noqa: F401


def change_and_import():
    os.environ["LIBRARY_IS_IMPORTED"] = "nearly"
    import library_of_a_part  # noqa: F401


def import_and_change():
    import library_of_a_part  # noqa: F401

    os.environ["LIBRARY_IS_IMPORTED"] = "long ago"


@pytest.mark.parametrize("block", [change_and_import, import_and_change])
def test_what_the_block_changes_before_or_after_it_is_one(block, library):
    with warnings.catch_warnings(), pytest.raises(Violation, match="environment variables"), untouched("the block"):
        block()


def test_a_package_that_offers_parts_is_no_library(library, monkeypatch):
    offer = attrs.evolve(plugins.every()[0], target="library_of_a_part:Part")
    monkeypatch.setattr(plugins, "every", lambda: [offer])
    with warnings.catch_warnings(), pytest.raises(Violation, match="environment variables"), untouched("the block"):
        import library_of_a_part  # noqa: F401


def test_a_package_that_offers_parts_imports_none_of_its_own_modules_as_a_library(tmp_path, monkeypatch):
    package = tmp_path / "package_of_a_part"
    package.mkdir()
    (package / "__init__.py").write_text("def act():\n    from .late import CHANGED\n    return CHANGED\n")
    (package / "late.py").write_text("import os\n\nos.environ['LIBRARY_IS_IMPORTED'] = CHANGED = 'yes'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LIBRARY_IS_IMPORTED", "no")
    offer = attrs.evolve(plugins.every()[0], target="package_of_a_part:Part")
    monkeypatch.setattr(plugins, "every", lambda: [offer])
    import package_of_a_part

    with pytest.raises(Violation, match="environment variables"), untouched("the block"):
        package_of_a_part.act()
    for name in ("package_of_a_part", "package_of_a_part.late"):
        sys.modules.pop(name)
