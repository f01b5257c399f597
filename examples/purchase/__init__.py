"""A purchase agent and the three services that it changes: inventory, payments and shipping."""
