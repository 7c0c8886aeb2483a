"""The service from Weights & Biases artifacts, as far as a server in W&B's place and the real SDK go."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from inference.ensemble import load_ensemble
from inference.errors import WeightsError
from inference.preparation import ORIGINAL_PREPARATION
from inference.settings import Settings
from inference.weights.checkpoints import load_network
from inference.weights.fold_file import LFS_POINTER, read_fold
from tests.conftest import ROOT, Server, as_base64, file_bytes, plain_settings, start_server, stop_server
from tests.stand_ins.wandb_server import API_KEY, WandbServer
from tests.stand_ins.wandb_store import StoredArtifact
from training.phantoms.drawing import Phantom

FOLDS = ("fold0", "fold2", "fold3")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache without artifacts."""
    return tmp_path / "cache"


@pytest.fixture
def account(cloud: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables of an account at the server, here and for what is started."""
    variables: dict[str, Any] = dict(cloud.environment(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def publish_shipped(cloud: WandbServer) -> list[str]:
    """Publish the folds of `models/`, and return their names in full."""
    return [
        cloud.store.add_artifact(
            f"team/tumors/{fold}",
            {name: ROOT / "models" / name for name in (f"{fold}.safetensors", f"{fold}.ranges.json")},
            aliases=["best"],
            metadata={"out_of_fold_dice": 0.7, "out_of_fold_patients": 37},
        ).full_name
        for fold in FOLDS
    ]


def masks(server: Server, phantoms: list[Phantom]) -> list[str]:
    return [
        server.post("/predict", json={"img": as_base64(file_bytes(phantom.grey))}).json()["img"]
        for phantom in phantoms
    ]


def test_artifacts_serve_the_masks_that_their_files_do_and_from_the_cache_too(
    server: Server,
    cloud: WandbServer,
    account: dict[str, Any],
    cache: Path,
    tmp_path: Path,
    phantoms: list[Phantom],
) -> None:
    names = publish_shipped(cloud)
    expected = masks(server, phantoms[:3])
    served = server.get("/api").json()["model"]
    artifacts: dict[str, Any] = {"MODEL_ARTIFACTS": ",".join(names), "MODEL_CACHE_DIR": cache}
    fresh = start_server(tmp_path, **account, **artifacts)
    try:
        assert masks(fresh, phantoms[:3]) == expected
        model = fresh.get("/api").json()["model"]
    finally:
        stop_server(fresh)
    assert [fold["name"] for fold in model["folds"]] == names
    assert [fold["sha256"] for fold in model["folds"]] == [fold["sha256"] for fold in served["folds"]]
    assert not cloud.store.runs
    cloud.close()
    again = start_server(tmp_path, **account | {"WANDB_API_KEY": ""}, **artifacts)
    try:
        assert masks(again, phantoms[:1]) == expected[:1]
    finally:
        stop_server(again)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            lambda: saved(torch.nn.Linear(2, 2).state_dict()),
            "is not the weights of a unet-.*it misses .* .decoder.blocks.0",
        ),
        (lambda: LFS_POINTER + b".github.com/spec/v1\n", "is a Git LFS pointer.* and publish it again"),
    ],
    ids=["another network", "Git LFS pointer"],
)
def test_what_is_no_fold_names_the_artifact(
    cloud: WandbServer,
    account: dict[str, Any],
    tmp_path: Path,
    content: Callable[[], bytes],
    reason: str,
) -> None:
    artifact = cloud.store.add_artifact("team/tumors/fold0", {"fold.pth": content()})
    with pytest.raises(WeightsError, match=f"fold.pth of the artifact {artifact.full_name} {reason}"):
        load_ensemble(torch_settings(tmp_path, artifact))


def test_one_of_the_originals_is_served_with_the_originals_preparation(
    cloud: WandbServer, account: dict[str, Any], tmp_path: Path, phantom: Phantom
) -> None:
    network = load_network(read_fold(ROOT / "models" / "fold0.safetensors"))
    files = {"best_model.pth": saved(network.state_dict())}
    artifact = cloud.store.add_artifact("team/tumors/best_model_fold0", files)
    ensemble = load_ensemble(torch_settings(tmp_path, artifact))
    assert ensemble.folds[0].metadata.preparation == ORIGINAL_PREPARATION
    grey = phantom.grey.astype(np.float32)
    stretched = cv2.resize(grey, (786, 1536), interpolation=cv2.INTER_LINEAR)
    inputs = np.ones((1, 1, 1536, 800), np.float32)
    inputs[0, 0, :, :786] = (stretched - stretched.min()) / (stretched.max() - stretched.min())
    with torch.inference_mode():
        probabilities = network(torch.from_numpy(inputs)).sigmoid()[0, 0, :, :786].numpy()
    expected = cv2.resize(probabilities, grey.shape[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(ensemble.probability_map(phantom.grey), expected, atol=1e-3)


def torch_settings(cache: Path, artifact: StoredArtifact) -> Settings:
    """Return the settings that load one artifact into PyTorch, on the CPU and without flips."""
    return plain_settings(
        model_artifacts=(artifact.full_name,),
        model_cache_dir=cache,
        wandb_api_key=API_KEY,
        engine="torch",
        device="cpu",
        tta=False,
    )


def saved(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
