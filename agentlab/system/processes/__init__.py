"""Time, threads and processes: what passes, what runs beside the main thread, and what may have stopped."""
