"""The commands that start workers: in a shell, and by SLURM, PBS, LSF and Kubernetes."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.cluster.job import Job
from pixelwise.parallel import cores
from pixelwise.text import __version__, command, pluralise

WORKERS = 16  # in the commands, unless there are fewer units
THREADS = 4  # of a worker


@dataclass(frozen=True, kw_only=True)
class LaunchCommands:
    """A job that is made and not started, and the commands that start its workers.

    Attributes
    ----------
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
    workers : int, optional
        By default 16, or one per unit. In the shell there are no more than this machine has cores for.
    """
    count = workers or max(1, min(WORKERS, job.units))
    here = min(count, max(1, cores() // THREADS))
    worker = command("worker", job.out)
    limited = f"env OMP_NUM_THREADS={THREADS} {worker}"  # not every cluster binds a task to its cores
    return LaunchCommands(
        job=job,
        commands={
            "Shell": f"for i in $(seq 0 {here - 1}); do OMP_NUM_THREADS={min(THREADS, cores())} "
            f"{worker} --index $i --of {here} & done; wait",
            "SLURM": _slurm(limited, count),
            "PBS": _pbs(limited, count),
            "LSF": f'bsub -J "pixelwise[1-{count}]" -n {THREADS} -R "span[hosts=1]" {shlex.quote(limited)}',
            "Kubernetes": f"kubectl apply -f - <<'END'\n{kubernetes_job(job, count)}END",
        },
    )


def kubernetes_job(job: Job, count: int) -> str:
    """Return the manifest of an Indexed Job (batch/v1) whose pods are workers.

    The volume claims and the image are the names of the user's cluster. Workers write as the user who made the job. A
    pod that is evicted is replaced and costs no retry; workers that fail by themselves are retried per index.
    """
    folders = _shared_folders(job)
    claims = ["data", *(f"data-{number}" for number in range(2, len(folders) + 1))]
    mounts = [f"{{name: {name}, mountPath: {_quoted(folder)}}}" for name, folder in zip(claims, folders, strict=True)]
    volumes = [f"{{name: {name}, persistentVolumeClaim: {{claimName: {name}}}}}" for name in claims]
    numbers = f"{{runAsUser: {os.getuid()}, runAsGroup: {os.getgid()}}}" if os.name == "posix" else "{}"
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
      securityContext: {numbers}
      containers:
        - name: worker
          image: pixelwise:{__version__}
          command: ["pixelwise", "worker", {_quoted(str(job.out))}]
          env:
            - {{name: PIXELWISE_WORKERS, value: "{count}"}}
            - {{name: OMP_NUM_THREADS, value: "{THREADS}"}}
            - {{name: PIXELWISE_CACHE, value: /tmp/pixelwise}}
          resources:
            requests: {{cpu: "{THREADS}", memory: 4Gi}}
            limits: {{memory: 4Gi}}
          volumeMounts: [{", ".join(mounts)}]
      volumes: [{", ".join(volumes)}]
"""


def _slurm(worker: str, count: int) -> str:
    return (
        f"sbatch --job-name=pixelwise --array=0-{count - 1} --cpus-per-task={THREADS} --mem=4G --time=04:00:00 "
        f"--requeue --signal=B:TERM@60 --wrap={shlex.quote(f'exec {worker}')}"
    )


def _pbs(worker: str, count: int) -> str:
    script = shlex.quote(f"exec {worker}")
    array = f" -J 0-{count - 1}" if count > 1 else ""  # PBS refuses an array of one
    resources = f"-l select=1:ncpus={THREADS}:mem=4gb"
    # -V: with the PATH of this shell, which SLURM and LSF pass on by themselves
    return f"qsub -N pixelwise{array} {resources} -V -v PIXELWISE_WORKERS={count} -- /bin/sh -c {script}"


def _shared_folders(job: Job) -> list[str]:
    """Return the folders that workers need, at most one below each folder of the root, so that each may be a volume.

    In them are the output folder, the model, the data or images, and the folder where the job was made.
    """
    settings = job.settings
    here = Path(settings.get("folder", job.out.parent))
    given = [here / path for path in (settings.get("data", here), *settings.get("inputs", []))]
    places = [job.out.parent, here, *(path.parent if path.is_file() else path for path in given)]
    places += [Path(settings["model"]).parent] if "model" in settings else []
    tops = dict.fromkeys(place.parts[:2] for place in places)
    return [os.path.commonpath([place for place in places if place.parts[:2] == top]) for top in tops]


def _quoted(text: str) -> str:
    """Return text as a YAML string in double quotes, which is JSON."""
    return json.dumps(text)
