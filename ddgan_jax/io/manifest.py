"""The list of arrays in a saved checkpoint, read from its metadata and its key-value store."""

import json
from typing import Any

import tensorstore as ts
from etils import epath
from orbax.checkpoint._src.serialization import tensorstore_utils

TIMEOUT_SECONDS = 300  # to list the keys of one item


def missing_arrays(folder: epath.Path) -> list[str]:
    """Names of arrays that a checkpoint should have but that cannot be found in it.

    No array is read, so this is cheap: each item's `_METADATA` lists its arrays, and its key-value
    store (OCDBT) has the keys "NAME/.zarray" and "NAME/CHUNK" of each.

    Args:
      folder: of one checkpoint.

    Returns:
      "item: name" of each missing array.

    Raises:
      Exception: the metadata or the store cannot be read; of various kinds.
    """
    missing = []
    for item in sorted(folder.iterdir()):
        if not (item / "_METADATA").exists():
            continue
        metadata: dict[str, Any] = json.loads((item / "_METADATA").read_text())["tree_metadata"]
        keys = {key.decode() for key in _keys(item)}
        chunks = {key.rpartition("/")[0] for key in keys if not key.endswith("/.zarray")}
        for entry in metadata.values():
            if entry["value_metadata"].get("skip_deserialize"):  # an empty container
                continue
            if 0 in entry["value_metadata"].get("write_shape", ()):  # no chunks
                continue
            name = ".".join(key["key"] for key in entry["key_metadata"])
            if f"{name}/.zarray" not in keys or name not in chunks:
                missing.append(f"{item.name}: {name}")
    return missing


def _keys(item: epath.Path) -> list[bytes]:
    spec = tensorstore_utils.build_kvstore_tspec(item.as_posix(), use_ocdbt=True)
    context = tensorstore_utils.get_ts_context(use_ocdbt=True)
    store = ts.KvStore.open(ts.KvStore.Spec(spec), context=context).result(timeout=TIMEOUT_SECONDS)
    keys: list[bytes] = store.list().result(timeout=TIMEOUT_SECONDS)
    return keys
