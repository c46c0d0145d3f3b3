"""Video: the sharpest of each group of frames, as pictures for structure from motion."""
from pathlib import Path

import cv2
import numpy as np

from instant_nerf_ros.scenes.fit_progress import OnProgress, Progress

SUFFIXES = '.mp4', '.mov', '.m4v', '.avi', '.mkv', '.webm', '.mpg', '.mpeg'
RATE, LEAST, MOST = 2.0, 40, 150  # pictures per second of the video, and their number


def is_video(path: Path) -> bool:
    """Return whether a path has the suffix of a video."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def extract(path: Path, folder: Path, on_progress: OnProgress) -> list[str]:
    """Write pictures of a video to a folder, and return their names in order.

    Of each part of the video, it is the one with the largest variance of the Laplacian (Pech-
    Pacheco et al. 2000). Raises ValueError if the video cannot be read.
    """
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    rate = video.get(cv2.CAP_PROP_FPS) or 30.0
    if not video.isOpened() or count < 1:
        raise ValueError(f'{path} cannot be read as a video: it is not complete, or must be '
                         'converted to H.264 in an MP4')
    parts = int(np.clip(RATE * count / rate, LEAST, MOST))
    folder.mkdir(parents=True)
    names: list[str] = []
    best, sharpest, part, index = None, -1.0, 0, 0
    while True:
        has_frame, frame = video.read()
        if best is not None and (not has_frame or index * parts // count > part):
            names.append(f'{part:04d}.png')
            cv2.imwrite(str(folder / names[-1]), best)
            best, sharpest, part = None, -1.0, index * parts // count
        if not has_frame:
            break
        small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), None, fx=0.5, fy=0.5,
                           interpolation=cv2.INTER_AREA)
        sharpness = float(cv2.Laplacian(small, cv2.CV_64F).var())
        if sharpness > sharpest:
            best, sharpest = frame, sharpness
        index += 1
        # One more than there are frames, as the last picture is written after them.
        on_progress(Progress('video', min(index / (count + 1), 1.0), f'{len(names)} pictures'))
    video.release()
    if not names:
        raise ValueError(f'{path} has no frame that can be decoded')
    on_progress(Progress('video', 1.0, f'{len(names)} pictures'))
    return names
