from pathlib import Path

import pytest

from inference.errors import SettingsError
from inference.settings import Settings, misspelt_settings, read_settings


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def test_defaults_are_for_a_tunnel() -> None:
    settings = read_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 9051)


def test_dot_env_is_read_and_the_environment_wins(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / ".env").write_text("PORT=8000\nTTA_OPS=identity\nPRED_THRESHOLD=\n")
    monkeypatch.setenv("PORT", "8001")
    settings = read_settings()
    assert settings.port == 8001
    assert settings.tta_ops == ("identity",)
    assert settings.pred_threshold is None


def test_choices_are_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECISION", "BF16")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    settings = read_settings()
    assert (settings.precision, settings.log_level) == ("bf16", "DEBUG")


@pytest.mark.parametrize("name", ["MODEL_ARTIFACTS", "MODEL_ARTIFACT"])
def test_artifacts_are_separated_by_commas(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "a/b/c:v1, a/b/d:v2,")
    assert read_settings().model_artifacts == ("a/b/c:v1", "a/b/d:v2")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PRED_THRESHOLD", "1.5", "less than 1"),
        ("PRED_THRESHOLD", "half", "valid number"),
        ("BLANK_BELOW", "1", "less than 1"),
        ("TTA_OPS", "identity,rotate", "different names out of identity, hflip"),
        ("TTA_OPS", "hflip,hflip", "different names"),
        ("TTA", "perhaps", "boolean"),
        ("DEVICE", "abacus", "'auto', 'cpu' or 'cuda'"),
        ("PORT", "70000", "65535"),
        ("MAX_BODY_MB", "0", "greater than 0"),
        ("LOG_LEVEL", "LOUD", "'INFO'"),
        ("MODEL_ARTIFACTS", "a/b/c:v1,fold0:v1", "'fold0:v1' is not the name of an artifact in full"),
        ("MODEL_ARTIFACTS", "a/b/c,a/b/c:latest", "name every artifact once"),
    ],
)
def test_a_bad_value_is_named_in_one_sentence(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"the setting {name}={value} cannot be used: .*{reason}"):
        read_settings()


def test_the_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "very-secret")
    assert "very-secret" not in repr(read_settings())


def test_a_name_that_is_nearly_a_settings_is_told(empty_folder: Path) -> None:
    assert misspelt_settings() == []
    (empty_folder / ".env").write_text(
        "PORT=8000\nPRED_TRESHOLD=0.4\nModel_Artifact=a/b/c:v1\nWANDB_ENTITY=team\nexport max_body_mbs=5\n"
    )
    sentences = misspelt_settings()
    assert [sentence.split("is ")[-1] for sentence in sentences] == [
        "PRED_THRESHOLD meant?",
        "MAX_BODY_MB meant?",
    ]
    assert "PRED_TRESHOLD, which is no setting" in sentences[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_of_settings_may_begin_with_a_byte_order_mark(encoding: str, empty_folder: Path) -> None:
    (empty_folder / ".env").write_text("PORT=9099\r\nMAX_QUEUE=7\r\n", encoding=encoding)
    settings = read_settings()
    assert (settings.port, settings.max_queue) == (9099, 7)
