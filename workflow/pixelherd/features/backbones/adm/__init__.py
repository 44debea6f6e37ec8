"""Checkpoints of guided-diffusion (ADM): their architecture, and their conversion."""
