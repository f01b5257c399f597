"""Workers: the Temporal plugin that makes graphs runnable, and the worker process."""
