"""Snakemake whose clients of clusters and clouds write down what is submitted: ``captured.py FILE EXECUTOR ARGUMENTS``.

Every job of the study is handed to the executor at once, whatever it waits for, and none runs. What the executor makes
of it goes to the file, a JSON object by rule.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler

FILE, EXECUTOR = Path(sys.argv[1]), sys.argv[2]
CAPTURED: list[Any] = []


def kubernetes() -> list[Any]:
    def create(self: Any, namespace: str, body: Any) -> Any:
        pod = body.spec.template.spec
        tolerated = [each.key for each in pod.tolerations or []]
        CAPTURED.append({**pod.containers[0].resources.requests, "nodes": pod.node_selector, "tolerates": tolerated})
        return body

    import kubernetes

    return [
        mock.patch.object(kubernetes.config, "load_kube_config"),
        mock.patch.object(kubernetes.client.CoreV1Api, "create_namespaced_secret"),
        mock.patch.object(kubernetes.client.CoreV1Api, "delete_namespaced_secret"),
        mock.patch.object(kubernetes.client.BatchV1Api, "create_namespaced_job", create),
    ]


def aws_batch() -> list[Any]:
    from snakemake_executor_plugin_aws_batch.batch_client import BatchClient

    def register(self: Any, **asked: Any) -> dict[str, Any]:
        wanted = asked["containerProperties"]["resourceRequirements"]
        CAPTURED.append({each["type"]: each["value"] for each in wanted})
        return {"jobDefinitionName": "one", "revision": 1}

    return [
        mock.patch.object(BatchClient, "register_job_definition", register),
        mock.patch.object(BatchClient, "submit_job", lambda self, **asked: {"jobName": "one", "jobId": "1"}),
    ]


def googlebatch() -> list[Any]:
    from google.cloud import batch_v1

    class Client:
        def create_job(self, request: Any) -> Any:
            policy = request.job.allocation_policy.instances[0].policy
            task = request.job.task_groups[0].task_spec
            gpus = {each.type_: each.count for each in policy.accelerators}
            CAPTURED.append({"memory": task.compute_resource.memory_mib, "gpus": gpus, "machine": policy.machine_type})
            return SimpleNamespace(name="one")

    return [mock.patch.object(batch_v1, "BatchServiceClient", Client)]


def htcondor() -> list[Any]:
    import htcondor2 as condor
    import snakemake_executor_plugin_htcondor as plugin

    class Submit(dict):
        def issue_credentials(self) -> None: ...

    class Schedd:
        def submit(self, description: Submit) -> Any:
            CAPTURED.append({key: str(value) for key, value in description.items() if "memory" in key or "gpu" in key})
            return SimpleNamespace(cluster=lambda: 1)

    library = getattr(plugin, "htcondor", condor)
    return [mock.patch.object(library, "Submit", Submit), mock.patch.object(library, "Schedd", Schedd)]


def lsf() -> list[Any]:
    import snakemake_executor_plugin_lsf as plugin

    real = plugin.subprocess.check_output

    def submit(call: Any, **options: Any) -> Any:
        if not str(call).startswith("bsub"):
            return real(call, **options)
        CAPTURED.append({"bsub": call.partition(" -cwd ")[0]})
        return "Job <1> is submitted"

    told = {"LSF_CLUSTER": "one", "LSB_EVENTS": "events", "DEFAULT_QUEUE": "normal", "LSF_MEMFMT": "perjob"}
    return [
        mock.patch.object(plugin.subprocess, "check_output", submit),
        mock.patch.object(plugin.Executor, "get_lsf_config", staticmethod(lambda: told)),
    ]


def schedule(self: JobScheduler) -> bool:
    """Hand every job to the executor."""
    found = {}
    self._executor.report_job_submission = lambda info, **options: None
    for job in self.workflow.dag.needrun_jobs():
        if not job.is_local and not job.is_norun:
            self._executor.run_job(job)
            found[job.rule.name] = CAPTURED.pop()
    FILE.write_text(json.dumps(found))
    return True


if __name__ == "__main__":
    patches = [mock.patch.object(JobScheduler, "schedule", schedule), *globals()[EXECUTOR.replace("-", "_")]()]
    for each in patches:
        each.start()
    main(sys.argv[3:])
