"""`python -m agentlab` is the command line program."""

import sys

from agentlab.cli import main

sys.exit(main())
