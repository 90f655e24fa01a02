"""What every loss does in training: it falls, pulls pairs together, stays in bounds, and can be kept.

Shapes: B rows of a batch, D dimensions of the space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from geobind.authoring.checks.check import CheckFailed, check, require
from geobind.authoring.checks.subjects import LossSubject
from geobind.authoring.checks.tools.batches import DIM, PAIRS, batch, loss_of, require_finite

if TYPE_CHECKING:
    from torch import Tensor

    from geobind.loss import Loss

STEPS = 30
"""Steps of an optimiser in which a loss must have fallen."""


class Course(NamedTuple):
    """A loss that was minimised over 8 pairs that move freely on the sphere, and what became of it."""

    loss: Loss
    values: list[float]
    """Of every step."""
    before: float
    """How much more alike pairs were than others (mean cosines) before the first step …"""
    after: float
    """… and after the last."""


@check(LossSubject)
def falls_on_eight_pairs(subject: LossSubject) -> None:
    """It falls in 30 steps in which 8 pairs of embeddings move freely."""
    values = _learnt(subject).values
    require(
        values[-1] < values[0] - 0.01 * abs(values[0]),
        f"it went from {values[0]:.4g} to {values[-1]:.4g} in {STEPS} steps over 8 free pairs",
        "It must fall when it is minimised.",
    )


@check(LossSubject)
def pulls_pairs_together(subject: LossSubject) -> None:
    """After those steps pairs are more alike, compared with what does not belong together, than before."""
    _, _, before, after = _learnt(subject)
    require(
        after > before + 0.1,
        f"pairs were {before:+.3f} more alike than others (cosine) before {STEPS} steps, and {after:+.3f} after them",
        "Has a sign been lost? A lower loss must mean that anchor i is nearer to item i than to the others.",
    )


@check(LossSubject)
def report_holds_finite_numbers(subject: LossSubject) -> None:
    """`report` gives finite floats by name."""
    report = subject.build().report()
    require(isinstance(report, dict), f"it returns a {type(report).__name__}", "Return a dict of floats.")
    for name, value in report.items():
        fix = "Give floats: `.item()` of a tensor."
        require(isinstance(name, str) and type(value) is float, f"{name!r} is a {type(value).__name__}", fix)
        require(abs(value) < float("inf"), f"{name!r} is {value}", fix)


@check(LossSubject)
def clamp_brings_it_back(subject: LossSubject) -> None:
    """However far its parameters went, the loss is finite after `clamp`."""
    import torch

    for far in (1e4, -1e4):
        loss = subject.build()
        with torch.no_grad():
            for parameter in loss.parameters():
                parameter.fill_(far)
        loss.clamp()
        require_finite(
            loss_of(loss, *batch()), f"the loss after parameters of {far:g} and `clamp`", "Bound them in `clamp`."
        )


@check(LossSubject)
def survives_safetensors(subject: LossSubject) -> None:
    """Its state can be written as safetensors and read into a new one, which then is the same loss."""
    import torch
    from safetensors.torch import load, save

    loss = _learnt(subject).loss
    copy = subject.build()
    copy.load_state_dict(load(save({name: tensor.contiguous() for name, tensor in loss.state_dict().items()})))
    one, other = loss_of(loss, *batch()), loss_of(copy, *batch())
    require(
        torch.equal(one, other),
        f"after training it gives {one.item():.6g}, and read from its saved state {other.item():.6g}",
        "Keep what it learns in parameters or buffers.",
    )


@check(LossSubject)
def terms_of_items_are_their_own(subject: LossSubject) -> None:
    """With teachers: each item's term is finite, depends on its own item alone, and reaches student and parameters.

    Student and teachers have made-up features on grids of 4 × 4. A loss without teachers has no such terms.
    """
    import torch

    loss = subject.build()
    names = list(loss.teachers)
    if not names:
        return
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(PAIRS, 16, DIM, generator=generator, requires_grad=True)
    taught = {name: torch.randn(PAIRS, 16, DIM, generator=generator) for name in names}
    batch = {"item": torch.zeros(PAIRS)}

    def terms(rows: slice) -> Tensor:
        part = {name: seen[rows] for name, seen in taught.items()}
        return loss.of_items(tokens[rows], {"item": batch["item"][rows]}, part)

    loss.meet(tokens[:1].detach(), {"item": batch["item"][:1]}, {name: seen[:1] for name, seen in taught.items()})
    own = {id(parameter) for parameter in loss.parameters()}
    frozen = not own & {id(parameter) for teacher in loss.teachers.values() for parameter in teacher.parameters()}
    require(frozen, "its parameters hold a teacher's, which would learn", "Keep teachers out of its modules.")
    together = terms(slice(None))
    require(together.shape == (PAIRS,), f"the terms of {PAIRS} items are {list(together.shape)}", "Return one of each.")
    require_finite(together, "a term of an item")
    alone = torch.cat([terms(slice(row, row + 1)) for row in range(PAIRS)])
    require(
        bool(torch.isclose(alone, together, rtol=1e-4, atol=1e-5).all()),
        "items alone have other terms than in one batch",
        "Let a term depend on its own item: batches are cut into micro-batches and shared by processes.",
    )
    before = {name for name, _ in subject.build().named_parameters()}
    together.sum().backward()  # type: ignore[no-untyped-call]
    new = {f"`{name}`": p for name, p in loss.named_parameters() if name not in before and p.requires_grad}
    for name, tensor in {"the student": tokens, **new}.items():
        if tensor.grad is None:
            raise CheckFailed(f"{name} has no gradient from the terms of items. Detach nothing but the teachers.")
        require_finite(tensor.grad, f"the gradient of {name} from the terms of items")


def _learnt(subject: LossSubject) -> Course:
    """Minimise the loss for a few steps."""
    import torch
    from torch.nn.functional import normalize

    anchor, modality, positives = batch(learns=True)
    loss = subject.build()
    optimiser = torch.optim.Adam(
        [{"params": [anchor, modality], "lr": 0.1}, {"params": list(loss.parameters()), "lr": 0.01}]
    )
    before, values = _margin(anchor, modality), []
    for _ in range(STEPS):
        found = loss_of(loss, normalize(anchor), normalize(modality), positives)
        optimiser.zero_grad()
        found.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        loss.clamp()
        values.append(found.item())
    return Course(loss, values, before, _margin(anchor, modality))


def _margin(anchor: Tensor, modality: Tensor) -> float:
    """How much larger the mean cosine of pairs is than that of all others."""
    from torch.nn.functional import normalize

    cosines = (normalize(anchor) @ normalize(modality).T).detach()
    return float(cosines.diagonal().mean() - (cosines.sum() - cosines.trace()) / (PAIRS * (PAIRS - 1)))
