"""What computations share: devices, matrix products, memory and random generators."""
