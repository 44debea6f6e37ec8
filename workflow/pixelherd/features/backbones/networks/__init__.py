"""Frozen networks, a kind a module; each is imported when one of its kind is loaded."""
