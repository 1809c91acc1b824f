"""Deep Q-networks: trainer and tasks."""
