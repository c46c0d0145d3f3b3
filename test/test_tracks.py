"""Tracks: features that are one point, however they were found to be."""
import numpy as np

from instant_nerf_ros.nerf.motion.tracks import Tracks


def made(counts, joins, keep=9):
    """Return Tracks of images with so many features; joins: {image: [(back, own, its), ...]}."""
    tracks = Tracks()
    for k, count in enumerate(counts):
        tracks.add(count, keep)
        for back, own, its in joins.get(k, ()):
            tracks.join(np.array(own), back, np.array(its))
    return tracks


def found(tracks, most=99, free=99):
    return sorted(map(tuple, tracks.best(most, free)))


def test_matches_chain_to_tracks():
    tracks = made([2, 3, 2], {1: [(1, [0, 2], [1, 0])], 2: [(1, [1], [2])]})
    assert found(tracks) == [(0, 2, 1), (1, 0, -1)]


def test_a_match_joins_two_tracks():
    # Feature 0 of the last image is on a track with the third, and then with the first two.
    tracks = made([1] * 4, {1: [(1, [0], [0])], 3: [(1, [0], [0]), (3, [0], [0])]})
    assert found(tracks) == [(0, 0, 0, 0)]


def test_a_track_has_one_feature_an_image():
    # By way of the second image it is feature 0 of the first; a wrong match says 1.
    tracks = made([2, 1, 1], {1: [(1, [0], [0])], 2: [(1, [0], [0]), (2, [0], [1])]})
    assert found(tracks) == [(0, 0, 0)]


def test_random_matches_make_a_partition():
    random = np.random.default_rng(0)
    tracks = Tracks()
    for k in range(12):
        tracks.add(20, 8)
        for back in range(1, min(k, 7) + 1):
            pairs = [random.permutation(20)[:10] for _ in 'ab']
            tracks.join(pairs[0], back, pairs[1])
    for features in tracks.table.T:
        assert sorted(features[features >= 0]) == list(range(20))
    assert len(tracks.best(99, 99)) > 10


def test_old_images_and_what_only_they_show_are_forgotten():
    # Feature 0 of the first image is on no track; 1 goes on to the last one.
    tracks = made([2, 2, 1], {1: [(1, [0], [1])], 2: [(1, [0], [0])]}, keep=2)
    assert {*map(tuple, tracks.table)} - {(-1, -1)} == {(0, 0), (1, -1)}


def test_tracks_of_old_images_alone_tell_nothing():
    tracks = made([2, 2, 1], {1: [(1, [0, 1], [0, 1])], 2: [(1, [0], [0])]})
    assert found(tracks, free=2) == [(0, 0, 0), (1, 1, -1)]
    assert found(tracks, free=1) == [(0, 0, 0)]


def test_the_longest_come_first():
    tracks = made([3, 3, 3], {
        1: [(1, [0, 1, 2], [0, 1, 2])], 2: [(1, [1], [1])]})
    assert found(tracks, most=1) == [(1, 1, 1)]
    assert len(found(tracks, most=2)) == 2 and len(found(tracks, most=3)) == 3


def test_without_features_there_are_none():
    assert made([0, 0], {}).best(9, 9).shape == (0, 2)
