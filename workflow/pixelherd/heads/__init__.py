"""Heads on frozen features: the network, its training, dense predictions and their evaluation."""
