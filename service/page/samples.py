"""The phantoms that a visitor without a scan can look at."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "samples"
SAMPLES = {"phantom_1": "Phantom with lesions", "phantom_2": "Phantom without tumour"}


def present() -> dict[str, str]:
    """Return what the samples show, by name; a service without the folder has none."""
    return {name: shows for name, shows in SAMPLES.items() if path_of(name).is_file()}


def path_of(name: str) -> Path:
    """Return where a sample's PNG file lies."""
    return FOLDER / f"{name}.png"
