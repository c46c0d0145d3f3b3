"""What GPU backends compute on the processor: in Numba where it is installed, else in NumPy."""
try:
    from instant_nerf_ros.nerf.backends.cpu.kernels.columns import classify_columns, survey_columns
    from instant_nerf_ros.nerf.backends.cpu.kernels.stereo import (
        best_planes,
        plane_costs,
        smooth_costs,
    )
    from instant_nerf_ros.nerf.backends.cpu.kernels.stereo_refinement import (
        agreement,
        epipolar_gradients,
    )
    from instant_nerf_ros.nerf.backends.cpu.kernels.surfaces import find_surfaces
except ImportError:
    from instant_nerf_ros.nerf.backends.reference.columns import classify_columns, survey_columns
    from instant_nerf_ros.nerf.backends.reference.stereo import (
        best_planes,
        plane_costs,
        smooth_costs,
    )
    from instant_nerf_ros.nerf.backends.reference.stereo_refinement import (
        agreement,
        epipolar_gradients,
    )
    from instant_nerf_ros.nerf.backends.reference.surfaces import find_surfaces

__all__ = [
    'agreement', 'best_planes', 'classify_columns', 'epipolar_gradients', 'find_surfaces',
    'plane_costs', 'smooth_costs', 'survey_columns',
]  # fmt: skip
