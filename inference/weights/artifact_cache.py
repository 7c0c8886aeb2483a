"""W&B artifacts on disk: files by the artifact's digest, and which name and version stands for which.

    MODEL_CACHE_DIR/artifacts/
        files/DIGEST/...                           a checkpoint, and its activation ranges if it has such
        names/ENTITY/PROJECT/NAME/VERSION.json     what the version, or the alias when last asked, stands for
        partial/EXPIRY-.../                        downloads under way

What lies in `files` came there whole, by a rename; it is verified whenever it is taken.
"""

import base64
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import xxhash
from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.artifact_names import ArtifactName
from inference.errors import WeightsError

HASHES: dict[str, Callable[[], Any]] = {"MD5": hashlib.md5, "XXH128": xxhash.xxh128}
FileName = Annotated[str, Field(pattern=r"^[^/\\]+$")]


class ArtifactFile(BaseModel):
    """One file of an artifact, as the manifest lists it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    size: int
    digest: str  # base64
    algorithm: Literal["MD5", "XXH128"] = "MD5"

    def fault_of(self, path: Path) -> str | None:
        """Say what is wrong with a file that should have this content, or None."""
        try:
            size = path.stat().st_size
            if size != self.size:
                return f"it has {size} bytes, and {self.size} are listed"
            with path.open("rb") as file:
                digest = base64.b64encode(hashlib.file_digest(file, HASHES[self.algorithm]).digest()).decode()
        except OSError as error:
            return error.strerror or str(error)
        if digest != self.digest:
            return f"its {self.algorithm} is {digest}, and {self.digest} is listed"
        return None


class Artifact(BaseModel):
    """What an artifact's name stands for: a version, its digest, and those of its files that are used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # entity/project/name:vN
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
    files: Annotated[tuple[ArtifactFile, ...], Field(min_length=1)]  # the checkpoint first
    out_of_fold_dice: float | None = None
    out_of_fold_patients: int | None = None

    @property
    def size(self) -> int:
        """Return the number of bytes of its files."""
        return sum(file.size for file in self.files)


class ArtifactCache:
    """The folder that downloaded artifacts are kept in."""

    def __init__(self, model_cache_dir: Path) -> None:
        self.folder = model_cache_dir.resolve() / "artifacts"

    def find(self, name: ArtifactName) -> Artifact | None:
        """Return what a name stands for, or stood for when it was last asked, where its files are intact."""
        try:
            artifact = Artifact.model_validate_json(self._record(name).read_text())
        except (OSError, ValidationError):
            return None
        return artifact if self.holds(artifact) else None

    def holds(self, artifact: Artifact) -> bool:
        """Say whether all files of an artifact are here, and as its manifest lists them."""
        for file in artifact.files:
            path = self._folder(artifact) / file.name
            if not path.exists():
                return False
            fault = file.fault_of(path)
            if fault is not None:
                logger.warning("{} is damaged and not used: {}", path, fault)
                return False
        return True

    def checkpoint(self, artifact: Artifact) -> Path:
        """Return where an artifact's checkpoint is."""
        return self._folder(artifact) / artifact.files[0].name

    def keep(self, artifact: Artifact, downloaded: Path) -> None:
        """Take an artifact's files over from the folder that they were downloaded to.

        Raises `WeightsError` where one is not as the manifest lists it; then none is taken.
        """
        for file in artifact.files:
            fault = file.fault_of(downloaded / file.name)
            if fault is not None:
                raise WeightsError(
                    f"the file {file.name} of the artifact {artifact.name} arrived damaged ({fault}): start "
                    "again, and publish the artifact anew if that does not help"
                )
        folder = self._folder(artifact)
        folder.mkdir(parents=True, exist_ok=True)
        for file in artifact.files:
            (downloaded / file.name).replace(folder / file.name)

    def note(self, name: ArtifactName, artifact: Artifact) -> None:
        """Remember what a name stands for."""
        path = self._record(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".partial", delete=False) as file:
            file.write(artifact.model_dump_json(indent=1) + "\n")
        Path(file.name).replace(path)

    @contextmanager
    def scratch(self, seconds: float) -> Iterator[Path]:
        """Make a folder for one download, and remove it again; it is in nobody's use after `seconds`."""
        partial = self.folder / "partial"
        partial.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=partial, prefix=f"{int(time.time() + seconds)}-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear_partial(self) -> None:
        """Remove what downloads left behind that were killed, and are past their deadline."""
        with suppress(OSError):
            for folder in (self.folder / "partial").iterdir():
                expiry = folder.name.partition("-")[0]
                if expiry.isdigit() and int(expiry) < time.time():
                    shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, artifact: Artifact) -> Path:
        return self.folder / "files" / artifact.digest

    def _record(self, name: ArtifactName) -> Path:
        folder = self.folder / "names" / name.entity / name.project / name.name
        return folder / f"{name.version}.json"
