"""One W&B artifact, fetched in a process of its own: `python -m inference.wandb_download`.

The SDK retries for minutes, and its service can keep a process from ending. A process apart can be
ended at any time, and keeps the SDK out of the memory of the one that serves.
"""

import json
import os
import sys
from pathlib import Path


def fetch(name: str, cache_dir: Path) -> dict[str, str]:
    """Download an artifact into a folder of its digest; return `{"folder": path}` or `{"error": sentence}`.

    The key and the server are those of the environment; no run is created.
    """
    try:
        import wandb

        artifact = wandb.Api().artifact(name)
        folder = cache_dir / artifact.digest
        artifact.download(root=str(folder))
    except Exception as error:  # the SDK raises many types, its own and its transports'
        return {"error": str(error).strip().partition("\n")[0] or type(error).__name__}
    return {"folder": str(folder)}


def main(name: str, cache_dir: str, answer_file: str) -> None:
    """Fetch one artifact, write the answer as JSON, and end without the SDK's exit hooks."""
    answer = fetch(name, Path(cache_dir))
    Path(answer_file).write_text(json.dumps(answer))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
