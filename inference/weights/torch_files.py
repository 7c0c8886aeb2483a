"""What a file of PyTorch's says beside its tensors, read without PyTorch and without running anything."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

PICKLE = "data.pkl"


class _Anything:
    """Stands for any object that is not plain data: it takes what a pickle does to it, and keeps nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Anything":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> "_Anything":
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def add(self, _: Any) -> None: ...


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain data; whatever a pickle wants imported and called is replaced by `_Anything`."""

    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _Anything

    def persistent_load(self, _: Any) -> None:
        return None


def read_plain_entries(path: Path) -> dict[str, Any]:
    """Return the strings and numbers of the dictionary that `torch.save` wrote to a file, by their keys.

    Empty where the file holds something else: what its tensors are worth is seen when they are loaded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (member,) = [name for name in archive.namelist() if name.split("/")[1:] == [PICKLE]]
            with archive.open(member) as file:
                content = _PlainUnpickler(file).load()
    except Exception:  # a pickle can be damaged in as many ways as it has instructions
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str | int | float)}
