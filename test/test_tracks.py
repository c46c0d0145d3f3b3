"""Tracks: matches of features are merged to tracks, with one feature in an image."""
import numpy as np

from instant_nerf_ros.nerf.motion.tracks import Tracks


def make_tracks(counts, merges, window=9):
    """Return Tracks of images with these numbers of features.

    merges: {image: [(offset, features, matches), ...]}.
    """
    tracks = Tracks()
    for k, count in enumerate(counts):
        tracks.add_image(count, window)
        for offset, features, matches in merges.get(k, ()):
            tracks.merge(np.array(features), offset, np.array(matches))
    return tracks


def longest(tracks, max_tracks=99, last_images=99):
    return sorted(map(tuple, tracks.longest(max_tracks, last_images)))


def test_matches_are_chained_to_tracks():
    tracks = make_tracks([2, 3, 2], {1: [(1, [0, 2], [1, 0])], 2: [(1, [1], [2])]})
    assert longest(tracks) == [(0, 2, 1), (1, 0, -1)]


def test_a_match_merges_two_tracks():
    # Feature 0 of the last image is matched with the third image, and then with the first.
    tracks = make_tracks([1] * 4, {1: [(1, [0], [0])], 3: [(1, [0], [0]), (3, [0], [0])]})
    assert longest(tracks) == [(0, 0, 0, 0)]


def test_a_track_has_one_feature_in_an_image():
    # Through the second image it has feature 0 of the first one; a wrong match is with feature 1.
    tracks = make_tracks([2, 1, 1], {1: [(1, [0], [0])], 2: [(1, [0], [0]), (2, [0], [1])]})
    assert longest(tracks) == [(0, 0, 0)]


def test_each_feature_is_on_one_track_whatever_the_matches():
    random = np.random.default_rng(0)
    tracks = Tracks()
    for k in range(12):
        tracks.add_image(20, 8)
        for offset in range(1, min(k, 7) + 1):
            pairs = [random.permutation(20)[:10] for _ in 'ab']
            tracks.merge(pairs[0], offset, pairs[1])
    for features in tracks.table.T:
        assert sorted(features[features >= 0]) == list(range(20))
    assert len(tracks.longest(99, 99)) > 10


def test_images_before_the_window_are_removed_with_their_tracks():
    # Feature 0 of the first image is on no other track; feature 1 is matched in the second image.
    tracks = make_tracks([2, 2, 1], {1: [(1, [0], [1])], 2: [(1, [0], [0])]}, window=2)
    assert {*map(tuple, tracks.table)} - {(-1, -1)} == {(0, 0), (1, -1)}


def test_tracks_that_are_in_none_of_the_last_images_are_left_out():
    tracks = make_tracks([2, 2, 1], {1: [(1, [0, 1], [0, 1])], 2: [(1, [0], [0])]})
    assert longest(tracks, last_images=2) == [(0, 0, 0), (1, 1, -1)]
    assert longest(tracks, last_images=1) == [(0, 0, 0)]


def test_the_longest_tracks_are_chosen():
    tracks = make_tracks([3, 3, 3], {
        1: [(1, [0, 1, 2], [0, 1, 2])], 2: [(1, [1], [1])]})
    assert longest(tracks, max_tracks=1) == [(1, 1, 1)]
    assert len(longest(tracks, max_tracks=2)) == 2 and len(longest(tracks, max_tracks=3)) == 3


def test_without_features_there_are_no_tracks():
    assert make_tracks([0, 0], {}).longest(9, 9).shape == (0, 2)
