"""Diffusion models: what their configurations tell, and checkpoints of guided-diffusion, which become such models."""
