"""Where the project and the helpers of its tests are."""

import pathlib

HELPERS = pathlib.Path(__file__).parent
ROOT = HELPERS.parent.parent
