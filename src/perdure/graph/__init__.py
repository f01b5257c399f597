"""The LangGraph adapter: graphs by name, their workflow-side mirrors, and what makes LangGraph deterministic there.

Side: both. Pure LangGraph: nothing here talks to a Temporal server.
"""
