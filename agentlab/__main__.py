"""`python -m agentlab` is the command line program."""

import sys

from agentlab.program.cli import main

sys.exit(main())
