"""The step/reward loop: one turn, and everything that runs it."""
