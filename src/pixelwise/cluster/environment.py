"""The place of a worker among all workers, from the variables that batch systems set."""

import os
from collections.abc import Mapping

from pixelwise.errors import BadOption

COUNT = "PIXELWISE_WORKERS"  # for batch systems that tell a task its number but not how many there are
_VARIABLES = frozenset(
    {
        *(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "STEP", "COUNT")),
        *(f"LSB_JOBINDEX{name}" for name in ("", "_END", "_STEP")),
        *(f"SGE_TASK_{name}" for name in ("ID", "FIRST", "LAST", "STEPSIZE")),
        *("SLURM_PROCID", "SLURM_NTASKS", "JOB_COMPLETION_INDEX", "PBS_ARRAY_INDEX", "PBS_ARRAYID", COUNT),
    }
)


def find_place(
    index: int | None = None, of: int | None = None, environment: Mapping[str, str] | None = None
) -> tuple[int, int]:
    """Return (index, of) of this worker: as given, or from the batch system, or (0, 1).

    Parameters
    ----------
    index, of : int, optional
        As given on the command line.
    environment : mapping, optional
        By default that of the process.

    Raises
    ------
    BadOption
        The index is negative, or not below the number of workers.

    Notes
    -----
    SLURM arrays: SLURM_ARRAY_TASK_ID, _MIN, _STEP and _COUNT, and the tasks of `srun` inside: SLURM_PROCID and
    SLURM_NTASKS (sbatch(1), srun(1)). Indexed Jobs of Kubernetes: JOB_COMPLETION_INDEX. PBS: PBS_ARRAY_INDEX or
    PBS_ARRAYID. LSF: LSB_JOBINDEX (from 1; 0 outside arrays), _STEP and _END. Grid Engine: SGE_TASK_ID, _FIRST, _LAST
    and _STEPSIZE. Kubernetes and PBS do not tell the number of tasks: set PIXELWISE_WORKERS, or give --of.

    Examples
    --------
    >>> find_place(environment={"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"})
    (2, 8)
    >>> find_place(environment={"JOB_COMPLETION_INDEX": "5", "PIXELWISE_WORKERS": "20"})
    (5, 20)
    """
    found = _from_batch_system(os.environ if environment is None else environment)
    index = found[0] if index is None else index
    of = max(found[1], index + 1) if of is None else of
    if index < 0 or of < 1:
        raise BadOption("--index of at least 0, and --of of at least 1", f"{index} of {of}", "Count from 0.")
    if index >= of:
        raise BadOption("--index below --of", f"{index} of {of}", "Count from 0.")
    return index, of


def _from_batch_system(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the place that the first batch system gives that set its variables."""
    numbers = {name: int(text) for name, text in environment.items() if name in _VARIABLES and text.isdecimal()}
    count = numbers.get(COUNT, 1)
    if "SLURM_ARRAY_TASK_ID" in numbers or "SLURM_PROCID" in numbers:
        return _slurm_place(numbers)
    for name in ("JOB_COMPLETION_INDEX", "PBS_ARRAY_INDEX", "PBS_ARRAYID"):
        if name in numbers:
            return numbers[name], count
    if numbers.get("LSB_JOBINDEX"):
        index = numbers["LSB_JOBINDEX"]
        return _array_place(index, 1, numbers.get("LSB_JOBINDEX_END", index), numbers.get("LSB_JOBINDEX_STEP", 1))
    if "SGE_TASK_ID" in numbers:
        index = numbers["SGE_TASK_ID"]
        first, last = numbers.get("SGE_TASK_FIRST", 1), numbers.get("SGE_TASK_LAST", index)
        return _array_place(index, first, last, numbers.get("SGE_TASK_STEPSIZE", 1))
    return 0, count


def _slurm_place(numbers: Mapping[str, int]) -> tuple[int, int]:
    """Return the place of a task of `srun` in an element of an array, or of one of them."""
    tasks = max(1, numbers.get("SLURM_NTASKS", 1))
    task = numbers.get("SLURM_PROCID", 0) % tasks
    first, step = numbers.get("SLURM_ARRAY_TASK_MIN", 0), max(1, numbers.get("SLURM_ARRAY_TASK_STEP", 1))
    element = (numbers.get("SLURM_ARRAY_TASK_ID", first) - first) // step
    return element * tasks + task, numbers.get("SLURM_ARRAY_TASK_COUNT", 1) * tasks


def _array_place(index: int, first: int, last: int, step: int) -> tuple[int, int]:
    step = max(1, step)
    return (index - first) // step, (last - first) // step + 1
