"""Learning from what somebody else did: trainers and tasks."""
