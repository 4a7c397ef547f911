"""The kinds of jobs, and how their work is opened; each is imported when it is needed, because it imports torch."""

from pixelwise.cluster.job import Job
from pixelwise.cluster.work import Kinds, Work
from pixelwise.progress import Progress


def known_kinds() -> Kinds:
    """Return how the work of each kind of job is opened.

    Examples
    --------
    >>> "predict" in known_kinds()
    True
    """
    return {"doctor": _open_cases, "folds": _open_folds, "predict": _open_predictions, "subsets": _open_subsets}


def _open_cases(job: Job, progress: Progress) -> Work:
    from pixelwise.cluster.cases.case_units import open_case_work

    return open_case_work(job, progress)


def _open_folds(job: Job, progress: Progress) -> Work:
    from pixelwise.cluster.folds import open_fold_work

    return open_fold_work(job, progress)


def _open_predictions(job: Job, progress: Progress) -> Work:
    from pixelwise.cluster.image_units import open_image_work

    return open_image_work(job, progress)


def _open_subsets(job: Job, progress: Progress) -> Work:
    from pixelwise.cluster.subset_units import open_subset_work

    return open_subset_work(job, progress)
