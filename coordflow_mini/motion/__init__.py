"""Motion of a clip, measured before training: tracks of points, and the trajectories that explain them.

This is ours: in the paper, flow networks learn all motion from scratch.
"""
