"""Memory keeps what is in it, wherever the system moves it."""

import subprocess
import sys

PROGRAM = """
import hashlib, os
from pixelherd.compute.memory import return_freed_memory, use_huge_pages
block, parts = bytearray(os.urandom(2**20) * 48), [os.urandom(2**12) for _ in range(4000)]
def digest():
    return hashlib.sha256(block + b"".join(parts)).hexdigest()
before = digest()
use_huge_pages()
if (fork := os.fork()) == 0:
    same = digest() == before
    block[::4096] = bytes(len(block[::4096]))
    os._exit(0 if same and digest() != before else 1)
status = os.waitpid(fork, 0)[1]
use_huge_pages()
return_freed_memory()
print(status, digest() == before)
"""


def test_memory_in_huge_pages_holds_what_it_held_and_forks_have_their_own():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0 True\n", "")
