"""Built-in environments, registered as entry points like anybody else's."""
