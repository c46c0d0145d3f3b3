"""Measure speed and quality; `make bench` runs all of it, which takes hours."""
import argparse
import sys

import busy
import corridor
import defaults
import faults
import gpu
import intake
import loops
import maps
import peers
import photo_scenes
import pose_noise
import quality
import ranks
import render
import report
import soak
import stereo
import throughput
import updates
import viewer
import yard
import yard_color

BENCHMARKS = {
    'throughput': throughput.measure,
    'peers': peers.measure,
    'render': render.measure,
    'memory': render.measure_memory,
    'online': quality.measure_online,
    'quality': quality.measure,
    'photos': photo_scenes.measure,
    'loops': loops.measure,
    'defaults': defaults.measure,
    'pose-noise': pose_noise.measure,
    'gpu': gpu.measure,
    'intake': intake.measure,
    'rest': intake.measure_rest,
    'busy': busy.measure,
    'updates': updates.measure,
    'ranks': ranks.measure,
    'stereo': stereo.measure,
    'viewer': viewer.measure,
    'maps-kitchen': maps.measure_kitchen,
    'maps-flat': maps.measure_flat,
    'yard': yard.measure,
    'yard-color': yard_color.measure,
    'faults': faults.measure,
    'corridor': corridor.measure,
    'soak': soak.measure,
}


def parse_options():
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME',
                        help=f'what to measure (all): {", ".join(BENCHMARKS)}')
    parser.add_argument('--seconds', type=float, default=30.0,
                        help='time of each measurement of speed (30)')
    parser.add_argument('--marks', type=float, nargs='+', default=[5.0, 15.0, 60.0, 300.0],
                        metavar='S', help='training times to measure quality at (5 15 60 300)')
    parser.add_argument('--seeds', type=int, default=3, help='runs for each figure of quality (3)')
    parser.add_argument('--dry', action='store_true', help='print, but do not write to docs/')
    options = parser.parse_args()
    options.marks.sort()
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"unknown benchmark '{name}'; known are: {', '.join(BENCHMARKS)}")
    return options


def main():
    """Run it; return the exit status."""
    options = parse_options()
    for name in options.names or BENCHMARKS:
        where = report.conditions()
        report.publish(name, where, BENCHMARKS[name](options), keep=not options.dry)
    return 0


if __name__ == '__main__':
    sys.exit(main())
