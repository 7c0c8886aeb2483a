"""The conversion of folds in a process of its own, which is rid of PyTorch once it has ended.

A process of `multiprocessing` would run the caller's own script again, which would then ask for the
same conversion.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

from inference.errors import WeightsError
from inference.weights.fold_file import FoldFile, read_fold

UNUSABLE = 3
"""Exit status where a fold cannot be converted: standard output says why."""

GRAPH, CONSTANTS = "fold.xml", "fold.bin"
TRACED_SIZE = (64, 64)


def convert_apart(folds: Sequence[FoldFile]) -> list[tuple[bytes, bytes]]:
    """Return the graph and the constants of each fold, as OpenVINO writes them.

    One process takes all: to import PyTorch and the network takes it longer than to convert a fold.
    Raises `WeightsError` where a fold's tensors are not those of the network, or the process was ended.
    """
    root = Path(__file__).parents[2]
    paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        with subprocess.Popen(
            [sys.executable, "-m", __name__, folder, *_arguments(folds)],
            stdin=subprocess.PIPE,  # closes where this process ends, and is never written to
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        ) as converting:
            assert converting.stdout is not None
            said = converting.stdout.read().decode().strip()
        if converting.returncode == UNUSABLE:
            raise WeightsError(said)
        if converting.returncode:
            raise WeightsError(
                "the folds could not be converted for OpenVINO, because the process that does it was ended: "
                "make sure that 2 GB of memory are free, and start again"
            )
        places = [Path(folder) / str(number) for number in range(len(folds))]
        return [((place / GRAPH).read_bytes(), (place / CONSTANTS).read_bytes()) for place in places]


def main(folder: str, *paths_and_artifacts: str) -> int:
    """Convert folds into two files each, in folders of a folder; returns the exit status."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C is for the start to tell of, not for each fold
    pairs = zip(paths_and_artifacts[::2], paths_and_artifacts[1::2], strict=True)
    try:
        for number, (path, artifact) in enumerate(pairs):
            place = Path(folder) / str(number)
            place.mkdir()
            _convert(read_fold(Path(path), artifact=artifact or None), place)
    except WeightsError as error:
        sys.stdout.write(str(error))
        return UNUSABLE
    return 0


def _arguments(folds: Sequence[FoldFile]) -> list[str]:
    """Return what `main` is told of folds: the path of each and its artifact, empty where it has none."""
    return [part for fold in folds for part in (str(fold.path.absolute()), fold.artifact or "")]


def _convert(fold: FoldFile, folder: Path) -> None:
    """Convert a fold here and now, which imports PyTorch; constants keep the float16 of the weights."""
    import openvino as ov
    import torch

    from inference.weights.checkpoints import load_network

    torch.set_num_threads(1)  # twice as fast as threads that wait for a core that others use
    network = torch.nn.Sequential(load_network(fold), torch.nn.Sigmoid()).eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing: what it holds constant is so for every size
        traced = torch.jit.trace(network, torch.zeros(1, 1, *TRACED_SIZE))  # type: ignore[no-untyped-call]
        model = ov.convert_model(traced, input=[ov.PartialShape([1, 1, -1, -1])])
        ov.save_model(model, folder / GRAPH, compress_to_fp16=True)


def _end_with_parent() -> None:
    """End this process when the one that started it does: nobody would fetch what it makes."""
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a buffer's lock would be held at the end
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
