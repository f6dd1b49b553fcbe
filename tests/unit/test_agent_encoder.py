"""The encoder in numpy: published similarities, recorded values, and what happens without it."""

import math
from pathlib import Path

import numpy as np
import pytest

from agent.encoder import DIM, MiniLmEncoder, erf, packaged_folder
from agent.linear_router import BUCKETS, LinearRouter
from twin.errors import InvalidInput, MissingExtra

needs_weights = pytest.mark.skipif(
    packaged_folder() is None, reason="the sentence encoder is not installed: `twin setup`"
)


@pytest.fixture(scope="module")
def encoder() -> MiniLmEncoder:
    return MiniLmEncoder()


def test_erf_is_as_exact_as_its_source_says() -> None:
    points = np.linspace(-5.0, 5.0, 2_001, dtype=np.float32)
    exact = np.array([math.erf(float(point)) for point in points])
    assert erf(points).dtype == np.float32
    assert float(np.abs(erf(points) - exact).max()) < 1e-6


@needs_weights
@pytest.mark.weights
def test_similarities_are_those_that_the_model_card_shows(encoder: MiniLmEncoder) -> None:
    # The example of the model's page: "That is a happy person" against three sentences.
    vectors = encoder.encode(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    )
    assert [round(float(vectors[0] @ other), 3) for other in vectors[1:]] == [0.695, 0.943, 0.257]


@needs_weights
@pytest.mark.weights
def test_rows_have_length_one_and_do_not_depend_on_their_neighbours(encoder: MiniLmEncoder) -> None:
    texts = ["load of cell alpha", "why", "compare site alpha with site beta in that time please"]
    together = encoder.encode(texts)
    assert together.shape == (3, DIM)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    for row, text in zip(together, texts, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], row, atol=2e-6)


@needs_weights
@pytest.mark.weights
def test_a_very_long_text_is_cut_and_an_empty_one_is_encoded(encoder: MiniLmEncoder) -> None:
    assert np.isfinite(encoder.encode(["load " * 5_000, ""])).all()


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="twin setup"):
        MiniLmEncoder(tmp_path)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not the model")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInput, match="SHA-256"):
        MiniLmEncoder(tmp_path)


def test_the_linear_router_needs_no_file_and_says_what_it_is() -> None:
    router = LinearRouter()
    rows = router.encode(["load of cell alpha", ""])
    assert rows.shape == (2, BUCKETS)
    assert float(np.linalg.norm(rows[0])) == pytest.approx(1.0, abs=1e-6)
    assert "twin setup" in router.name
