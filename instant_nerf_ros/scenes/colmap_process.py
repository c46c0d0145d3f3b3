"""Structure from motion by COLMAP, in a process of its own: it can be watched and ended.

Its database is watched by another process, as two copies of SQLite in one process would damage it.
"""
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from instant_nerf_ros.scenes.pose_agreement import agrees

MAX_SIZE = 1600  # pixels, of the longer side of the image in which features are found
MAX_FEATURES = 4096  # of an image
SEED = {'random_seed': 0}
MIN_IMAGES = 30  # of one camera, that tell where its principal point is
MIN_POINT_SHARE = 0.25  # of the points of the median image, below which a pose is found again
REGISTERED = 'registered'  # file with a byte for each image that has been registered
DISAGREES = 'disagrees'  # file that is there if global mapping was wrong, and incremental followed


@dataclasses.dataclass(frozen=True)
class Job:
    """What COLMAP is to do."""

    folder: str  # of the photos
    names: list[str]  # of the photos
    work: str  # folder for database.db, sparse/ and REGISTERED
    one_camera: bool  # all photos are of one camera; otherwise, COLMAP looks at EXIF
    sequential: bool  # photos are matched with the next ones, else all with each other
    mapper: str  # 'incremental' (Schönberger and Frahm 2016) or 'global' (Pan et al. 2024)
    masks: str  # folder of NAME.png, where features are where they are not black; '': none


def run(job: Job) -> None:
    """Find poses; models are in work/sparse/0, 1, ..., none if there are no poses."""
    import pycolmap
    work = Path(job.work)
    database, sparse, registered = work / 'database.db', work / 'sparse', work / REGISTERED
    reader = pycolmap.ImageReaderOptions(
        {'camera_model': 'OPENCV', **({'mask_path': job.masks} if job.masks else {})})
    extraction = pycolmap.FeatureExtractionOptions(
        {'max_image_size': MAX_SIZE, 'sift': {'max_num_features': MAX_FEATURES}})
    cpu: Any = pycolmap.Device.cpu
    pycolmap.extract_features(
        database, job.folder, job.names, extraction_options=extraction, reader_options=reader,
        camera_mode=(pycolmap.CameraMode.SINGLE if job.one_camera else pycolmap.CameraMode.AUTO),
        device=cpu)
    (pycolmap.match_sequential if job.sequential else pycolmap.match_exhaustive)(
        database, device=cpu)
    sparse.mkdir()
    models: dict[int, Any]
    incremental = job.mapper == 'incremental'
    if not incremental:
        registered.touch()
        pycolmap.calibrate_view_graph(database, pycolmap.ViewGraphCalibrationOptions(SEED))
        models = pycolmap.global_mapping(
            database, job.folder, sparse, pycolmap.GlobalPipelineOptions(SEED))
        for number, model in models.items():
            models[number] = _completed(model, database, job.folder, sparse / str(number))
        if not (models and all(agrees(model, database) for model in models.values())):
            (work / DISAGREES).touch()
            shutil.rmtree(sparse)
            sparse.mkdir()
            incremental = True
    if incremental:
        with registered.open('wb', buffering=0) as file:
            def count() -> None:
                file.write(b'.')

            models = pycolmap.incremental_mapping(
                database, job.folder, sparse, pycolmap.IncrementalPipelineOptions(SEED),
                next_image_callback=count)
    for number, model in models.items():
        if job.one_camera and model.num_reg_images() >= MIN_IMAGES:
            # The mappers keep it in the middle of the image, as they begin with two images.
            pycolmap.bundle_adjustment(
                model, pycolmap.BundleAdjustmentOptions({'refine_principal_point': True}))
            model.write(sparse / str(number))


def _completed(model: Any, database: Path, folder: str, path: Path) -> Any:
    """Return a model of global mapping with the images that it lost or placed by few points.

    Global mapping keeps the pose of an image that hardly any point agrees with. The incremental
    mapper registers such images again with those that are right.
    """
    import pycolmap
    options = pycolmap.IncrementalPipelineOptions(SEED)
    placed = [image for image in model.images.values() if image.has_pose]
    few = MIN_POINT_SHARE * np.median([image.num_points3D for image in placed])
    for image in placed:
        if image.num_points3D < max(few, options.mapper.abs_pose_min_num_inliers):
            model.deregister_frame(image.frame_id)
    if model.num_reg_images() == model.num_images():
        return model
    model.write(path)
    output = database.parent / f'completed_{path.name}'
    output.mkdir()
    completed = pycolmap.incremental_mapping(
        database, folder, output, options, input_path=path)
    best = max(completed.values(), key=lambda each: each.num_reg_images(), default=model)
    best.write(path)
    return best


if __name__ == '__main__':
    run(Job(**json.loads(sys.argv[1])))
