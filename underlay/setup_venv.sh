#!/bin/sh
# setup_venv.sh PYTHON VENV: a virtual environment with ROS 2, its underlay and this checkout.
# May be run again over an unfinished or outdated one.
set -e
cd "$(dirname "$0")/.."
python=$1 venv=$2

need() {  # need 'what' command...: stop with a sentence where the command fails
    what=$1
    shift
    "$@" >/dev/null 2>&1 || { echo "instant_nerf_ros needs $what." >&2; exit 1; }
}

step() {  # step 'what' command...: one line of progress, and all output where the command fails
    printf '  %-40s' "$1"
    shift
    begin=$(date +%s)
    log=$(mktemp)
    "$@" >"$log" 2>&1 || { echo failed; cat "$log"; echo "This is also in $log." >&2; exit 1; }
    rm "$log"
    echo "$(($(date +%s) - begin)) s"
}

patience=  # options of pip
install() {
    # shellcheck disable=SC2086 - several options
    "$venv/bin/python" -m pip --disable-pip-version-check $patience install "$@"
}

# Print the package indexes that do not answer. A package that is not in an index is no failure.
silent_indexes() {
    "$venv/bin/python" -m pip --disable-pip-version-check --timeout 5 --retries 0 \
        index versions -v setuptools 2>&1 |
        sed -n '/: 404 /d; s|^ *Could not fetch URL \([^ ]*\)/setuptools/: .*|\1|p'
}

# pip requests every package from every index, and would wait for minutes without a word.
check_indexes() {
    printf '  %-40s' 'package indexes'
    silent=$(silent_indexes)
    if [ -z "$silent" ]; then
        echo available
        return
    fi
    patience='--timeout 5 --retries 1'
    echo unavailable
    for index in $silent; do
        echo "    $index does not answer. pip will wait up to 10 s for it with each package."
    done
    echo "    The indexes are in 'pip config list' and in the variables PIP_*INDEX_URL."
}

build_interfaces() {
    build=$(mktemp -d)
    cmake -S "underlay/$1" -B "$build" -G Ninja -DCMAKE_MAKE_PROGRAM="$venv/bin/ninja" \
        -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DROS_VENV="$venv" \
        -DCMAKE_PROJECT_INCLUDE="$PWD/underlay/ros_venv.cmake" &&
        cmake --build "$build" --target install && rm -r "$build"
}

# An editable install has no data files and no lib/instant_nerf_ros: ament and ros2 follow links.
install_checkout() {
    install --no-deps --no-build-isolation --editable . || return
    packages=share/ament_index/resource_index/packages
    mkdir -p "$venv/$packages"
    ln -sfn "$PWD/resource/instant_nerf_ros" "$venv/$packages/instant_nerf_ros"
    ln -sfn "$PWD" "$venv/share/instant_nerf_ros"
    ln -sfn ../bin "$venv/lib/instant_nerf_ros"
}

need "Python 3.10 to 3.13, for which there are ROS wheels: make setup PYTHON=python3.12, say" \
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))'
need 'the headers of Python (python3-dev on Debian and Ubuntu)' \
    "$python" -c 'from sysconfig import get_path; open(get_path("include") + "/Python.h")'
need 'cmake 3.20 or newer' cmake --version
need 'a C++ compiler' c++ --version

echo "Setting up $venv"
step 'virtual environment' "$python" -m venv "$venv"
check_indexes
step 'packages from PyPI (minutes, at first)' install -r requirements.txt -c constraints.txt
step 'tf2_msgs' build_interfaces tf2_msgs
step 'map_msgs' build_interfaces map_msgs
step 'octomap_msgs' build_interfaces octomap_msgs
step 'tf2_ros, tf_transformations' \
    install --no-deps --no-build-isolation ./underlay/tf2_ros ./underlay/tf_transformations
step 'instant_nerf_ros' install_checkout
step 'compiling the kernels' "$venv/bin/python" -m instant_nerf_ros.nerf.warm_up
