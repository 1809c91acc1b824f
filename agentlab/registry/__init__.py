"""What is installed: parts from entry points, from single files and from Python objects."""
