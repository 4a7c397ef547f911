"""Send what schemathesis makes of the server's own description; no answer may be a 5xx, and bodies hold no paths.

    python benchmarks/server_schema.py [--examples 20] [--seed 0]

Needs `pip install schemathesis`, which is no dependency of the tests: its pytest plugin would load into all of them.
The server runs in this process, on a drawn model and a drawn folder; starting jobs is left out, because each would be a
process of its own. A server that says 503 with Retry-After is busy, which is an answer.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis  # pyright: ignore[reportMissingImports]
from hypothesis import HealthCheck, Phase, given, seed, settings
from starlette.testclient import TestClient

from pixelwise.datasets.synthetic import write_demo
from pixelwise.progress import Progress
from pixelwise.server.access import Access
from pixelwise.server.app import create_app
from pixelwise.server.limits import Limits
from pixelwise.server.project import Project
from pixelwise.server.service import Service
from pixelwise.server.studio import Studio
from pixelwise.workflow.train import train

ORIGIN, TOKEN = "http://127.0.0.1:8117", "a-token-for-the-schema"
LEFT_OUT = {("POST", "/api/jobs"), ("POST", "/api/jobs/{job_id}/resume"), ("GET", "/api/events")}


def main() -> None:
    """Send everything, and print the counts of statuses by route."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_demo(folder / "cells", train=2, val=1, test=1, size=64)
        run = train(folder / "cells", out=folder / "run", steps=4, progress=Progress())
        service = Service([run.folder], Limits(requests_per_second=10_000))
        studio = Studio(service, Project(folder / "project"), [folder / "cells"])
        app = create_app(service, Access("127.0.0.1", 8117, token=TOKEN), studio)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with TestClient(app, base_url=ORIGIN, headers=headers, raise_server_exceptions=False) as client:
            while not (state := client.get("/api/state").json())["understood"]:
                time.sleep(0.2)
            known = {"image_id": state["images"][0]["id"], "model": state["models"][0]}
            schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
            for found in schema.get_all_operations():
                operation = found.ok()
                if (operation.method.upper(), operation.path) not in LEFT_OUT:
                    faults += send(operation, client, folder, known, chosen.examples, chosen.seed)
    print("\n".join(faults) or "no 5xx, no path in a body")
    sys.exit(bool(faults))


def send(
    operation: object, client: TestClient, folder: Path, known: dict[str, str], examples: int, number: int
) -> list[str]:
    """Send generated requests to one route, every second one about what exists; return what is wrong."""
    faults: list[str] = []
    statuses: Counter[int] = Counter()
    phases = [Phase.explicit, Phase.generate]
    checks: Any = list(HealthCheck)

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, phases=phases, suppress_health_check=checks)
    @given(case=operation.as_strategy())  # type: ignore[attr-defined]
    def one(case: schemathesis.Case) -> None:
        if statuses.total() % 2:
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        words = case.as_transport_kwargs(base_url=ORIGIN)
        passed = ("method", "url", "params", "headers", "cookies", "json", "data", "files")
        answer = client.request(**{key: value for key, value in words.items() if key in passed})
        statuses[answer.status_code] += 1
        where = f"{answer.status_code} {case.method} {case.formatted_path}"
        if answer.status_code >= 500 and not (answer.status_code == 503 and "Retry-After" in answer.headers):
            faults.append(f"{where}: {answer.text[:200]}")
        if answer.status_code >= 400 and (str(folder) in answer.text or "Traceback" in answer.text):
            faults.append(f"{where}: a path or a traceback in the body")

    one()
    print(f"{operation.method.upper()} {operation.path}: {dict(statuses)}", flush=True)  # type: ignore[attr-defined]
    return faults


if __name__ == "__main__":
    main()
