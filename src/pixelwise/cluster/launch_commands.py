"""The commands that start workers: in a shell, and by SLURM, PBS, LSF and Kubernetes."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.cluster.job import Job
from pixelwise.text import __version__, command, pluralise

WORKERS = 16  # in the commands, unless there are fewer units


@dataclass(frozen=True, kw_only=True)
class LaunchCommands:
    """A job that is made and not started, and the commands that start its workers.

    Attributes
    ----------
    job : Job
    commands : dict of str to str
        By the name of the batch system.
    """

    job: Job
    commands: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {"out": str(self.job.out), "units": self.job.units, "commands": self.commands}

    def to_text(self) -> str:
        """Return the commands under headings."""
        head = (
            f"The job is ready: {pluralise(self.job.units, 'unit')} in {self.job.out}. Start any number of workers, on "
        )
        head += f"any machines that see this folder. Progress: {command('jobs', self.job.out)}"
        return "\n\n".join([head, *(f"# {name}\n{text}" for name, text in self.commands.items())])


def launch_commands(job: Job, workers: int | None = None) -> LaunchCommands:
    """Return the commands that start the workers of a job.

    Parameters
    ----------
    job : Job
    workers : int, optional
        By default 16, or one per unit.
    """
    count = workers or max(1, min(WORKERS, job.units))
    worker = command("worker", job.out)
    return LaunchCommands(
        job=job,
        commands={
            "Shell": f"for i in $(seq 0 {count - 1}); do {worker} --index $i --of {count} & done; wait",
            "SLURM": _slurm(worker, count),
            "PBS": _pbs(worker, count),
            "LSF": f'bsub -J "pixelwise[1-{count}]" -n 4 -R "span[hosts=1]" {shlex.quote(worker)}',
            "Kubernetes": f"kubectl apply -f - <<'END'\n{kubernetes_job(job, count)}END",
        },
    )


def kubernetes_job(job: Job, count: int) -> str:
    """Return the manifest of an Indexed Job (batch/v1) whose pods are workers.

    The volume claim and the image are the names of the user's cluster. A pod that is evicted is replaced and costs no
    retry; workers that fail by themselves are retried per index.
    """
    folder = _shared_folder(job)
    return f"""apiVersion: batch/v1
kind: Job
metadata:
  name: pixelwise-{job.identity[:8]}
spec:
  completionMode: Indexed
  completions: {count}
  parallelism: {count}
  backoffLimitPerIndex: 5
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions: [{{type: DisruptionTarget}}]
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 30
      containers:
        - name: worker
          image: pixelwise:{__version__}
          command: ["pixelwise", "worker", {_quoted(str(job.out))}]
          env:
            - {{name: PIXELWISE_WORKERS, value: "{count}"}}
            - {{name: OMP_NUM_THREADS, value: "4"}}
          resources:
            requests: {{cpu: "4", memory: 4Gi}}
            limits: {{memory: 4Gi}}
          volumeMounts:
            - {{name: data, mountPath: {_quoted(folder)}}}
      volumes:
        - name: data
          persistentVolumeClaim: {{claimName: data}}
"""


def _slurm(worker: str, count: int) -> str:
    return (
        f"sbatch --job-name=pixelwise --array=0-{count - 1} --cpus-per-task=4 --mem=4G --time=04:00:00 "
        f"--requeue --signal=B:TERM@60 --wrap={shlex.quote(f'exec {worker}')}"
    )


def _pbs(worker: str, count: int) -> str:
    script = shlex.quote(f"exec {worker}")
    resources = f"-l select=1:ncpus=4:mem=4gb -v PIXELWISE_WORKERS={count}"
    return f"qsub -N pixelwise -J 0-{count - 1} {resources} -- /bin/sh -c {script}"


def _shared_folder(job: Job) -> str:
    """Return the folder that workers need: the one above the output folder, the model, and where the job was made."""
    places = [job.out, *(Path(job.settings[name]) for name in ("model", "data", "folder") if name in job.settings)]
    common = Path(*_common([place.parent.parts for place in places]))
    return str(common)


def _common(paths: list[tuple[str, ...]]) -> list[str]:
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared


def _quoted(text: str) -> str:
    """Return text as a YAML string in double quotes, which is JSON."""
    return json.dumps(text)
