"""The store: its schema, and reading and writing it."""
