"""Voting turns: keyframes vote in turns, and where stereo votes, as they are trained on more."""
import types

import numpy as np
import pytest

from instant_nerf_ros.nerf.occupancy.integration import MIN_TRAINED_RAYS
from instant_nerf_ros.nerf.occupancy.voting_turns import VotingTurns


def keyframes(*ray_counts, own=True):
    """Return what stands for keyframes with ids 1, 2, ... that were trained on so many rays."""
    ids = np.arange(len(ray_counts)) + 1
    return types.SimpleNamespace(
        ids=ids, ray_counts=np.array(ray_counts), is_own=lambda ids: np.full(len(ids), own))


@pytest.mark.parametrize('stereo', [False, True])
def test_without_own_keyframes_none_votes(stereo):
    assert VotingTurns().keyframe(0, keyframes(5000, own=False), stereo, object()) is None
    assert VotingTurns().keyframe(0, keyframes(), stereo, object()) is None


def test_without_stereo_all_vote_again_and_again():
    turns, grid = VotingTurns(), object()
    assert [turns.keyframe(turn, keyframes(0, 0, 0), False, grid) for turn in range(6)] == [
        0, 1, 2, 0, 1, 2]


def test_with_stereo_a_keyframe_votes_once_it_is_trained():
    turns, grid = VotingTurns(), object()
    votes = [rays for rays in range(0, 10 * MIN_TRAINED_RAYS, MIN_TRAINED_RAYS // 4)
             if turns.keyframe(0, keyframes(rays), True, grid) is not None]
    assert votes == [MIN_TRAINED_RAYS]


def test_in_a_new_grid_all_vote_anew():
    turns, trained = VotingTurns(), keyframes(5000)
    grid = object()
    assert turns.keyframe(0, trained, True, grid) == 0
    assert turns.keyframe(1, trained, True, grid) is None
    assert turns.keyframe(2, trained, True, object()) == 0
