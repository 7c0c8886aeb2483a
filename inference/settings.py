"""Every setting of the service, read once from the environment and from `.env`."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from platformdirs import user_cache_path, user_log_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inference.artifact_names import parse_artifact_name
from inference.errors import SettingsError
from inference.tta import FLIPS

Names = Annotated[tuple[str, ...], NoDecode]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode]

URL_SAFE_KEY = re.compile(r"[A-Za-z0-9._~-]{16,}")
"""What an API key is made of: it may stand in an address, and cannot be guessed."""

HOST_NAME = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""What a host may be called, without scheme and port; a star stands for any name, or for its beginning."""

ENV_FILE = Path(".env")
INSTALLED = __name__ != "inference.settings"
"""Whether this is of a wheel, which has all below another name (`deploy/wheel.py`), and not of a checkout:
caches and logs are then where the platform keeps such, and folds are the wheel's own."""

PACKAGE, COMMAND = Path(__file__).parents[1], "tumor-segmentation"
OTHER_NAMES = ("MODEL_ARTIFACT",)
"""Further names of settings, beside those of the fields."""


class Settings(BaseSettings):
    """The settings, by their names in the environment; `.env.example` explains each."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",  # Windows puts a mark before the first name
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9051

    models_dir: Path = PACKAGE / "models" if INSTALLED else Path("models")
    model_artifacts: Names = Field(
        default=(), validation_alias=AliasChoices("MODEL_ARTIFACTS", "MODEL_ARTIFACT")
    )
    model_cache_dir: Path = user_cache_path(COMMAND) if INSTALLED else Path("models/cache")
    wandb_api_key: SecretStr | None = None
    wandb_timeout_s: Annotated[float, Field(gt=0)] = 300

    engine: Literal["auto", "openvino", "torch"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "f32", "bf16", "int8"] = "auto"
    tta: bool = True
    tta_ops: Names | None = None
    pred_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    blank_below: Annotated[float, Field(ge=0, lt=1)] | None = None

    deadline_s: Annotated[float, Field(gt=0)] = 8
    max_queue: Annotated[int, Field(ge=1)] = 64
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 32
    max_volume_mb: Annotated[float, Field(gt=0, le=2048)] = 256
    body_timeout_s: Annotated[float, Field(gt=0)] = 30
    max_connections: Annotated[int, Field(ge=1)] = 512
    shutdown_grace_s: Annotated[float, Field(ge=0)] = 10
    engine_timeout_s: Annotated[float, Field(gt=0)] = 120

    api_key: Secrets = ()
    cors_origins: Names = ()
    allowed_hosts: Names = ()
    ui: bool = True

    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    log_dir: Path = user_log_path(COMMAND) if INSTALLED else Path("logs")

    @field_validator("model_artifacts", "tta_ops", "api_key", "cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("model_artifacts")
    @classmethod
    def _full_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len({parse_artifact_name(name) for name in names}) < len(names):
            raise ValueError("name every artifact once")
        return names

    @field_validator("tta_ops")
    @classmethod
    def _known_flips(cls, ops: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if ops is not None and (not ops or len(set(ops)) < len(ops) or not set(ops) <= FLIPS.keys()):
            raise ValueError(f"must be different names out of {', '.join(FLIPS)}")
        return ops

    @field_validator("api_key")
    @classmethod
    def _hard_to_guess(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(URL_SAFE_KEY.fullmatch(key.get_secret_value()) for key in keys):
            raise ValueError(
                "each key must be 16 or more letters, digits or -._~, such as `openssl rand -hex 24` prints"
            )
        return keys

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"\*|https?://[^/\s]+", origin) for origin in origins):
            raise ValueError("each must be * or an origin such as https://example.org, without a path")
        return origins

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(HOST_NAME.fullmatch(host) for host in hosts):
            raise ValueError("each must be a host's name such as scans.example.org or *.example.org, or *")
        return hosts

    @field_validator("engine", "device", "precision", "log_format", mode="before")
    @classmethod
    def _lower_case(cls, name: object) -> object:
        return name.lower() if isinstance(name, str) else name

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


def read_settings() -> Settings:
    """Read the settings; raises `SettingsError` with one sentence that names the first bad one."""
    try:
        return Settings()
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0]).upper()
        reason = fault["msg"].removeprefix("Value error, ")
        raise SettingsError(
            f"the setting {name}{_shown(name, fault['input'])} cannot be used: {reason}"
        ) from None


def misspelt_settings() -> list[str]:
    """Return a sentence for each name in `.env` that is nearly a setting's, and so without effect.

    A name that is like none is left alone: other programs may read the file too.
    """
    known = [name.upper() for name in Settings.model_fields] + list(OTHER_NAMES)
    names = dotenv_values(ENV_FILE, interpolate=False, encoding="utf-8-sig") if ENV_FILE.is_file() else {}
    return [
        f"{ENV_FILE} has {name}, which is no setting and changes nothing: is {near[0]} meant?"
        for name in names
        if name.upper() not in known and (near := get_close_matches(name.upper(), known, n=1, cutoff=0.8))
    ]


def _shown(name: str, value: object) -> str:
    """Return a bad value as it is to be shown; a key is not."""
    if name.endswith("_KEY"):
        return ""
    return f"={','.join(map(str, value)) if isinstance(value, tuple) else value}"
