"""Motion stereo: distances from images of one moving camera, before any field has learnt them."""
import cv2
import numpy as np

DISPARITIES = 32  # pixels, at the width of the images that are compared
LEAST_DISPARITY = 2.0  # pixels; less is as good as none
PENALTIES = 8, 32  # per pixel of the window, for a step of disparity by one, and by more
WINDOW = 5  # pixels
UNIQUE = 10  # percent by which the best match must be better than the next
SPECKLE = 100  # pixels of the smallest region
AGREEMENT = 0.05  # of the distance, between two partners
BASELINES = 0.12, 0.18, 0.25  # metres, wanted
SHORTEST, LONGEST = 0.08, 0.35  # metres
LARGEST_ANGLE = 20.0  # degrees between two views
ASIDE = 1.0  # least motion to the side, per motion ahead: else the epipole is in the image


def partners(T_world_camera, T_world_others):
    """Return which of other poses (N, 4, 4) see the same from a good distance, up to three."""
    T_camera_others = np.linalg.inv(T_world_camera) @ T_world_others
    x, y, z = T_camera_others[:, :3, 3].T
    baselines = np.sqrt(x**2 + y**2 + z**2)
    cosines = (np.trace(T_camera_others[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    good = ((baselines >= SHORTEST) & (baselines <= LONGEST)
            & (cosines > np.cos(np.radians(LARGEST_ANGLE))) & (np.hypot(x, y) > ASIDE * abs(z)))
    chosen = []
    for wanted in BASELINES:
        if good.any():
            chosen.append(int(np.where(good, abs(baselines - wanted), np.inf).argmin()))
            good[chosen[-1]] = False
    return chosen


def depth(gray, camera, T_world_camera, others):
    """Return the depth (H, W) of an image (H, W) uint8, NaN where two others do not agree.

    others: images of the same camera and their poses. Metres along the optical axis.
    """
    if len(others) < 2:
        return np.full(gray.shape, np.nan, np.float32)
    depths = np.stack([
        from_pair(gray, camera, other, np.linalg.inv(T_world_other) @ T_world_camera)
        for other, T_world_other in others])
    # Of two that agree the median is the middle; a NaN is never near it.
    known = np.isfinite(depths)
    order = np.sort(np.where(known, depths, np.inf), axis=0)
    counts = known.sum(0)
    low, high = (np.take_along_axis(order, place[None].clip(0), 0)[0]
                 for place in ((counts - 1) // 2, counts // 2 * (counts > 0)))
    with np.errstate(invalid='ignore'):
        middle = (low + high) / 2
        near = known & (abs(depths - middle) < AGREEMENT * middle)
    mean = np.where(near, depths, 0).sum(0) / near.sum(0).clip(1)
    return np.where(near.sum(0) >= 2, mean, np.nan).astype(np.float32)


def from_pair(gray, camera, other, T_other_camera):
    """Return the depth (H, W) of an image by semi-global matching with another (Hirschmueller).

    Metres along the optical axis, NaN where nothing is found.
    """
    size = gray.shape[::-1]
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
    R_rectified_camera, R_other, P_rectified, P_other, *_ = cv2.stereoRectify(
        matrix, None, matrix, None, size, T_other_camera[:3, :3], T_other_camera[:3, 3:].copy(),
        flags=cv2.CALIB_ZERO_DISPARITY, alpha=-1)
    images = [_rectified(image, camera, matrix, rotation, projection)
              for image, rotation, projection in (
                  (gray, R_rectified_camera, P_rectified), (other, R_other, P_other))]
    # The matcher wants the other camera to the right: images are turned until it is.
    shift = P_other[:2, 3]
    upright = bool(abs(shift[1]) > abs(shift[0]))
    shift = shift[int(upright)]
    turned = [_turned(image, upright, shift > 0) for image in images]
    disparities = _turned_back(_disparities(*turned), upright, shift > 0)
    # Back to the pixels of the camera, whose rays are rotated.
    rays = camera.directions().astype(np.float64)
    rays = (rays / rays[:, 2:]) @ R_rectified_camera.T
    at = rays / rays[:, 2:].clip(min=1e-6) @ P_rectified[:, :3].T
    column, row = (at[:, axis].reshape(gray.shape).astype(np.float32) for axis in (0, 1))
    seen = cv2.remap(disparities, column, row, cv2.INTER_NEAREST, borderValue=0)
    ahead = rays[:, 2].reshape(gray.shape)
    with np.errstate(divide='ignore'):
        return np.where((seen >= LEAST_DISPARITY) & (ahead > 0), abs(shift) / seen / ahead, np.nan)


def _rectified(image, camera, matrix, rotation, projection):
    """Return an image as a camera without distortion sees it that is turned by a rotation."""
    size = image.shape[::-1]
    if camera.distortion_model == 'equidistant':
        make = cv2.fisheye.initUndistortRectifyMap
    else:
        make = cv2.initUndistortRectifyMap
    distortion = np.array(camera.distortion or np.zeros(4))
    maps = make(matrix, distortion, rotation, projection[:, :3], size, cv2.CV_32FC1)
    # Black outside of the image would be an edge where there is none.
    return cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _turned(image, upright, mirrored):
    image = image.T if upright else image
    return np.ascontiguousarray(image[:, ::-1] if mirrored else image)


def _turned_back(image, upright, mirrored):
    image = image[:, ::-1] if mirrored else image
    return np.ascontiguousarray(image.T if upright else image)


def _disparities(image, other):
    """Return disparities (H, W) float32 in pixels, 0 or less where there are none."""
    small, large = (penalty * WINDOW**2 for penalty in PENALTIES)
    matcher = cv2.StereoSGBM_create(
        0, DISPARITIES, WINDOW, P1=small, P2=large, disp12MaxDiff=1, uniquenessRatio=UNIQUE,
        speckleWindowSize=SPECKLE, speckleRange=1, preFilterCap=31,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY)
    # Its first columns have no room for all disparities: they get some.
    wide = [cv2.copyMakeBorder(part, 0, 0, DISPARITIES, 0, cv2.BORDER_REPLICATE)
            for part in (image, other)]
    return matcher.compute(*wide)[:, DISPARITIES:].astype(np.float32) / 16  # in sixteenths
