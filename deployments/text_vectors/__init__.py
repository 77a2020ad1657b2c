"""What texts and queries mean as vectors: who makes them, and the worker of their jobs."""
