"""Install instant_nerf_ros, with colcon or with pip."""
from glob import glob

from setuptools import find_packages, setup

NAME = 'instant_nerf_ros'

setup(
    name=NAME,
    version='0.1.0',
    description='Online radiance-field mapping for ROS 2: rendered views and occupancy grids',
    author='instant_nerf_ros developers',
    maintainer='instant_nerf_ros developers',
    maintainer_email='instant-nerf-ros@example.com',
    license='Apache-2.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed', 'scenes/*.html']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/config', glob('config/*')),
        (f'share/{NAME}/launch', glob('launch/*.launch.py')),
        (f'share/{NAME}/rviz', glob('rviz/*.rviz')),
    ],
    python_requires='>=3.10',
    install_requires=[
        'numba>=0.55',
        'numpy>=1.21',
        'opencv-python-headless>=4.5',
        'rich>=11.2',
        'scikit-image>=0.18',
        'safetensors>=0.3',
        'scipy>=1.8',
        'threadpoolctl>=3.1',
        'torch>=2.0',
    ],
    extras_require={
        'depth': ['onnxruntime>=1.16'],
        'photos': ['pycolmap>=4.0'],
        'export': ['gsply>=0.4.6'],
        'replay': ['rosbags>=0.11', 'rosbags-image>=0.10'],
        'test': ['pytest', 'pytest-timeout'],
        'video': ['imageio-ffmpeg>=0.5'],
        'viewer': ['viser>=1.1'],
    },
    zip_safe=True,
    entry_points={
        'console_scripts': [
            f'instant-nerf = {NAME}.scenes.cli:main',
            f'mapper_node = {NAME}.ros.commands:mapper_node',
            f'replay = {NAME}.ros.commands:replay',
            f'session = {NAME}.session.session_cli:main',
            f'sim_robot = {NAME}.ros.commands:sim_robot',
            f'viewer = {NAME}.ros.commands:viewer',
        ],
    },
)
