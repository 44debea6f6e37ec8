"""Where backbones come from: what a study names, a kind a module, and how it becomes a network that is there."""
