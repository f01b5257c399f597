"""A support agent in two forms over the same tools: `graph.py` (hosted) and `workflows.py` (library)."""
