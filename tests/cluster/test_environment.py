"""The place of a worker, as batch systems tell it."""

import pytest

from pixelwise.cluster.environment import find_place
from pixelwise.errors import BadOption

ARRAY = {"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "2"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, (0, 1)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}, (3, 8)),
        ({**ARRAY, "SLURM_ARRAY_TASK_COUNT": "5"}, (2, 5)),
        ({**ARRAY, "SLURM_ARRAY_TASK_COUNT": "5", "SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, (11, 20)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (1, 2)),
        ({"JOB_COMPLETION_INDEX": "4", "PIXELWISE_WORKERS": "10"}, (4, 10)),
        ({"JOB_COMPLETION_INDEX": "4"}, (4, 5)),
        ({"PBS_ARRAY_INDEX": "2", "PIXELWISE_WORKERS": "3"}, (2, 3)),
        ({"PBS_ARRAYID": "2", "PIXELWISE_WORKERS": "3"}, (2, 3)),
        ({"LSB_JOBINDEX": "3", "LSB_JOBINDEX_END": "8"}, (2, 8)),
        ({"LSB_JOBINDEX": "5", "LSB_JOBINDEX_END": "9", "LSB_JOBINDEX_STEP": "2"}, (2, 5)),
        ({"LSB_JOBINDEX": "0"}, (0, 1)),
        ({"SGE_TASK_ID": "3", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "5", "SGE_TASK_STEPSIZE": "2"}, (1, 3)),
        ({"SGE_TASK_ID": "undefined"}, (0, 1)),
        ({"SLURM_ARRAY_TASK_ID": "nonsense"}, (0, 1)),
    ],
)
def test_batch_systems(environment: dict[str, str], place: tuple[int, int]) -> None:
    assert find_place(environment=environment) == place


def test_what_is_given_wins() -> None:
    environment = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}
    assert find_place(1, 2, environment) == (1, 2)
    assert find_place(1, None, environment) == (1, 8)


@pytest.mark.parametrize(("index", "of"), [(-1, 2), (2, 2), (0, 0)])
def test_places_that_do_not_exist(index: int, of: int) -> None:
    with pytest.raises(BadOption, match="--of"):
        find_place(index, of, {})
