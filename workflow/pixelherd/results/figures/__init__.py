"""Figures of finished runs, and what they are drawn from."""
