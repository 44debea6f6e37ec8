"""Settings of all tests."""

import os

# One numerical thread, as the studies of the tests have; set before anything imports torch or numpy.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
