"""Finished runs as one small set of tables that travels, and that anyone can question."""
