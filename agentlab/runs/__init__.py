"""A run and its files: begin, resume, load, checkpoints."""
