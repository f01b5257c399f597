"""An agent that reads a ledger page by page, and a model provider that has a bad day."""
