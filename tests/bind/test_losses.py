"""The losses against open_clip's, and against dense ones that hold the whole matrix and its targets."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geobind.bind import similarity
from geobind.bind.losses import InfoNCE, SigLIP
from geobind.bind.similarity import log_partition, log_partitions, softplus_sum
from geobind.builtin import InfoNCEConfig, SigLIPConfig
from geobind.loss import Positives

DIRECTIONS = ("both", "anchor_to_modality", "modality_to_anchor")
BATCH, DIM = 23, 8
EXACT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(params=["one row", "five rows", "all at once", "kept in blocks"])
def blocks(request, monkeypatch):
    """Every way of going through the matrix; the default is to keep one this small."""
    rows, kept = {
        "one row": (1, 0),
        "five rows": (5, 0),
        "all at once": (BATCH, 0),
        "kept in blocks": (4, 2**20),
    }[request.param]
    monkeypatch.setattr(similarity, "ROWS", rows)
    monkeypatch.setattr(similarity, "KEPT_BYTES", kept)


def unit(n=BATCH, dtype=torch.float64, seed=0):
    z = torch.randn(n, DIM, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return F.normalize(z, dim=1).requires_grad_()


def batch(dtype=torch.float64):
    return unit(dtype=dtype, seed=1), unit(dtype=dtype, seed=2)


def one_to_one(n=BATCH):
    return Positives(torch.arange(n), torch.arange(n))


def by_id():
    ids = torch.randint(0, 9, (BATCH,), generator=torch.Generator().manual_seed(3))
    return Positives(ids, ids)


def listed():
    """Edges of a batch whose anchors and items recur, among many edges of other batches."""
    generator = torch.Generator().manual_seed(4)
    edges = torch.unique(torch.randint(0, 12 * 15, (90,), generator=generator))
    drawn = edges[torch.randint(0, len(edges), (BATCH,), generator=generator)]
    return Positives(drawn // 15, drawn % 15, edges, 15)


POSITIVES = {"one to one": one_to_one, "by id": by_id, "listed": listed}


def gradients(loss, value, *z):
    parameters = [p for p in loss.parameters() if p.requires_grad]
    return torch.autograd.grad(value, [x for x in (*z, *parameters) if x.requires_grad])


def dense_infonce(loss, anchor, modality, mask, *, direction="both", smoothing=0.0, past=((), ())):
    """Cross-entropy with explicit targets; ``past`` are embeddings and mask that anchors ask, and that items ask."""
    terms = []
    for asks, queries, keys, positive, old in (
        ("anchor_to_modality", anchor, modality, mask, past[0]),
        ("modality_to_anchor", modality, anchor, mask.T, past[1]),
    ):
        if direction not in (asks, "both"):
            continue
        logits = loss.log_scale.exp() * queries @ keys.T
        target = positive.to(logits.dtype)
        candidate = torch.ones_like(positive)
        if old:
            logits = torch.cat([logits, loss.log_scale.exp() * queries @ old[0].T], dim=1)
            target = torch.cat([target, torch.zeros_like(old[1], dtype=target.dtype)], dim=1)
            candidate = torch.cat([candidate, ~old[1]], dim=1)
        target = (1 - smoothing) * target / target.sum(1, keepdim=True)
        target = target + smoothing * candidate.to(logits.dtype) / candidate.sum(1, keepdim=True)
        log_p = logits.masked_fill(~candidate, -torch.inf).log_softmax(1).masked_fill(~candidate, 0)
        terms.append(-(target * log_p).sum(1).mean())
    return torch.stack(terms).mean()


def dense_siglip(loss, anchor, modality, mask):
    logits = loss.log_scale.exp() * anchor @ modality.T + loss.bias
    return -F.logsigmoid((mask.to(logits.dtype) * 2 - 1) * logits).sum() / len(anchor)


# -- against open_clip ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tight"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("temperature", [0.07, 0.01])
def test_infonce_is_open_clips(dtype, tight, temperature):
    theirs = pytest.importorskip("open_clip.loss").ClipLoss()
    loss = InfoNCE(InfoNCEConfig(temperature=temperature)).to(dtype)
    anchor, modality = batch(dtype)
    value = loss(anchor, modality, one_to_one())
    expected = theirs(anchor, modality, loss.log_scale.exp())
    torch.testing.assert_close(value, expected, rtol=tight, atol=tight)
    for found, wanted in zip(
        gradients(loss, value, anchor, modality), gradients(loss, expected, anchor, modality), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=10 * tight, atol=tight)


@pytest.mark.parametrize(("dtype", "tight"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("bias", [-10.0, 0.0])
def test_siglip_is_open_clips(dtype, tight, bias):
    theirs = pytest.importorskip("open_clip.loss").SigLipLoss()
    loss = SigLIP(SigLIPConfig(bias=bias)).to(dtype)
    anchor, modality = batch(dtype)
    value = loss(anchor, modality, one_to_one())
    expected = theirs(anchor, modality, loss.log_scale.exp(), loss.bias)
    torch.testing.assert_close(value, expected, rtol=tight, atol=tight)
    for found, wanted in zip(
        gradients(loss, value, anchor, modality), gradients(loss, expected, anchor, modality), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=10 * tight, atol=tight)


# -- against dense ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("make", POSITIVES.values(), ids=POSITIVES)
def test_infonce_is_the_dense_one(blocks, make, direction, smoothing):
    loss = InfoNCE(InfoNCEConfig(direction=direction, label_smoothing=smoothing)).double()
    anchor, modality = batch()
    positives = make()
    value = loss(anchor, modality, positives)
    expected = dense_infonce(loss, anchor, modality, positives.mask(), direction=direction, smoothing=smoothing)
    torch.testing.assert_close(value, expected, **EXACT)
    for found, wanted in zip(
        gradients(loss, value, anchor, modality), gradients(loss, expected, anchor, modality), strict=True
    ):
        torch.testing.assert_close(found, wanted, **EXACT)


@pytest.mark.parametrize("make", POSITIVES.values(), ids=POSITIVES)
def test_siglip_is_the_dense_one(blocks, make):
    loss = SigLIP(SigLIPConfig(bias=-3.0)).double()
    anchor, modality = batch()
    positives = make()
    value, expected = loss(anchor, modality, positives), dense_siglip(loss, anchor, modality, positives.mask())
    torch.testing.assert_close(value, expected, **EXACT)
    for found, wanted in zip(
        gradients(loss, value, anchor, modality), gradients(loss, expected, anchor, modality), strict=True
    ):
        torch.testing.assert_close(found, wanted, **EXACT)


@pytest.mark.parametrize("frozen", ["anchor", "modality", "both"])
@pytest.mark.parametrize("build", [lambda: InfoNCE(InfoNCEConfig()), lambda: SigLIP(SigLIPConfig())])
def test_a_frozen_side_changes_no_other_gradient(build, frozen):
    loss = build().double()
    anchor, modality = batch()
    names = ["anchor", "modality", *(name for name, _ in loss.named_parameters())]
    whole = dict(zip(names, gradients(loss, loss(anchor, modality, by_id()), anchor, modality), strict=True))
    kept = [
        z.detach().requires_grad_(frozen not in (name, "both"))
        for name, z in zip(names, (anchor, modality), strict=False)
    ]
    learning = [name for name in names if frozen not in (name, "both") or name not in ("anchor", "modality")]
    found = gradients(loss, loss(*kept, by_id()), *kept)
    for name, gradient in zip(learning, found, strict=True):
        torch.testing.assert_close(gradient, whole[name], **EXACT)


def test_a_graph_can_be_walked_twice(blocks):
    for loss in (InfoNCE(InfoNCEConfig()).double(), SigLIP(SigLIPConfig()).double()):
        anchor, modality = batch()
        value = loss(anchor, modality, one_to_one())
        first = torch.autograd.grad(value, (anchor, modality), retain_graph=True)
        for once, again in zip(first, torch.autograd.grad(value, (anchor, modality)), strict=True):
            torch.testing.assert_close(once, again, **EXACT)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.numel = max(
            self.numel, *(x.untyped_storage().size() // 4 for x in tree_leaves(out) if torch.is_tensor(x)), 0
        )
        return out


@pytest.mark.parametrize("build", [lambda: InfoNCE(InfoNCEConfig(queue=500)), lambda: SigLIP(SigLIPConfig())])
@pytest.mark.parametrize("edges", [False, True], ids=["by id", "listed"])
def test_the_matrix_is_never_whole(monkeypatch, build, edges):
    monkeypatch.setattr(similarity, "ROWS", 16)
    monkeypatch.setattr(similarity, "KEPT_BYTES", 2**16)
    loss, ids = build(), torch.arange(1000)
    positives = Positives(ids, ids, ids * 1000 + ids, 1000) if edges else Positives(ids, ids)
    with Largest() as largest:
        for seed in (1, 2):  # the second batch meets the queue
            a, b = unit(1000, torch.float32, seed), unit(1000, torch.float32, seed + 2)
            loss(a, b, positives).backward()
    assert largest.numel < 1000 * 1000 / 20


def test_without_gradient(blocks):
    for loss in (InfoNCE(InfoNCEConfig()).double(), SigLIP(SigLIPConfig()).double()):
        value = loss(*batch(), by_id())
        with torch.inference_mode():
            torch.testing.assert_close(loss(*(z.detach() for z in batch()), by_id()), value.detach(), **EXACT)


# -- the functions ----------------------------------------------------------------------------------------------------


def test_gradcheck(blocks):
    q, k = unit(5, seed=1), unit(4, seed=2)
    bias = torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)
    known = Positives(torch.tensor([0, 1, 1, 2, 3]), torch.tensor([1, 1, 1, 1]))  # two queries have no key left
    other = Positives(torch.tensor([0, 1, 1, 2, 3]), torch.tensor([1, 2, 4, 5]))
    assert torch.autograd.gradcheck(log_partitions, (3 * q, k))
    assert torch.autograd.gradcheck(lambda q, k: log_partition(q, k), (3 * q, k))
    assert torch.autograd.gradcheck(lambda q, k: log_partition(q, k, other), (3 * q, k))
    assert torch.autograd.gradcheck(lambda q, k: log_partition(q, k, known)[[0, 3, 4]], (3 * q, k))
    assert torch.autograd.gradcheck(softplus_sum, (3 * q, k, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-300.0, -100.0, 0.0, 100.0, 300.0])
def test_logits_of_any_size(dtype, logit):
    q, k = torch.ones(3, 1, dtype=dtype), torch.full((5, 1), logit, dtype=dtype)
    rows, columns = log_partitions(q, k)
    torch.testing.assert_close(rows, torch.full((3,), logit + math.log(5), dtype=dtype))
    torch.testing.assert_close(columns, torch.full((5,), logit + math.log(3), dtype=dtype))
    torch.testing.assert_close(log_partition(q, k), rows)
    expected = 15 * F.softplus(torch.tensor(logit, dtype=torch.float64)).to(dtype)
    torch.testing.assert_close(softplus_sum(q, k, torch.zeros((), dtype=dtype)), expected)


def test_gradients_vanish_where_everything_is_found(blocks):
    """At scale 100 an error of 1e-7 in a probability would be a gradient of 1e-5, and Adam would follow it."""
    anchor, modality = torch.eye(BATCH).requires_grad_(), torch.eye(BATCH).requires_grad_()
    loss = InfoNCE(InfoNCEConfig(temperature=0.01))
    value = loss(anchor, modality, one_to_one())
    assert abs(value.item()) < 1e-5
    assert all(gradient.abs().max() < 1e-30 for gradient in gradients(loss, value, anchor, modality)[:2])


@pytest.mark.parametrize("cosine", [-1.0, 1.0])
def test_scale_100_with_all_cosines_alike(cosine):
    anchor = F.normalize(torch.ones(BATCH, DIM), dim=1).requires_grad_()
    modality = (cosine * anchor).detach().requires_grad_()
    loss = InfoNCE(InfoNCEConfig(temperature=0.01))
    value = loss(anchor, modality, one_to_one())
    assert value.item() == pytest.approx(math.log(BATCH), rel=1e-5)
    assert all(gradient.isfinite().all() for gradient in gradients(loss, value, anchor, modality))


def test_scale_100_with_rows_far_apart(blocks):
    """One query whose keys are all opposite, one key opposite to all: nothing of theirs may underflow."""
    anchor, modality = (z.detach().float() for z in batch())
    anchor[0], modality[:] = -modality.mean(0), F.normalize(modality + 2 * modality.mean(0), dim=1)
    modality[1] = -F.normalize(anchor.mean(0), dim=0)
    anchor, modality = F.normalize(anchor, dim=1).requires_grad_(), modality.requires_grad_()
    loss = InfoNCE(InfoNCEConfig(temperature=0.01))
    value = loss(anchor, modality, by_id())
    exact = copy.deepcopy(loss).double()
    doubles = anchor.detach().double().requires_grad_(), modality.detach().double().requires_grad_()
    expected = dense_infonce(exact, *doubles, by_id().mask())
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)
    for found, wanted in zip(
        gradients(loss, value, anchor, modality), gradients(exact, expected, *doubles), strict=True
    ):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-4)


def test_many_distant_pairs_add_up():
    """Terms of 2e-9 each: 1 + e would round them all away."""
    q, k = torch.ones(500, 1), torch.zeros(400, 1)
    total = softplus_sum(q, k, torch.tensor(-20.0))
    assert total.item() == pytest.approx(500 * 400 * math.log1p(math.exp(-20.0)), rel=1e-4)


# -- the queue --------------------------------------------------------------------------------------------------------


def steps(make, count=4, sizes=(BATCH, BATCH, 9, BATCH)):
    """Batches of a few steps, the third one incomplete."""
    whole = make()
    for step, size in zip(range(count), sizes, strict=False):
        order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(step))[:size]
        yield (
            unit(size, seed=10 + step),
            unit(size, seed=20 + step),
            Positives(whole.a[order], whole.b[order], whole.edges, whole.width),
        )


@pytest.mark.parametrize("size", [5, BATCH, 40, 1000])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("make", POSITIVES.values(), ids=POSITIVES)
def test_queue_is_more_candidates(monkeypatch, make, direction, size):
    monkeypatch.setattr(similarity, "ROWS", 7)
    monkeypatch.setattr(similarity, "KEPT_BYTES", 10 * BATCH * 8)
    loss = InfoNCE(InfoNCEConfig(queue=size, direction=direction, label_smoothing=0.1)).double()
    old_a = old_b = torch.empty(0, DIM, dtype=torch.float64)
    ids_a = ids_b = torch.empty(0, dtype=torch.int64)
    for anchor, modality, positives in steps(make):
        past = (
            (old_b, Positives(positives.a, ids_b, positives.edges, positives.width).mask()) if len(ids_b) else (),
            (old_a, Positives(ids_a, positives.b, positives.edges, positives.width).mask().T) if len(ids_a) else (),
        )
        value = loss(anchor, modality, positives)
        expected = dense_infonce(
            loss, anchor, modality, positives.mask(), direction=direction, smoothing=0.1, past=past
        )
        torch.testing.assert_close(value, expected, **EXACT)
        for found, wanted in zip(
            gradients(loss, value, anchor, modality), gradients(loss, expected, anchor, modality), strict=True
        ):
            torch.testing.assert_close(found, wanted, **EXACT)
        old_a, old_b = torch.cat([old_a, anchor.detach()])[-size:], torch.cat([old_b, modality.detach()])[-size:]
        ids_a, ids_b = torch.cat([ids_a, positives.a])[-size:], torch.cat([ids_b, positives.b])[-size:]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_queue_holds_values_of_the_sides_that_are_asked(direction):
    loss = InfoNCE(InfoNCEConfig(queue=30, direction=direction)).double()
    for anchor, modality, positives in steps(one_to_one):
        loss(anchor, modality, positives).backward()
    held = {name.split(".")[0] for name, _ in loss.named_buffers()}
    assert held == {
        name
        for name, direction_without in (("past_anchors", DIRECTIONS[1]), ("past_modality", DIRECTIONS[2]))
        if direction != direction_without
    }
    for name, buffer in loss.named_buffers():
        assert len(buffer) == 30
        assert not buffer.requires_grad and buffer.grad_fn is None
        assert buffer.untyped_storage().nbytes() == buffer.numel() * buffer.element_size(), name


@pytest.mark.parametrize("trained", [0, 1, 3])
def test_a_fresh_loss_takes_on_the_state_of_a_used_one(tmp_path, trained):
    config = InfoNCEConfig(queue=50)
    used, fresh = InfoNCE(config).double(), InfoNCE(config).double()
    for anchor, modality, positives in steps(by_id, trained):
        used(anchor, modality, positives)
    torch.save(used.state_dict(), tmp_path / "loss.pt")
    fresh.load_state_dict(torch.load(tmp_path / "loss.pt", weights_only=True))
    for anchor, modality, positives in steps(by_id):
        assert torch.equal(used(anchor, modality, positives), fresh(anchor, modality, positives))
    fresh.load_state_dict(torch.load(tmp_path / "loss.pt", weights_only=True))  # back to an earlier state
    assert len(fresh.past_anchors) == min(50, BATCH * trained if trained < 3 else 2 * BATCH + 9)


def test_a_state_without_the_queue_is_refused():
    with pytest.raises(RuntimeError, match="past_anchors"):
        InfoNCE(InfoNCEConfig(queue=50)).load_state_dict(InfoNCE(InfoNCEConfig()).state_dict())


def test_evaluation_neither_uses_nor_changes_the_queue():
    loss, plain = InfoNCE(InfoNCEConfig(queue=50)).double(), InfoNCE(InfoNCEConfig()).double()
    anchor, modality = batch()
    loss(anchor, modality, one_to_one())
    before = {name: buffer.clone() for name, buffer in loss.named_buffers()}
    loss.eval()
    assert torch.equal(loss(anchor, modality, one_to_one()), plain(anchor, modality, one_to_one()))
    assert all(torch.equal(buffer, before[name]) for name, buffer in loss.named_buffers())


# -- scalars ----------------------------------------------------------------------------------------------------------


def test_scalars_are_reported_and_kept_in_range():
    infonce, siglip = InfoNCE(InfoNCEConfig(temperature=0.05)), SigLIP(SigLIPConfig(temperature=0.1, bias=-7.0))
    assert infonce.report() == {"temperature": pytest.approx(0.05)}
    assert siglip.report() == {"temperature": pytest.approx(0.1), "bias": -7.0}
    for loss in (infonce, siglip):
        loss.log_scale.data.fill_(9.0)
        loss.clamp()
        assert loss.report()["temperature"] == pytest.approx(0.01)
    assert not InfoNCE(InfoNCEConfig(learn_temperature=False)).log_scale.requires_grad
