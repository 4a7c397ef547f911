"""The commands that start workers are well formed, and run where their programs are."""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pixelwise.cluster import launch_commands as launch_module
from pixelwise.cluster.heartbeat import Lives
from pixelwise.cluster.launch_commands import WORKERS, kubernetes_job, launch_commands
from sleepers import check_complete, make_job, wait_until, write_program


def test_there_are_no_more_workers_than_units(tmp_path: Path) -> None:
    few, many = make_job(tmp_path / "few", [{}] * 3), make_job(tmp_path / "many", [{}] * 300)
    assert "--array=0-2 " in launch_commands(few).commands["SLURM"]
    assert f"--array=0-{WORKERS - 1} " in launch_commands(many).commands["SLURM"]
    assert "[1-7]" in launch_commands(many, 7).commands["LSF"]


def test_folders_with_spaces_and_quotes_are_quoted(tmp_path: Path) -> None:
    job = make_job(tmp_path / "it's out", [{}])
    commands = launch_commands(job).commands
    assert str(job.out) in shlex.split(commands["Shell"])
    for name in ("SLURM", "PBS", "LSF"):
        script = shlex.split(commands[name])[-1].removeprefix("--wrap=")
        assert shlex.split(script)[-4:] == ["OMP_NUM_THREADS=4", "pixelwise", "worker", str(job.out)]


def test_the_manifest_is_an_indexed_job_of_workers(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out put", [{}] * 40)
    manifest = yaml.safe_load(kubernetes_job(job, 5))
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    spec = manifest["spec"]
    assert (spec["completionMode"], spec["completions"]) == ("Indexed", 5)
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == ["pixelwise", "worker", str(job.out)]
    assert {"name": "PIXELWISE_WORKERS", "value": "5"} in container["env"]
    (mount,) = container["volumeMounts"]
    assert job.out.is_relative_to(mount["mountPath"])
    assert spec["template"]["spec"]["securityContext"]["runAsUser"] == os.getuid(), "who owns the folder of the job"
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "which podFailurePolicy requires"


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_containers_of_the_manifest_compute_the_job(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.2}] * 12)
    (container,) = yaml.safe_load(kubernetes_job(job, 2))["spec"]["template"]["spec"]["containers"]
    own = {entry["name"]: entry["value"] for entry in container["env"]}
    base = {**os.environ, **own, "PATH": f"{write_program(tmp_path)}:{os.environ['PATH']}"}
    pods = [
        subprocess.Popen(container["command"], env={**base, "JOB_COMPLETION_INDEX": str(index)}) for index in range(2)
    ]
    wait_until(lambda: job.sealed or {(life.index, life.of) for life in Lives(job).alive()} == {(0, 2), (1, 2)})
    assert not job.sealed, "both were seen, each in its place"
    assert [pod.wait() for pod in pods] == [0, 0]
    check_complete(job, range(12))


def test_every_folder_that_workers_need_is_mounted_and_never_the_root(tmp_path: Path) -> None:
    settings = {"model": "/models/a b/m.safetensors", "folder": "/home/me/project", "inputs": ["/scans/1", "/scans/2"]}
    job = replace(make_job(tmp_path / "out", [{}]), settings={**settings, "data": "masks"})
    spec = yaml.safe_load(kubernetes_job(job, 1))["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    assert set(mounts) == {str(tmp_path), "/models/a b", "/home/me/project", "/scans"}
    claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in spec["volumes"]}
    assert sorted(claims) == sorted(mounts.values())
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) for name in (*claims, *claims.values()))


def test_one_unit_is_no_array_for_pbs_which_refuses_it(tmp_path: Path) -> None:
    one, two = (launch_commands(make_job(tmp_path / str(n), [{}] * n)).commands["PBS"].split() for n in (1, 2))
    assert "-J" not in one
    assert two[two.index("-J") + 1] == "0-1"


def test_a_shell_starts_no_more_workers_than_it_has_cores_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, [{}] * 100)
    for number, workers in ((2, 1), (8, 2), (256, 16)):
        monkeypatch.setattr(launch_module, "cores", lambda number=number: number)
        assert f"--of {workers} " in launch_commands(job).commands["Shell"]


def test_the_commands_as_text_and_json(tmp_path: Path) -> None:
    commands = launch_commands(make_job(tmp_path, [{}] * 2))
    assert json.loads(json.dumps(commands.to_json()))["units"] == 2
    text = commands.to_text()
    assert all(f"# {name}" in text for name in ("Shell", "SLURM", "PBS", "LSF", "Kubernetes"))


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_shell_command_computes_the_job(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}] * 6)
    environment = {**os.environ, "PATH": f"{write_program(tmp_path)}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", launch_commands(job, 2).commands["Shell"]], env=environment, check=True)
    check_complete(job, range(6))
