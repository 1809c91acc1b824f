"""REINFORCE with baseline, advantage actor-critic, and the memory that sums up returns."""
