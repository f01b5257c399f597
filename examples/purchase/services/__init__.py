"""Inventory, payments and shipping: three small HTTP services over one SQLite file, with faults and an audit."""
