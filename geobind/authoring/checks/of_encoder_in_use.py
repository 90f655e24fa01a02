"""What every encoder does in a run: it learns, is saved, moves to devices and workers, and refuses bad items."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

from geobind.authoring.checks.check import CheckFailed, check, require
from geobind.authoring.checks.subjects import EncoderSubject
from geobind.authoring.checks.tools.samples import (
    DIM,
    NEAR,
    apart,
    embed,
    global_seed,
    linear_head,
    prepare,
    require_same,
)
from geobind.authoring.checks.tools.spoil import require_refusal
from geobind.authoring.checks.tools.visit import digests, visit

if TYPE_CHECKING:
    from geobind.encoder import Encoder

STEPS = 30
"""Steps within which the loss has to fall."""
FALLEN = 0.8
"""Share of the first loss, and of what equal embeddings of all items would have, below which it has."""
CREATE = (
    "Register constant tensors as buffers, create others with device=x.device, and leave NumPy to preprocess,"
    " which in turn leaves parameters and buffers to forward."
)


@check(EncoderSubject)
def weights_follow_the_seed(subject: EncoderSubject) -> None:
    """Two builds under one seed of torch have equal weights, whatever the other global generators hold."""
    states = []
    for seed in (1, 2):
        with global_seed(seed):
            states.append(subject.build().state_dict())
    differ = [key for key, value in states[0].items() if not value.equal(states[1][key])]
    require(
        not differ,
        f"two builds under one seed differ in {_first(differ)}",
        "Draw weights from torch's global generator, or from one that is seeded by the config.",
    )


@check(EncoderSubject)
def gradients_reach_every_parameter(subject: EncoderSubject) -> None:
    """In training every parameter with requires_grad gets a gradient that is finite and not zero."""
    import torch

    encoder = subject.build().train()
    batch = encoder.collate(prepare(encoder, subject.items()))
    wanted = {name: parameter for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    if not wanted:
        return
    _shake(encoder)  # layers that begin at 0 hold back the gradient of those before them
    missing = list(wanted)
    for _ in range(3):  # a pass may drop whole layers
        encoder.zero_grad()
        out = encoder(batch)
        require(out.requires_grad, "forward gives no gradient", "Detach nothing, and leave no_grad to the caller.")
        (out * torch.randn_like(out)).sum().backward()
        spoilt = [name for name, p in wanted.items() if p.grad is not None and not bool(p.grad.isfinite().all())]
        require(not spoilt, f"NaN or infinity in the gradient of {_first(spoilt)}", "Look for roots and norms of 0.")
        missing = [name for name in missing if (found := wanted[name].grad) is None or not bool(found.any())]
        if not missing:
            return
    require(
        False,
        f"{len(missing)} of {len(wanted)} parameters get no gradient: {_first(missing)}",
        "Use them in forward, or set requires_grad=False for what does not learn.",
    )


@check(EncoderSubject)
def loss_falls(subject: EncoderSubject) -> None:
    """With a linear head it learns to tell 8 pairs apart: InfoNCE falls by a fifth within 30 steps."""
    import torch
    from torch.nn import functional as F

    from geobind.loss import Positives
    from geobind.space.heads import Tower

    encoder, items = subject.build(), subject.items()
    batch = encoder.collate(prepare(encoder, items))
    tower = Tower(encoder, linear_head(encoder)).train()
    for module in encoder.modules():  # Dropout, DropPath, DropStripes: noise that 30 steps do not average out
        if "drop" in type(module).__name__.lower():
            module.eval()
    targets = F.normalize(torch.randn(len(items), DIM), dim=1)
    ids = torch.arange(len(items))
    # A sharp temperature would first pull all embeddings together, for longer than 30 steps in some networks.
    loss = subject.plugins.loss({"type": "infonce", "temperature": 0.2}).build()
    groups = [
        {"params": [p for p in encoder.parameters() if p.requires_grad], "lr": 1e-3},
        {"params": [*tower.head.parameters(), *loss.parameters()], "lr": 3e-3},
    ]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.98))
    losses: list[float] = []
    equal = math.log(len(items))
    for _ in range(STEPS):
        value = loss(tower(batch), targets, Positives(ids, ids))
        losses.append(value.item())
        if sum(losses[-3:]) < 3 * FALLEN * min(losses[0], equal) and len(losses) > 3:
            return
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        loss.clamp()
    require(
        False,
        f"InfoNCE on {len(items)} pairs went from {losses[0]:.3g} to {losses[-1]:.3g} in {STEPS} steps;"
        f" embeddings that are all equal have {equal:.3g}",
        "Look at the scale of inputs and features, and at what training mode does to them.",
    )


@check(EncoderSubject)
def survives_safetensors(subject: EncoderSubject) -> None:
    """Saved as safetensors and filled into a new build with other random weights, it embeds the same."""
    import torch
    from safetensors.torch import load, save

    encoder, items = subject.build(), subject.items()
    _shake(encoder)
    with torch.no_grad():
        encoder(encoder.collate(prepare(encoder, items)))  # in training mode, which moves running statistics
    wanted = embed(encoder.eval(), items)
    state = {name: tensor.detach().contiguous() for name, tensor in encoder.state_dict().items()}
    try:
        saved = save(state)
    except (RuntimeError, ValueError) as error:
        raise CheckFailed(
            f"its state_dict cannot be saved as safetensors: {' '.join(str(error).split())[:300]}."
            " Let every tensor have its own memory: tie weights in forward, not by sharing parameters."
        ) from error
    other = subject.build(seed=1)
    try:
        other.load_state_dict(load(saved), strict=True)
    except RuntimeError as error:
        raise CheckFailed(
            f"a new build cannot be filled: {error}. Register the same tensors in every build."
        ) from error
    difference = apart(embed(other.eval(), items), wanted)
    require(
        difference <= NEAR,
        f"after saving and loading, embeddings differ by {difference:.2g} of the largest value",
        "Register what forward needs as a parameter or a persistent buffer, unless it follows from the config.",
    )


@check(EncoderSubject)
def moves_between_devices(subject: EncoderSubject) -> None:
    """Moved to another device it still prepares items on the CPU, and embeds batches on that device alone.

    On a GPU when there is one; else on a device that is made up, which holds what torch would find on a GPU: tensors
    of forward that were not created on their input's device, and NumPy on tensors of a device.
    """
    import torch

    from geobind.authoring.checks.tools.far import DeviceMix, FarTensor, far, move

    encoder, items = subject.build().eval(), subject.items(3)
    wanted = embed(encoder, items)
    real = torch.cuda.is_available()
    if real:
        encoder.to("cuda")
    else:
        move(encoder)
    try:
        with nullcontext() if real else far(), torch.no_grad():
            batch = encoder.collate(prepare(encoder, items))
            moved = [key for key, value in batch.items() if value.device.type != "cpu"]
            out = encoder({key: value.to("cuda") if real else FarTensor(value) for key, value in batch.items()})
    except DeviceMix as error:
        raise CheckFailed(f"{error}. {CREATE}") from error
    except NotImplementedError:
        if real:
            raise
        return  # something that the made-up device does not know
    require(
        not moved,
        f"a moved encoder prepared {_first(moved)} on its device",
        "Leave parameters and buffers to forward: items are prepared in other threads and processes.",
    )
    require(out.device.type != "cpu", "forward left its output on the CPU", "Return it on the device of the batch.")
    difference = apart(out.cpu() if real else out.near, wanted)
    require(
        difference <= 1e-2,
        f"on another device embeddings differ by {difference:.2g} of the largest value",
        "Look for what forward does by device.",
    )


@check(EncoderSubject)
def prepares_in_threads(subject: EncoderSubject) -> None:
    """Items that several threads preprocess at once are as those of one."""
    encoder, items = subject.build(), subject.items()
    wanted = prepare(encoder, items) * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda item: encoder.preprocess(item, train=False), items * 4))
    require_same(wanted, found, "in several threads", "Keep nothing of an item in the encoder while it is prepared.")


@check(EncoderSubject)
def pickles_to_workers(subject: EncoderSubject) -> None:
    """It can be sent to a worker process, and prepares the same items there."""
    encoder = subject.build()
    try:
        pickle.dumps(encoder)
    except Exception as error:
        raise CheckFailed(
            f"it cannot be pickled: {type(error).__name__}: {error}."
            " Define its class at the top of a module, and keep no lambdas, open files or locks in it."
        ) from error
    there, items = visit(subject), subject.items()
    for train, found in ((False, there.plain), (True, there.augmented)):
        fix = "Let pickling keep all that preprocess needs, and take every random number from the generator."
        require_same(prepare(encoder, items, train=train), found, f"in a worker process, with train={train}", fix)


@check(EncoderSubject)
def equals_itself_in_another_process(subject: EncoderSubject) -> None:
    """Built in a fresh process under the same seed it has the same weights, prepares and embeds the same."""
    there, encoder, items = visit(subject), subject.build().eval(), subject.items()
    require(
        there.description == encoder.describe_preprocessing(),
        f"describe_preprocessing() gave {there.description!r} in another process",
        "Sort what comes from a set: stored features would be taken for stale.",
    )
    require_same(
        prepare(encoder, items), there.samples, "in another process", "Use no hash(), id(), time or order of sets."
    )
    weights = digests(encoder)
    differ = [name for name in weights if weights[name] != there.weights.get(name)]
    require(
        not differ,
        f"under the same seed, {_first(differ)} differ in another process",
        "Draw weights from torch's generator alone; use no hash(), id() or order of sets.",
    )
    difference = apart(there.embeddings, embed(encoder, items))
    require(difference <= NEAR, f"in another process embeddings differ by {difference:.2g}", "Look for hidden state.")


@check(EncoderSubject)
def refuses_empty_items(subject: EncoderSubject) -> None:
    """An item without content (no rows, no pixels, a blank text) raises a DataError with a remedy."""
    require_refusal(subject, "empty")


@check(EncoderSubject)
def refuses_items_of_nan(subject: EncoderSubject) -> None:
    """An item whose numbers are all NaN raises a DataError with a remedy."""
    require_refusal(subject, "all_nan")


@check(EncoderSubject)
def refuses_a_single_nan(subject: EncoderSubject) -> None:
    """An item with one NaN raises a DataError with a remedy, unless NaN means that a value is missing (declare it)."""
    require_refusal(subject, "one_nan")


@check(EncoderSubject)
def refuses_a_single_infinity(subject: EncoderSubject) -> None:
    """An item with one infinite number raises a DataError with a remedy."""
    require_refusal(subject, "infinite")


@check(EncoderSubject)
def refuses_damaged_files(subject: EncoderSubject) -> None:
    """A file that is absent, empty or garbage raises a DataError with a remedy."""
    require_refusal(subject, "damaged")


@check(EncoderSubject)
def refuses_what_is_no_item(subject: EncoderSubject) -> None:
    """None, and an object of no known type, raise a DataError with a remedy."""
    require_refusal(subject, "other")


def _shake(encoder: Encoder) -> None:
    """Move every parameter by a little, so that none keeps the value it starts with."""
    import torch

    with torch.no_grad():
        for parameter in filter(torch.is_floating_point, encoder.parameters()):
            parameter.add_(0.02 * torch.randn_like(parameter))


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
