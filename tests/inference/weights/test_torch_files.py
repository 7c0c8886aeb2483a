import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import pytest
import torch

from inference.weights.torch_files import read_plain_entries
from tests.conftest import ROOT


def test_plain_entries_are_read_and_tensors_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "epoch=1.ckpt"
    state = OrderedDict(weight=torch.nn.Parameter(torch.zeros(2, 3)), count=torch.tensor(1))
    torch.save({"state_dict": state, "version": "2.6", "epoch": 3, "more": defaultdict(list, a=[1])}, path)
    assert read_plain_entries(path) == {"version": "2.6", "epoch": 3}


def test_pytorch_is_not_imported(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "weight": torch.zeros(2)}, tmp_path / "fold.pth")
    code = (
        "import sys; from pathlib import Path; from inference.weights.torch_files import read_plain_entries;"
        "print(read_plain_entries(Path(sys.argv[1])), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "fold.pth")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "{'epoch': 3} False"


class Exploit:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "fold.pth", tmp_path / "trace"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fold/data.pkl", pickle.dumps({"epoch": 3, "weight": Exploit(trace)}))
    assert read_plain_entries(path) == {"epoch": 3}
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", pickle.dumps([1])], ids=["empty", "text", "pickle"])
def test_what_is_no_such_file_has_no_entries(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fold.pth"
    path.write_bytes(content)
    assert read_plain_entries(path) == {}
