"""The same figures from harnesses that are not ours, on the same embeddings."""

import numpy as np
import pytest
import torch
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from geobind.evaluate.scores import measured
from geobind.ranks import rank_both

KS = (1, 5, 10)


def unit(rng, n, dim=48):
    vectors = rng.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def captions(labelled):
    """400 images with one to five captions each; one hidden vector per image."""
    rng = np.random.default_rng(0)
    of_caption = np.sort(np.concatenate([np.arange(400), rng.integers(0, 400, 800)]))
    hidden = unit(rng, 400)
    images, texts = (
        (hidden[rows] + 1.5 * unit(rng, len(rows))).astype(np.float32) for rows in (np.arange(400), of_caption)
    )
    images, texts = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, texts))
    return images, texts, of_caption, labelled(np.arange(400), of_caption)


class Embedded(torch.nn.Module):
    """A model whose images and texts come embedded."""

    def encode_image(self, images):
        return images

    def encode_text(self, texts):
        return texts


def test_clip_benchmark_gives_the_same_recall(captions):
    zeroshot_retrieval = pytest.importorskip(
        "clip_benchmark.metrics.zeroshot_retrieval",
        reason="the outside harness is not installed: pip install --no-deps clip-benchmark",
    )
    images, texts, of_caption, pairs = captions
    loader = [
        (
            torch.from_numpy(images[first : first + 50]),
            [torch.from_numpy(texts[of_caption == image]) for image in range(first, first + 50)],
        )
        for first in range(0, 400, 50)
    ]
    found = zeroshot_retrieval.evaluate(Embedded(), loader, torch.stack, "cpu", amp=False, recall_k_list=KS)
    text_retrieval, image_retrieval = (measured(ranking, KS).recall for ranking in rank_both(images, texts, pairs))
    for k in KS:
        assert text_retrieval[k] == pytest.approx(found[f"text_retrieval_recall@{k}"], abs=1e-6)
        assert image_retrieval[k] == pytest.approx(found[f"image_retrieval_recall@{k}"], abs=1e-6)
    assert 0.1 < text_retrieval[1] < text_retrieval[10] < 0.99  # a comparison that could fail


def test_torchmetrics_gives_the_same_figures(captions):
    images, texts, of_caption, pairs = captions
    positive = of_caption[None, :] == np.arange(400)[:, None]
    for ranking, similarity, target in zip(
        rank_both(images, texts, pairs, ks=KS),
        (images @ texts.T, texts @ images.T),
        (positive, positive.T),
        strict=True,
    ):
        # Its average precision leaves out positives whose score is not above 0, so cosines are shifted.
        asked = {
            "preds": torch.from_numpy(similarity.ravel() + 2),
            "target": torch.from_numpy(target.ravel()),
            "indexes": torch.arange(len(similarity)).repeat_interleave(similarity.shape[1]),
        }
        scores = measured(ranking, KS)
        for k in KS:
            assert scores.recall[k] == pytest.approx(float(RetrievalHitRate(top_k=k)(**asked)), abs=1e-6)
            assert scores.ndcg[k] == pytest.approx(float(RetrievalNormalizedDCG(top_k=k)(**asked)), abs=1e-6)
            if (ranking.positives == 1).all():  # its recall is a share of the positives
                assert scores.recall[k] == pytest.approx(float(RetrievalRecall(top_k=k)(**asked)), abs=1e-6)
        assert scores.reciprocal_rank == pytest.approx(float(RetrievalMRR()(**asked)), abs=1e-6)
        assert scores.mean_average_precision == pytest.approx(float(RetrievalMAP()(**asked)), abs=1e-6)
