"""What is published about benchmarks."""
