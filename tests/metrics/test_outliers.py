"""Outliers by distance: p-values that are right on average, and shrinkage that works with few images."""

import numpy as np
import pytest

from pixelwise.metrics.outliers import (
    FAR,
    conformal_p_value,
    fit_gaussian,
    held_out_distances,
    is_outlier,
    mahalanobis,
)


def test_the_distance_of_many_images_is_that_of_the_sample_covariance() -> None:
    table = np.random.default_rng(0).normal(size=(5000, 4)) @ np.diag([1.0, 2.0, 3.0, 0.5])
    mean, precision = fit_gaussian(table)
    assert np.allclose(mean, table.mean(0))
    assert np.allclose(np.linalg.inv(precision), np.cov(table.T, bias=True), atol=0.1)


def test_fewer_images_than_features_still_have_a_distance() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(6, 20))
    usual = mahalanobis(rng.normal(size=(50, 20)), *fit_gaussian(table))
    far = mahalanobis(rng.normal(size=(50, 20)) + 5, *fit_gaussian(table))
    assert np.isfinite(usual).all()
    assert usual.max() < far.min()


def test_features_that_never_change_make_any_change_unusual() -> None:
    table = np.ones((30, 2))
    table[:, 1] = np.random.default_rng(2).normal(size=30)
    mean, precision = fit_gaussian(table)
    assert np.isfinite(precision).all()
    same, other = mahalanobis(np.array([[1.0, 0.0], [3.0, 0.0]]), mean, precision)
    assert other > 2 * same


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_one_image_in_so_many_has_a_p_value_that_small(rate: float) -> None:
    """The control measures reference images by statistics that contain them: these are too near, p-values too small."""
    rng, small, control = np.random.default_rng(3), [], []
    for _ in range(400):
        table, new = rng.normal(size=(30, 8)), rng.normal(size=(1, 8))
        mean, precision = fit_gaussian(table)
        score = float(mahalanobis(new, mean, precision)[0])
        small.append(conformal_p_value(score, held_out_distances(table)) <= rate)
        control.append(conformal_p_value(score, mahalanobis(table, mean, precision)) <= rate)
    assert np.mean(small) <= rate + 0.04
    assert np.mean(control) > np.mean(small)


def test_neighbours_are_left_out_together() -> None:
    """Frames of a video in pairs of equals: a frame beside its twin must not look usual."""
    rng = np.random.default_rng(4)
    table = np.repeat(rng.normal(size=(10, 3)), 2, axis=0)
    blocks = held_out_distances(table)
    single = held_out_distances(table, folds=20)
    assert blocks.mean() > single.mean()


def test_with_few_images_only_what_is_far_beyond_all_of_them_is_an_outlier() -> None:
    few, many = np.arange(1.0, 11.0), np.arange(1.0, 101.0)
    assert [is_outlier(score, few) for score in (9.0, 11.0, FAR * 10 + 1)] == [False, False, True]
    assert [is_outlier(score, many) for score in (90.0, 97.0, 101.0)] == [False, True, True]
    assert not is_outlier(1e9, np.zeros(0))
