"""Playback: nodes that stand in for a robot, `replay` for recordings and `sim_robot` for the flat.

They publish images, TF and /clock. The readers of recordings are in `data/`, the simulated flat in
`simulation/`; the mapper does not depend on this package.
"""
