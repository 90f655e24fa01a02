"""What every loss says of a batch: a finite number, whose gradients honour who belongs to whom.

Shapes: B rows of a batch, D dimensions of the space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobind.authoring.checks.check import CheckFailed, check, require
from geobind.authoring.checks.subjects import LossSubject
from geobind.authoring.checks.tools.batches import DIM, PAIRS, batch, gradients_of, loss_of, require_finite
from geobind.errors import GeobindError

if TYPE_CHECKING:
    from geobind.loss import Positives


@check(LossSubject)
def value_is_a_finite_number(subject: LossSubject) -> None:
    """The loss of a batch is one finite number."""
    import torch

    value = subject.build()(*batch())
    require(isinstance(value, torch.Tensor), f"it returns a {type(value).__name__}", "Return a scalar tensor.")
    require(value.shape == (), f"it has the shape {tuple(value.shape)}", "Return a scalar: take the mean.")
    require(value.is_floating_point(), f"it is of {value.dtype}", "Return a floating-point number.")
    require_finite(value, "the loss of 8 random pairs")


@check(LossSubject)
def one_pair_is_a_batch(subject: LossSubject) -> None:
    """The loss of a single pair and its gradients are finite."""
    value, gradients = gradients_of(subject.build(), *batch(1))
    require_finite(value, "the loss of a single pair")
    for gradient, side in zip(gradients, ("anchor", "modality"), strict=True):
        require_finite(gradient, f"the gradient of a single pair's {side}")


@check(LossSubject)
def gradients_reach_both_sides(subject: LossSubject) -> None:
    """Anchor and modality both receive a finite gradient that is not zero."""
    for gradient, side in zip(gradients_of(subject.build(), *batch())[1], ("anchor", "modality"), strict=True):
        require_finite(gradient, f"the gradient of the {side}")
        require(bool(gradient.any()), f"the {side} has no gradient", "Detach neither side: either of them may learn.")


@check(LossSubject)
def gradients_reach_every_parameter(subject: LossSubject) -> None:
    """Every parameter of its own that may learn receives a finite gradient."""
    loss = subject.build()
    loss_of(loss, *batch(learns=True)).backward()  # type: ignore[no-untyped-call]
    for name, parameter in loss.named_parameters():
        if not parameter.requires_grad:
            continue
        if (gradient := parameter.grad) is None:
            raise CheckFailed(f"`{name}` has no gradient. Use it in `forward`, or set requires_grad=False.")
        require_finite(gradient, f"the gradient of `{name}`")


@check(LossSubject)
def order_of_rows_does_not_matter(subject: LossSubject) -> None:
    """A batch has the same loss whatever the order of its rows."""
    import torch

    from geobind.loss import Positives

    anchor, modality, _ = batch()
    ids = torch.tensor([0, 0, 1, 2, 3, 3, 4, 5])
    order = torch.tensor([3, 0, 7, 5, 1, 6, 2, 4])
    one = loss_of(subject.build(), anchor, modality, Positives(ids, ids))
    other = loss_of(subject.build(), anchor[order], modality[order], Positives(ids[order], ids[order]))
    require(
        bool(torch.isclose(one, other, rtol=1e-4, atol=1e-5)),
        f"the same batch in another order of rows has {other.item():.6g} instead of {one.item():.6g}",
        "Sum or average over rows, and find positives by `positives` rather than by position.",
    )


@check(LossSubject)
def items_of_one_id_are_no_negatives(subject: LossSubject) -> None:
    """Two rows of one id are repelled less, or attract each other, compared with two rows of distinct ids."""
    import torch

    from geobind.loss import Positives

    distinct = torch.arange(PAIRS)
    shared = torch.tensor([0, 0, *range(2, PAIRS)])
    _require_less_repelled(
        subject, Positives(distinct, distinct), Positives(shared, shared), "two rows have the same id"
    )


@check(LossSubject)
def listed_pairs_are_no_negatives(subject: LossSubject) -> None:
    """An anchor is repelled less by an item, or drawn to it, when the two are listed as a pair."""
    import torch

    from geobind.loss import Positives

    ids = torch.arange(PAIRS)
    own = ids * PAIRS + ids
    more = torch.cat([own, torch.tensor([1])]).sort().values  # code 1: anchor 0 and item 1, but not anchor 1 and item 0
    alone, linked = Positives(ids, ids, own, PAIRS), Positives(ids, ids, more, PAIRS)
    _require_less_repelled(subject, alone, linked, "their pair is listed")


@check(LossSubject)
def repeats_itself(subject: LossSubject) -> None:
    """Two losses of one configuration, and one asked twice, give the same for the same batch."""
    loss = subject.build().eval()
    values = [loss_of(one, *batch()).item() for one in (loss, loss, subject.build().eval())]
    require(
        len(set(values)) == 1,
        f"the same batch has the losses {', '.join(f'{value:.6g}' for value in values)}",
        "Draw nothing at random in `forward`.",
    )


@check(LossSubject)
def nan_is_not_hidden(subject: LossSubject) -> None:
    """A batch with a NaN in it has no finite loss: training must notice."""
    for side in (0, 1):
        anchor, modality, positives = batch()
        (anchor, modality)[side][2, 3] = float("nan")
        try:
            value = loss_of(subject.build(), anchor, modality, positives)
        except GeobindError:
            continue
        require(
            not bool(value.isfinite()),
            f"a NaN among the {('anchors', 'items of the modality')[side]} gives the loss {value.item():.6g}",
            "Replace no NaN: a run stops at it and says where it came from.",
        )


def _require_less_repelled(subject: LossSubject, apart: Positives, together: Positives, when: str) -> None:
    """Anchor 0's loss must depend less, or more negatively, on its likeness to item 1 when the two belong together.

    The items are at right angles, so that a step of the anchor along item 1 changes its likeness to that item alone:
    the gradient along it is the derivative by that one similarity.
    """
    import torch

    anchor = batch()[0]
    modality = torch.eye(PAIRS, DIM)

    def pull(positives: Positives) -> float:
        return float(gradients_of(subject.build(), anchor, modality, positives)[1][0][0] @ modality[1])

    one, other = pull(apart), pull(together)
    require(
        other < one - 1e-6,
        f"an anchor is repelled by an item as much when {when} ({other:.3g}) as when not ({one:.3g})",
        "Take who belongs to whom from `positives` (`mean_of`, `count` or `mask()`), not from the diagonal.",
    )
