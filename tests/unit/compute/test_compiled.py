"""Loops that a process loads for its forks are those that jobs call."""

import subprocess
import sys

SCRIPT = """
import sys
import numpy as np, torch
from pixelherd.heads import dense
from pixelherd.heads.network import LinearHead
from pixelherd.selection.coverage import pairs
from pixelherd.selection.coverage.herding import max_herding

def signatures():
    return [tuple(each.signatures) for each in (pairs._among, pairs._picks, pairs._gains, dense._count_pixels)]

pairs.load_loops()
dense.load_loops()
loaded = signatures()
assert all(loaded)
max_herding(np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32), 40)
places = np.arange(50, dtype=np.int32)
found = pairs.Pairs.of(50, places, places, np.ones(50, np.float32))
for name, array in vars(found).items():
    np.save(f"{sys.argv[1]}/{name}.npy", array)
read = pairs.Pairs(*(np.load(f"{sys.argv[1]}/{name}.npy", mmap_mode="r") for name in vars(found)))
read.among(places, np.zeros(50, np.float32))
head = LinearHead(7, 3).requires_grad_(False)
torch.nn.init.ones_(head.first.weight)
torch.nn.init.zeros_(head.first.bias)
maps = {block: torch.ones(1, length, side, side).half() for block, length, side in ((0, 3, 2), (1, 4, 5))}
dense.tally(maps, [head], np.zeros((9, 8), np.uint8), 3)
assert signatures() == loaded, "a loop was compiled for other types than those that were loaded"
"""


def test_what_is_loaded_is_what_is_called(tmp_path):
    # in a process of its own: what other tests call is compiled in this one
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
