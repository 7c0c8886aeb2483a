"""What reading and projecting a large PET series takes: time and peak memory, inference apart."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.phantoms.volume_files import write_series
from training.phantoms.volumes import PhantomVolume

SHAPE = (600, 400, 400)
SPACING_MM = (2.0, 2.0, 2.0)

PROJECT = """
import json, re, sys, time
from pathlib import Path
from inference.volumes.reading import scan_of_path
before_s, before_cpu_s = time.monotonic(), time.process_time()
made = scan_of_path(Path(sys.argv[1]))
print(json.dumps({
    "wall_s": time.monotonic() - before_s,
    "cpu_s": time.process_time() - before_cpu_s,
    "peak_mib": int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
    "suv_max": float(made.projection.suv.max()),
}))
"""
"""The peak is the process's own: what `getrusage` says is never less than its parent had at its start."""


@dataclass(frozen=True)
class Cost:
    """What one series cost a process of its own; the imports of the libraries are in the times."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    suv_max: float


def measure_projection(shape: tuple[int, int, int] = SHAPE) -> Cost:
    """Write a series of `shape` voxels (z, y, x) to a temporary folder, and read and project it."""
    with tempfile.TemporaryDirectory() as folder:
        series = Path(folder) / "series"
        write_series(_noise(shape), series)
        ended = subprocess.run(
            [sys.executable, "-c", PROJECT, str(series)], capture_output=True, text=True, check=True
        )
    return Cost(**json.loads(ended.stdout))


def _noise(shape: tuple[int, int, int]) -> PhantomVolume:
    """Return a volume of noise with one voxel of SUV 30: what is in it costs nothing."""
    generator = np.random.default_rng(0)
    suv = generator.random(shape, dtype=np.float32)
    suv[shape[0] // 2, shape[1] // 2, shape[2] // 2] = 30
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[2, 0], affine[1, 1], affine[0, 2] = SPACING_MM[0], -SPACING_MM[1], -SPACING_MM[2]
    return PhantomVolume(suv, SPACING_MM, affine, ())
