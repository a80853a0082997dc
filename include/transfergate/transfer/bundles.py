"""Weights on disk: safetensors plus a JSON description, never pickle."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from safetensors.torch import load, save

from transfergate.errors import RegistryError
from transfergate.learning import Weights
from transfergate.storage import ArtefactStore


def weights_bytes(weights: Weights) -> bytes:
    """Serialise stacked weights; the same weights give the same bytes."""
    tensors = {name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
    return save(tensors)


def read_weights(store: ArtefactStore, key: str, expected_sha256: str | None = None) -> Weights:
    """Load stacked weights.

    Raises:
        RegistryError: If the object is missing, or its bytes are not those that were registered.
    """
    if not store.exists(key):
        raise RegistryError(
            f"{key}: no such weights below {store.location()}; train this version again"
        )
    content = store.read(key)
    found = sha256(content)
    if expected_sha256 is not None and found != expected_sha256:
        raise RegistryError(
            f"{key}: content changed since it was registered (expected sha256 {expected_sha256}, "
            f"found {found}); restore it from a backup or train this version again"
        )
    tensors: dict[str, torch.Tensor] = load(content)
    return tensors


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def read_bundle(store: ArtefactStore, ticker: str, version: str) -> dict[str, Any]:
    """Description of one model version.

    Raises:
        RegistryError: If there is no such version.
    """
    key = f"candidates/{ticker}/{version}/bundle.json"
    if not store.exists(key):
        raise RegistryError(
            f"{ticker}: no model version {version!r} below {store.location('candidates')}; "
            f"see `transfergate status` for the versions there are"
        )
    bundle: dict[str, Any] = store.read_json(key)
    return bundle
