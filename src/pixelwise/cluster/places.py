"""Where workers run, as --on names it: this machine, or a Ray cluster that lets in only those who know its token."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pixelwise.cluster.launch_commands import WORKERS
from pixelwise.errors import BadOption

MAX_WORKERS = 1024  # on one machine
_RAY = re.compile(r"ray://((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4})")
_ANSWER_SECONDS = 60.0  # of the head of a cluster; Ray itself gives up after 40, and a busy machine is slow
_LET_IN, _REFUSED = 10, 11  # exit codes of the question
# the public ray.init waits for half a minute where nobody answers, and needs a node of the cluster on this machine
_QUESTION = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    sys.exit({_REFUSED})
sys.exit({_LET_IN})
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where workers run: `count` processes on this machine, or about as many on the Ray cluster whose head is `ray`."""

    count: int = 1
    ray: str = ""

    def __str__(self) -> str:
        """Return the value of --on."""
        return f"ray://{self.ray}" if self.ray else f"local:{self.count}"


def parse_place(text: str) -> Place | None:
    """Return where workers run, from the value of --on; None for `none`.

    Raises
    ------
    BadOption
        It is neither `local:N` nor `ray://HOST:PORT` nor `none`.

    Examples
    --------
    >>> parse_place("local:4"), parse_place("ray://head:6379"), parse_place("none")
    (Place(count=4, ray=''), Place(count=16, ray='head:6379'), None)
    """
    if text == "none":
        return None
    if cluster := _RAY.fullmatch(text):
        return Place(count=WORKERS, ray=cluster[1])
    match = re.fullmatch(r"local:([1-9][0-9]{0,3})", text)
    if match is None or int(match[1]) > MAX_WORKERS:
        hint = f"Give --on local:N with N from 1 to {MAX_WORKERS:,}, --on ray://HOST:6379, or --on none and start the "
        raise BadOption("local:N, ray://HOST:PORT or none for --on", f"`{text}`", f"{hint}workers yourself.")
    return Place(count=int(match[1]))


def check_cluster(address: str, environment: Mapping[str, str] | None = None) -> None:
    """Check that Ray is installed, and that the head of a cluster answers those who know its token and nobody else.

    Parameters
    ----------
    address : str
        host:port of the head.
    environment : mapping, optional
        By default that of the process.

    Raises
    ------
    BadOption
        It is not.
    """
    environment = dict(os.environ if environment is None else environment)
    where = f"--on ray://{address}"
    if importlib.util.find_spec("ray") is None:
        raise BadOption(
            "Ray for --on ray://", "none", "Install it on all nodes: pip install 'pixelwise[cluster]'.", where
        )
    if environment.get("RAY_AUTH_MODE", "").lower() != "token":
        raise BadOption("token authentication of Ray", "none in this shell", _way_out(), where)
    answer = _ask(address, environment | {"RAY_AUTH_MODE": "disabled"})
    if answer == _LET_IN:
        got = "one that lets everybody in who reaches it"
        raise BadOption("a Ray cluster with token authentication", got, _way_out(), where)
    if answer != _REFUSED:
        hint = "Start it on its head: ray start --head --port=6379, and join it with this machine."
        raise BadOption("the head of a Ray cluster", "no answer", hint, where)
    if _ask(address, environment) != _LET_IN:
        hint = "Copy ~/.ray/auth_token of the head to this machine, or set RAY_AUTH_TOKEN."
        raise BadOption("the token of the Ray cluster", "none, or another one", hint, where)


def _ask(address: str, environment: Mapping[str, str]) -> int:
    """Ask the head of a cluster for a value in a process of its own; return whether it answers, as an exit code."""
    words, quiet = (sys.executable, "-c", _QUESTION, address), subprocess.DEVNULL
    environment = {**environment, "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        done = subprocess.run(
            words, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return -1
    return done.returncode


def _way_out() -> str:
    return (
        "Restart Ray on all nodes, and run this command, with RAY_AUTH_MODE=token and the token of "
        "`ray get-auth-token --generate` in ~/.ray/auth_token of all."
    )
