"""Readers of raw datasets, a module each: ``classes(settings)`` and ``samples(settings)``."""
