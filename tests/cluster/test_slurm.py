"""A real SLURM, with two nodes on this machine: the printed command computes a job, also when a node is lost.

Skipped unless slurmctld, slurmd and sbatch are on the PATH (Debian: slurm-wlm). No other authentication than none is
used, so that no key is needed; the daemons listen while the test runs.
"""

import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from command_line import shell_environment
from pixelwise.cluster.job import open_job
from pixelwise.cluster.launch_commands import launch_commands
from pixelwise.cluster.status import describe_job
from pixelwise.io.read import write_image
from sleepers import attempts, check_complete, make_job, wait_until, write_program
from tiny import write_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldPort=16827
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
SchedulerType=sched/builtin
JobCompType=jobcomp/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17011 CPUs=8 RealMemory=16000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17012 CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(f"{name}-wlm")


PROGRAMS = {name: find(name) for name in ("slurmctld", "slurmd", "slurmstepd", "sbatch", "scancel", "sinfo", "squeue")}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(PROGRAMS.values()) or os.getuid() != 0, reason="needs the daemons of SLURM, and root"),
]


class Cluster:
    """The daemons of a cluster of two nodes."""

    def __init__(self, folder: Path) -> None:
        (folder / "state").mkdir(parents=True)
        configuration = folder / "slurm.conf"
        text = CONFIGURATION.format(host=platform.node().partition(".")[0], folder=folder)
        if plugins := os.environ.get("SLURM_PLUGIN_DIR"):
            text += f"PluginDir={plugins}\n"
        configuration.write_text(text, encoding="utf-8")
        self.environment = {**os.environ, "SLURM_CONF": str(configuration)}
        self.daemons = {"slurmctld": self._start("slurmctld", "-D")}
        for node in ("n1", "n2"):
            self.daemons[node] = self._start("slurmd", "-D", "-N", node, "-d", str(PROGRAMS["slurmstepd"]))
        wait_until(lambda: self.run("sinfo", "-h", "-o", "%t").split() == ["idle"])

    def _start(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        command = [str(PROGRAMS[name]), *words]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=self.environment, stdout=quiet, stderr=quiet, start_new_session=True)

    def run(self, name: str, *words: str) -> str:
        command = [str(PROGRAMS[name]), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout

    def lose(self, node: str) -> int:
        """Kill the daemon of a node and all that runs on it; return the number of processes."""
        killed = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                variables = (process / "environ").read_bytes().split(b"\0")
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            conf = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
            ours = f"SLURMD_NODENAME={node}".encode() in variables and conf in variables
            if ours or (b"slurmstepd" in command and conf in variables):
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
        self.daemons[node].kill()
        return killed

    def stop(self) -> None:
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[Cluster, None, None]:
    started = Cluster(tmp_path / "slurm")
    yield started
    started.stop()


def submit(cluster: Cluster, tmp_path: Path, command: str) -> None:
    program = tmp_path / "bin" if (tmp_path / "bin").exists() else write_program(tmp_path)
    environment = {**cluster.environment, "PATH": f"{program}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", command], env=environment, cwd=tmp_path, check=True)


def test_an_array_computes_a_job_and_a_lost_node_costs_its_units(cluster: Cluster, tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.3}] * 60)
    submit(cluster, tmp_path, launch_commands(job, 4).commands["SLURM"])
    wait_until(lambda: len(attempts(job)) >= 10, 300)
    places = {(worker.index, worker.of) for worker in describe_job(job.out).workers}
    assert len(places) > 1, "the place of each worker comes from SLURM"
    assert {of for _, of in places} == {4}
    assert cluster.lose("n2") > 0
    wait_until(lambda: job.sealed, 300)
    # others end a claim that they had begun; unlike `rglob`, `os.walk` passes over what vanishes meanwhile
    wait_until(lambda: not any(".part" in " ".join((*below, *files)) for _, below, files in os.walk(job.out)), 60)
    check_complete(job, range(60))
    assert len(attempts(job)) > 60, "something was lost"
    time.sleep(1)


def test_a_task_that_slurm_stops_drops_its_unit_and_the_same_command_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    held = tmp_path / "held"
    job = make_job(tmp_path / "out", [{"hold": str(held)}] * 2)
    command = launch_commands(job, 2).commands["SLURM"]
    submit(cluster, tmp_path, command)
    wait_until(lambda: len(attempts(job)) == 2, 300)
    cluster.run("scancel", "--batch", "--signal=TERM", "--me")  # as --signal=B:TERM@60 does at the time limit
    wait_until(lambda: not cluster.run("squeue", "-h").strip(), 300)
    state = describe_job(job.out)
    assert (state.done, state.workers, state.running) == (0, (), ())
    assert not any(path.name.startswith("0") for path in (job.folder / "work").rglob("*")), "no attempt is left"
    held.touch()
    submit(cluster, tmp_path, command)
    wait_until(lambda: job.sealed, 300)
    check_complete(job, range(2))


def test_the_example_of_the_page_runs_as_it_is_written(cluster: Cluster, tmp_path: Path) -> None:
    (example,) = re.findall(r"^(pixelwise predict [^`]*?^sbatch [^`]*?)^```", PAGE.read_text("utf-8"), re.M)
    first, submission, last = re.findall(r"(?:[^\n]*\\\n)*[^\n]+\n", example)
    assert submission.startswith("sbatch")
    write_model(tmp_path / "runs" / "first" / "model.safetensors")
    for number in range(40):
        write_image(tmp_path / "scans" / f"{number:02}.png", np.full((1, 60, 60), number, np.uint8))
    environment = {**cluster.environment, **shell_environment(tmp_path)}

    def run(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(first)
    run(submission.replace("/share/masks", str(tmp_path / "masks")))
    wait_until(lambda: open_job(tmp_path / "masks").sealed, 300)
    wait_until(lambda: not cluster.run("squeue", "-h").strip(), 300)
    assert "complete, 40 of 40 done" in run(last)
    ended = [path.read_text("utf-8") for path in tmp_path.glob("slurm-*.out")]
    assert len(ended) == 16
    assert not any("Traceback" in text or "rror" in text for text in ended), ended
