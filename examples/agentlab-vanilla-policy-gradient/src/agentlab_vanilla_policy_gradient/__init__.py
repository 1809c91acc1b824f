"""REINFORCE with baseline, and advantage actor-critic."""
