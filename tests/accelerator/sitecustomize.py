"""Processes that find this folder in ``PYTHONPATH`` compute on the simulated accelerator, whatever device is set."""

import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec


class Simulated(MetaPathFinder):
    """Gives :mod:`pixelherd.devices` the accelerator once it is imported: most processes need no torch."""

    def find_spec(self, name, path, target=None):
        if name != "pixelherd.devices":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_replace(module):
            execute(module)
            import accelerator

            module.resolve = lambda _: accelerator.DEVICE

        spec.loader.exec_module = execute_and_replace
        return spec


sys.meta_path.insert(0, Simulated())
