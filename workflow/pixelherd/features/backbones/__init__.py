"""Frozen networks whose activations are features."""
