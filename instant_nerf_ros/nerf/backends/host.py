"""What GPU backends compute on the processor: in Numba where it is installed, else in NumPy."""
try:
    from instant_nerf_ros.nerf.backends.cpu.kernels.columns import classify_columns, survey_columns
    from instant_nerf_ros.nerf.backends.cpu.kernels.stereo import (
        best_planes,
        plane_costs,
        smooth_costs,
    )
except ImportError:
    from instant_nerf_ros.nerf.backends.reference.columns import classify_columns, survey_columns
    from instant_nerf_ros.nerf.backends.reference.stereo import (
        best_planes,
        plane_costs,
        smooth_costs,
    )

__all__ = ['best_planes', 'classify_columns', 'plane_costs', 'smooth_costs', 'survey_columns']
