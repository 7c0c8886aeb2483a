import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from inference.errors import WeightsError
from inference.preparation import ORIGINAL_PREPARATION, Preparation
from inference.unet import build_unet
from inference.weights.checkpoints import load_network, save_fold
from inference.weights.fold_file import METADATA_KEY, FoldMetadata, read_fold

METADATA = FoldMetadata(fold=1, preparation=Preparation(input_scale=0.5), threshold=0.4, training={"seed": 3})


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_unet()


def test_a_saved_fold_comes_back(tmp_path: Path, network: torch.nn.Module) -> None:
    path = tmp_path / "fold.safetensors"
    sha256 = save_fold(network, METADATA, path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    fold = read_fold(path, expected_sha256=sha256)
    assert (fold.metadata, fold.sha256, fold.name) == (METADATA, sha256, "fold")
    loaded = load_network(fold)
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=1e-3, atol=1e-7)


def test_saving_twice_changes_nothing(tmp_path: Path, network: torch.nn.Module) -> None:
    first = save_fold(network, METADATA, tmp_path / "a.safetensors")
    network = load_network(read_fold(tmp_path / "a.safetensors"))
    assert save_fold(network, METADATA, tmp_path / "b.safetensors") == first


def test_batch_statistics_keep_their_range(tmp_path: Path, network: torch.nn.Module) -> None:
    norm = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.running_var.fill_(1e6)  # type: ignore[union-attr]
    save_fold(network, METADATA, tmp_path / "fold.safetensors")
    loaded = load_network(read_fold(tmp_path / "fold.safetensors"))
    norm = next(module for module in loaded.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert norm.running_var[0] == 1e6  # type: ignore[index]


@pytest.mark.parametrize("prefix", ["", "module.", "network.", "model.module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_without_metadata_is_one_of_the_originals(
    tmp_path: Path, network: torch.nn.Module, prefix: str, wrapped: bool
) -> None:
    state: dict[str, object] = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / "best_model_fold0.pth"
    torch.save({"state_dict": state} if wrapped else state, path)
    fold = read_fold(path)
    load_network(fold)
    assert fold.metadata.preparation == ORIGINAL_PREPARATION
    assert fold.metadata.fold is None


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('a pickle was run')",))


@pytest.mark.parametrize(
    "content", [pickle.dumps(Exploit()), b"", b"nonsense"], ids=["pickle", "empty", "text"]
)
def test_only_tensors_are_loaded_from_checkpoints(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fold.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="no checkpoint of tensors alone"):
        load_network(read_fold(path))


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2]])
def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "fold.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        load_network(read_fold(tmp_path / "fold.pth"))


def training_checkpoint(network: torch.nn.Module, path: Path, **more: object) -> None:
    """Write a checkpoint as Lightning does, but for its optimiser and loops."""
    state = {"network." + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({"pytorch-lightning_version": "2.6", "state_dict": state, **more}, path)


def test_a_training_checkpoint_is_not_taken_for_one_of_the_originals(
    tmp_path: Path, network: torch.nn.Module
) -> None:
    training_checkpoint(network, tmp_path / "epoch=1.ckpt")
    with pytest.raises(WeightsError, match=r"use the fold\.safetensors"):
        read_fold(tmp_path / "epoch=1.ckpt")


def test_a_training_checkpoint_says_itself_how_its_scans_are_prepared(
    tmp_path: Path, network: torch.nn.Module
) -> None:
    untrained = {"network." + name: torch.zeros_like(t) for name, t in network.state_dict().items()}
    path = tmp_path / "epoch=1.ckpt"
    training_checkpoint(
        network,
        path,
        **{METADATA_KEY: METADATA.model_dump_json()},
        current_model_state=untrained,  # the weights beside their averages
        averaging_state={"n_averaged": torch.tensor(3)},
    )
    fold = read_fold(path)
    assert fold.metadata == METADATA
    for name, tensor in load_network(fold).state_dict().items():
        torch.testing.assert_close(tensor, network.state_dict()[name])


def test_averages_as_pytorch_keeps_them_are_loaded(tmp_path: Path, network: torch.nn.Module) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network)
    torch.save(averaged.state_dict(), tmp_path / "fold.pth")
    load_network(read_fold(tmp_path / "fold.pth"))


def test_several_networks_in_one_file_are_refused(tmp_path: Path, network: torch.nn.Module) -> None:
    state = network.state_dict()
    both = {prefix + name: tensor for prefix in ("model.", "network.") for name, tensor in state.items()}
    torch.save(both, tmp_path / "fold.pth")
    with pytest.raises(WeightsError, match="holds the tensors of several networks"):
        load_network(read_fold(tmp_path / "fold.pth"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda state: state.pop("segmentation_head.0.weight"),
            "misses 1 tensors .segmentation_head.0.weight",
        ),
        (lambda state: state.update(extra=torch.zeros(1)), "has unexpected 1 tensors .extra"),
        (lambda state: state.update({"segmentation_head.0.bias": torch.zeros(2)}), "has misshapen 1 tensors"),
    ],
    ids=["missing", "unexpected", "misshapen"],
)
def test_wrong_tensors_are_named(
    tmp_path: Path, network: torch.nn.Module, change: Callable[[dict[str, torch.Tensor]], object], reason: str
) -> None:
    state = dict(network.state_dict())
    change(state)
    torch.save(state, tmp_path / "fold.pth")
    with pytest.raises(WeightsError, match=reason):
        load_network(read_fold(tmp_path / "fold.pth"))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "fold.pth")
    with pytest.raises(WeightsError, match="is not the weights of a unet-efficientnet-b3-scse"):
        load_network(read_fold(tmp_path / "fold.pth"))
