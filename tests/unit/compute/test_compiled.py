"""Loops that a process loads for its forks are those that jobs call."""

import numpy as np
import torch

from pixelherd.heads import dense
from pixelherd.heads.network import LinearHead
from pixelherd.selection.coverage import pairs
from pixelherd.selection.coverage.herding import max_herding


def signatures(*functions) -> list[tuple]:
    return [tuple(function.signatures) for function in functions]


def test_no_loop_is_compiled_for_other_types_than_those_that_were_loaded(tmp_path):
    loops = pairs._among, pairs._picks, pairs._gains, dense._count_pixels
    pairs.load_loops()
    dense.load_loops()
    loaded = signatures(*loops)
    assert all(loaded)

    vectors = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    max_herding(vectors, 40)
    places = np.arange(50, dtype=np.int32)
    found = pairs.Pairs.of(50, places, places, np.ones(50, np.float32))
    for name, array in vars(found).items():
        np.save(tmp_path / f"{name}.npy", array)
    read = pairs.Pairs(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in vars(found)))
    read.among(places, np.zeros(50, np.float32))
    head = LinearHead(7, 3).requires_grad_(False)
    torch.nn.init.normal_(head.first.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(head.first.bias)
    maps = {block: torch.ones(1, length, side, side).half() for block, length, side in ((0, 3, 2), (1, 4, 5))}
    dense.tally(maps, [head], np.zeros((9, 8), np.uint8), 3)
    assert signatures(*loops) == loaded
