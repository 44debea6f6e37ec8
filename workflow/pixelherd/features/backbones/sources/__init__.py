"""Where backbones come from: checkpoints of guided-diffusion, and models of the hub."""
