"""gs:// in a local folder: what `etils.epath` and orbax ask of a bucket, with a bucket's limits.

Nothing can be appended to, and there are no permissions. What this does not show is the network,
and the drivers of gcsfs and TensorStore, which talk to the real thing.
"""

import os

from etils.epath import backend, gpath
from orbax.checkpoint._src.path import gcs_utils

from ddgan_jax.io import storage

PREFIX = "gs://"


def local(root, path):
    path = os.fspath(path)
    return f"{root}/{path.removeprefix(PREFIX)}" if path.startswith(PREFIX) else path


def make_backend(root):
    """An epath backend whose gs://a/b is root/a/b."""

    def here(call):
        def on_local_paths(*args, **kwargs):
            paths = [local(root, a) if isinstance(a, str | os.PathLike) else a for a in args]
            return call(*paths, **kwargs)

        return on_local_paths

    disk = backend.os_backend

    def open_(path, mode):
        assert "a" not in mode and "+" not in mode, f"objects cannot be changed: {path}, {mode}"
        return disk.open(local(root, path), mode)

    def found(paths):
        return [PREFIX + str(path).removeprefix(f"{root}/") for path in paths]

    names = ("exists", "isdir", "listdir", "makedirs", "mkdir", "rmtree", "remove", "rename")
    calls = {name: staticmethod(here(getattr(disk, name))) for name in names}
    calls |= {name: staticmethod(here(getattr(disk, name))) for name in ("replace", "copy", "stat")}
    calls["open"] = staticmethod(open_)
    calls["glob"] = staticmethod(lambda path: found(disk.glob(local(root, path))))
    calls["walk"] = staticmethod(
        lambda top, **how: (
            (found([d])[0], *rest) for d, *rest in disk.walk(local(root, top), **how)
        )
    )
    return type("Bucket", (), calls)()


def install(monkeypatch, root):
    """Map gs:// to the folder `root` until the end of a test."""
    monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, "gs", make_backend(root))
    monkeypatch.setattr(storage, "_installed", lambda package: True)
    where = {"driver": "file"}
    monkeypatch.setattr(
        gcs_utils, "get_kvstore_for_gcs", lambda path: {**where, "path": local(root, path)}
    )
    monkeypatch.setattr(gcs_utils, "is_hierarchical_namespace_enabled", lambda path: False)
