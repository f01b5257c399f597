"""Activity side of Perdure: everything with side effects runs here, never inside a workflow."""
