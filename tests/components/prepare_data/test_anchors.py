"""K-means anchors compared with other clusterings, and COCO anchors."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from components.prepare_data.anchors import coco_anchors, kmeans, kmeans_anchors, mean_best_iou

LENGTH = st.floats(1, 500)
SIZES = st.lists(st.tuples(LENGTH, LENGTH), min_size=1, max_size=60).map(np.array)


def random_sizes(seed, count):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(3, 0.8, size=(count, 2)))


def test_kmeans_finds_separate_clusters():
    rng = np.random.default_rng(3)
    centers = np.array([[10, 20], [30, 25], [60, 120], [200, 150]])
    sizes = np.concatenate([center * rng.normal(1, 0.02, size=(50, 2)) for center in centers])
    assert kmeans(sizes, 4) == pytest.approx(centers, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [6, 9])
def test_kmeans_has_a_higher_iou_than_euclidean_kmeans(seed, count):
    sizes = random_sizes(seed, 400)
    euclidean = KMeans(count, n_init=5, random_state=0).fit(sizes).cluster_centers_
    assert mean_best_iou(sizes, kmeans(sizes, count)) > mean_best_iou(sizes, euclidean)


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_is_close_to_the_best_partition(seed):
    sizes = random_sizes(seed, 9)
    best = max(
        mean_best_iou(sizes, np.stack([sizes[chosen].mean(axis=0), sizes[~chosen].mean(axis=0)]))
        for bits in itertools.product([False, True], repeat=8)
        for chosen in [np.array([True, *bits])]
        if not chosen.all()
    )
    assert mean_best_iou(sizes, kmeans(sizes, 2)) > best - 0.02


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 9))
def test_centers_are_valid_sorted_by_area_and_reproducible(sizes, count):
    centers = kmeans(sizes, count)
    assert centers.shape == (count, 2)
    assert np.isfinite(centers).all()
    assert (centers > 0).all()
    assert (np.diff(centers.prod(axis=1)) >= 0).all()
    assert np.array_equal(centers, kmeans(sizes, count))
    assert 0 < mean_best_iou(sizes, centers) <= 1


@pytest.mark.parametrize("distinct", [[[16.0, 24.0]], [[16.0, 24.0], [30.0, 8.0]]])
def test_too_few_sizes_are_kept_and_repeated_larger(distinct):
    sizes = np.array(distinct * 5)
    centers = kmeans(sizes, 9)
    assert len(np.unique(centers, axis=0)) == 9
    assert mean_best_iou(sizes, centers) == 1


def test_a_sample_represents_many_boxes():
    sizes = random_sizes(0, 30_000)
    by_area = sizes[sizes.prod(axis=1).argsort()]
    assert mean_best_iou(sizes, kmeans(by_area, 6)) == pytest.approx(mean_best_iou(sizes, kmeans(sizes[:5000], 6)), abs=0.01)


def test_a_sample_of_one_size_is_repeated_larger():
    sizes = np.array([[16.0, 24.0]] * 40_000 + [[300.0 + extra, 400.0] for extra in range(9)])
    assert len(np.unique(kmeans(sizes, 9), axis=0)) == 9


@pytest.mark.parametrize("anchors", [kmeans_anchors(random_sizes(1, 100)), coco_anchors(416)])
def test_small_anchors_belong_to_small_strides(anchors):
    assert list(anchors["yolov3"]) == ["8", "16", "32"]
    assert list(anchors["yolov3-tiny"]) == ["16", "32"]
    for strides in anchors.values():
        assert all(len(group) == 3 for group in strides.values())
        areas = [w * h for group in strides.values() for w, h in group]
        assert areas == sorted(areas)


def test_coco_anchors_scale_with_the_image_size():
    assert coco_anchors(416)["yolov3"]["32"] == [[116, 90], [156, 198], [373, 326]]
    assert coco_anchors(416)["yolov3-tiny"]["16"] == [[10, 14], [23, 27], [37, 58]]
    assert coco_anchors(208)["yolov3"]["8"] == [[5, 6.5], [8, 15], [16.5, 11.5]]
