"""What executors make of jobs, by their own code, with clients that write down what would be submitted."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from conftest import REPOSITORY

pytestmark = pytest.mark.slow

DRIVER = REPOSITORY / "tests" / "workflow" / "executors" / "captured.py"
ASKS, DOES_NOT = "extract", "herd"  # rules that gain by a GPU, and that do not where maps are kept
MORE = {
    "kubernetes": [],
    "aws-batch": ["--aws-batch-region", "eu-west-1", "--aws-batch-job-queue", "q", "--aws-batch-job-role", "r"],
    "googlebatch": ["--googlebatch-project", "p", "--googlebatch-region", "europe-west1"],
    "htcondor": ["--htcondor-jobdir", "condor"],
    "lsf": [],
}


def submitted(executor, settings, folder, *arguments):
    """What an executor submits for the jobs of the tiny study, by rule."""
    if importlib.util.find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}") is None:
        pytest.skip(f"Snakemake's executor is missing: pip install -e '.[{executor}]'")
    storage = []
    if executor not in ("htcondor", "lsf"):
        if importlib.util.find_spec("snakemake_storage_plugin_fs") is None:
            pytest.skip("snakemake-storage-plugin-fs is missing: pip install -e '.[storage]'")
        (folder / "remote").mkdir()
        storage = ["--default-storage-provider", "fs", "--default-storage-prefix", str(folder / "remote")]
    study = settings | {"datasets": {"street": {"kind": "demo", "train": 6, "test": 4, "size": [32, 32]}}}
    study["features"] = {"ddpm": {**settings["features"]["ddpm"], "backbone": str(REPOSITORY / "backbones" / "demo")}}
    (folder / "study.yaml").write_text(json.dumps(study))
    command = [sys.executable, str(DRIVER), str(folder / "submitted.json"), executor, *arguments, *MORE[executor]]
    command += ["--workflow-profile", str(REPOSITORY / "profiles" / executor), *storage, "--snakefile"]
    command += [str(REPOSITORY / "Snakefile"), "--configfile", "study.yaml"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow"), "PYTHONWARNINGS": "ignore"}
    environment |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (folder / "submitted.json").is_file(), done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads((folder / "submitted.json").read_text())


def test_kubernetes_gets_a_gpu_of_a_maker_where_one_is_asked_for_and_none_elsewhere(settings, tmp_path):
    found = submitted("kubernetes", settings, tmp_path)
    assert found[ASKS]["nvidia.com/gpu"] == "1" and found[ASKS]["tolerates"] == ["nvidia.com/gpu"]
    assert found[ASKS]["memory"] == f"{8000 + 10 * 4}M"
    assert not [key for key in found[DOES_NOT] if "gpu" in key] and not found[DOES_NOT]["tolerates"]


def test_kubernetes_is_told_which_machines_a_rule_may_take(settings, tmp_path):
    found = submitted("kubernetes", settings, tmp_path, "--set-resources", "extract:machine_type=p5.48xlarge")
    assert found[ASKS]["nodes"] == {"node.kubernetes.io/instance-type": "p5.48xlarge"}
    assert not found[DOES_NOT]["nodes"]


def test_aws_gets_pairs_of_processors_and_memory_that_it_has(settings, tmp_path):
    found = submitted("aws-batch", settings, tmp_path)
    assert found[ASKS] == {"VCPU": "4", "MEMORY": "14336", "GPU": "1"}
    assert {name: asked for name, asked in found.items() if asked.get("MEMORY") != "14336"} == {}
    assert "GPU" not in found[DOES_NOT]


def test_google_gets_an_accelerator_and_memory(settings, tmp_path):
    found = submitted("googlebatch", settings, tmp_path)
    assert found[ASKS]["gpus"] == {"nvidia-tesla-t4": 1} and found[DOES_NOT]["gpus"] == {}
    assert found[ASKS]["memory"] == 8000 + 10 * 4
    assert found[ASKS]["machine"] == "n1-standard-4", "which takes such a GPU"


def test_htcondor_gets_request_gpus_and_memory(settings, tmp_path):
    found = submitted("htcondor", settings, tmp_path)
    assert found[ASKS] == {"request_gpus": "1", "request_memory": f"{8000 + 10 * 4}MB"}
    assert found[DOES_NOT] == {"request_memory": f"{8000 + 10 * 4}MB"}


def test_lsf_gets_gpus_by_what_is_added_to_bsub(settings, tmp_path):
    found = submitted("lsf", settings, tmp_path)
    assert "-gpu num=1" in found[ASKS]["bsub"] and "-gpu" not in found[DOES_NOT]["bsub"]
    assert f"rusage[mem={8000 + 10 * 4}" in found[ASKS]["bsub"]
