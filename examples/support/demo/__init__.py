"""The crash demo: `python -m support.demo` runs the hosted agent, kills its worker between two steps, starts a new one."""
