"""Language models: the trainer of next symbols, and its tasks."""
