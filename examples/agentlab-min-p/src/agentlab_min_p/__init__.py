"""Min-p sampling, and a task that explores by it."""
