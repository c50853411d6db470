"""The process that samlab runs in: its threads, who waits for it, and what that person is told."""
