"""Adam against torch's class."""

import subprocess
import sys

import torch

from pixelherd.heads.training import Adam


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((7, 300), (7,), (3, 7))]


def test_the_same_bits_as_torchs_adam():
    ours, theirs = parameters(), parameters()
    adam = Adam(ours, weight_decay=1e-2)
    reference = torch.optim.Adam(theirs, weight_decay=1e-2, fused=True)
    generator = torch.Generator().manual_seed(1)
    for step in range(6):
        rate = 0.1 / (step + 1)
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        if step == 3:  # as a checkpoint takes it up
            state = adam.state_dict()
            adam = Adam(ours, weight_decay=1e-2)
            adam.load_state_dict(state)
        adam.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        assert all(map(torch.equal, ours, theirs))
        assert all(each.grad is None for each in ours)


def test_neither_training_nor_predicting_imports_torchs_compiler(tmp_path):
    """Or sympy, which comes with it: together as long as a head's training."""
    code = """
import sys, numpy, torch
from pixelherd.heads import dense, network, sources, training
from pixelherd.heads.settings import MlpSettings
source = sources.VectorSource(None, numpy.eye(4, dtype=numpy.float16), [0, 0, 1, 1], [0, 1, 0, 1])
model = network.MlpHead(4, 2, generator=torch.Generator())
training.train(source, model, MlpSettings(kind="mlp", epochs=2), order_generator=torch.Generator())
network.save(model, sys.argv[1], {})
network.log_probabilities(network.load(sys.argv[1]), numpy.eye(4))
dense.predict({1: torch.ones(1, 4, 2, 2)}, [model], (4, 4))
sys.exit(bool({"torch._dynamo", "sympy"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "head.safetensors")]
    assert subprocess.run(command, check=False).returncode == 0
