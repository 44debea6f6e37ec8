"""Snakemake that asks SLURM every second how its jobs are: `python impatient.py ARGUMENT…`.

Its executor waits ten seconds longer after each look that finds no job at its end. A shared cluster wants that; tests
on a cluster of their own would wait most of their time.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

if __name__ == "__main__":
    RemoteExecutor.next_seconds_between_status_checks = property(lambda executor: 1, lambda executor, seconds: None)
    sys.exit(main())
