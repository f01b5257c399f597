"""The routes, one module for each resource of LangGraph's SDK. Side: server."""
