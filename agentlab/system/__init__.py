"""The operating system: files, arrays on disk, locks, facts of the machine, free memory, threads."""
