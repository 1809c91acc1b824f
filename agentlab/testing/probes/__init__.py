"""What a part does beside what it returns: to its process, to random generators, to a model in training."""
