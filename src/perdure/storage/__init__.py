"""What is kept outside Temporal: large payloads (either side) and the agents' long-term memory (worker).

Owns choosing by setting, opening, and saying what is wrong; the interfaces are Temporal's `ExternalStorage` and LangGraph's
`BaseStore`. Each module is imported by itself: a client has no use for the store's packages.
"""
