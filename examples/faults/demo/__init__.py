"""The demo: `python -m faults.demo` runs a 20-step agent while its model provider fails every third call."""
