"""Describes a prepared split in its `manifest.json`, which carries a checksum of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_tools.writing import durable
from data_tools.writing.durable import DataError
from data_tools.writing.npy_files import ArraySpec

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
REQUESTED = ("name", "source", "license", "generator")


def describe_request(
    about: Mapping[str, Any], generator: Mapping[str, Any], arrays: Mapping[str, ArraySpec], count: int | None
) -> dict[str, Any]:
    """Return everything that a split is asked for, as JSON values.

    Raises:
        DataError: A name of an array is no plain identifier, so that it could lead out of the split's folder.
    """
    if wrong := sorted(name for name in arrays if not (name.isascii() and name.isidentifier() and len(name) <= 64)):
        raise DataError(f"an array cannot be named {wrong[0]!r}: names must be plain identifiers")
    shapes = {key: {"dtype": spec.dtype, "item_shape": list(spec.shape)} for key, spec in arrays.items()}
    request = {**about, "generator": dict(generator), "count": count, "arrays": shapes}
    return dict(json.loads(json.dumps(request, allow_nan=False)))


def write_manifest(folder: Path, request: Mapping[str, Any], arrays: Mapping[str, ArraySpec], count: int) -> None:
    """Write the manifest of a folder whose arrays are sealed, with the checksums of all and of itself."""
    entries = {
        key: {"dtype": spec.dtype, "shape": [count, *spec.shape], "sha256": durable.sha256(folder / f"{key}.npy")}
        for key, spec in arrays.items()
    }
    content = {"format_version": FORMAT_VERSION} | dict(request) | {"count": count, "arrays": entries}
    durable.write_json(folder / MANIFEST, content | {"digest": _digest(content)})


def was_made_by(manifest: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Return whether a manifest is that of a request; any count will do if the request has none."""
    made = {key: manifest.get(key) for key in REQUESTED}
    try:
        made["count"] = manifest["count"] if request["count"] is not None else None
        made["arrays"] = {
            key: {"dtype": entry["dtype"], "item_shape": entry["shape"][1:]}
            for key, entry in manifest["arrays"].items()
        }
    except (KeyError, TypeError, AttributeError):
        return False
    return made == request and type(manifest["count"]) is int


def is_whole(folder: Path, manifest: Mapping[str, Any], arrays: Mapping[str, ArraySpec]) -> bool:
    """Return whether a manifest is undamaged and every array is there with its header and size; reads no checksum."""
    undamaged = manifest.get("format_version") == 1 or manifest.get("digest") == _digest(manifest)
    return undamaged and all(spec.fits(folder / f"{key}.npy", manifest["count"]) for key, spec in arrays.items())


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return what `slotnorm.data` calls the digest, which does not depend on the version of the format."""
    data = {key: value for key, value in manifest.items() if key != "digest"} | {"format_version": 1}
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
