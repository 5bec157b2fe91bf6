"""A scan that survives its terminal: interrupt it at any moment, and run it again.

It integrates a pendulum from many angles. Each call of `period` becomes a job; the jobs go on without this
script, and when it runs again, it finds them by what was called.
"""

from __future__ import annotations

import math
from concurrent.futures import as_completed

import simcelery


def period(angle: float, steps: int = 20_000) -> float:
    """The period of a pendulum of one metre, by velocity Verlet from the angle to its other end.

    Parameters:
        angle: where it is let go, in degrees.
        steps: per small-angle period.

    Returns:
        Seconds.
    """
    gravity, length = 9.81, 1.0
    position, velocity, time = math.radians(angle), 0.0, 0.0
    step = 2 * math.pi * math.sqrt(length / gravity) / steps
    force = -gravity / length * math.sin(position)
    while velocity <= 0.0:
        velocity += 0.5 * step * force
        position += step * velocity
        force = -gravity / length * math.sin(position)
        velocity += 0.5 * step * force
        time += step
    return 2 * time


# Workers import this file, too: what submits must not run there.
if __name__ == "__main__":
    with simcelery.Executor(tag="pendulum") as executor:
        angles = {executor.submit(period, angle): angle for angle in range(5, 180, 5)}
        for future in as_completed(angles):
            print(f"{angles[future]:4d}° {future.result():8.4f} s", flush=True)
