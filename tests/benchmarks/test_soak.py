import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import soak
from tests.conftest import Server, as_service, start_server, stop_server
from training.phantoms.drawing import make_phantom
from utils import encode_request

SECONDS, CLIENTS, SIZES = 60, 4, 12
GROWTH = 1.05
PEAK_MIB = 1.2 * 1024

YIELDING = "import os, runpy; os.nice(5); runpy.run_path('api.py', run_name='__main__')"
"""The service, which lets the tests beside it go first: here it is not timed."""


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads the process's figures from /proc")
def test_nothing_creeps_while_clients_send_scans_of_mixed_sizes(tmp_path: Path, server: Server) -> None:
    fresh = start_server(tmp_path, "-c", YIELDING, TTA=False, DEADLINE_S=60)
    try:
        sizes = np.random.default_rng(0).integers((300, 300), (992, 501), size=(SIZES, 2))
        scans = [make_phantom(seed, size=(int(h), int(w))).grey for seed, (h, w) in enumerate(sizes)]
        bodies = [json.dumps({"img": encode_request(scan)}).encode() for scan in scans]
        seen = soak(as_service(fresh), bodies, clients=CLIENTS, seconds=SECONDS)
        peak_mib = as_service(fresh).memory_mib("VmHWM")
    finally:
        stop_server(fresh)
    assert seen.errors == ()
    assert seen.memory_mib[1] <= GROWTH * seen.memory_mib[0]
    assert peak_mib < PEAK_MIB
