"""The files of a run: its configuration, its directory, and where and how it was made."""
