"""The HTTP server that LangGraph's own clients use, on Temporal. Stateless: any number of them serve the same threads."""
