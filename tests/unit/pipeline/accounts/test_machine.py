"""The machine that seals tell of."""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version

import pytest

from pixelherd.pipeline.accounts import machine

TOLD = "import json, torch; from pixelherd.pipeline.accounts.machine import machine; print(json.dumps(machine()))"


def told(program: str = TOLD, **environment: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 is of x86")
def test_the_instruction_set_is_the_one_that_torch_uses():
    assert told(ATEN_CPU_CAPABILITY="default")["instructions"] in ("DEFAULT", "NO AVX")
    found = told()
    assert found["torch"] == version("torch") and found["numpy"] == version("numpy")
    assert found["instructions"] in ("NO AVX", "DEFAULT", "AVX2", "AVX512")


def test_without_torch_there_is_no_instruction_set_and_torch_is_not_loaded():
    program = TOLD.replace("json, torch", "json, sys") + "; assert 'torch' not in sys.modules"
    assert told(program)["instructions"] is None


def test_what_mkl_was_told_is_told():
    assert told(MKL_ENABLE_INSTRUCTIONS="AVX2")["mkl"] == "AVX2"


def test_no_name_of_the_machine_is_told():
    assert platform.node() not in json.dumps(machine.machine()) or not platform.node()


def test_a_processor_without_a_name_is_told_by_its_kind(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "absent")
    assert machine.processor() == (platform.processor() or platform.machine())
