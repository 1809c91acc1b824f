"""Language models: the trainer and its tasks."""
