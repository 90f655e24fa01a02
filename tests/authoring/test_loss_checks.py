"""Each way in which a loss can be broken is told by the right check, and sound ones pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from geobind.authoring.checks.run import plan_checks
from geobind.authoring.checks.subjects import LossSubject
from geobind.plugins import get_plugins


def test_a_sound_loss_fails_nothing(failing):
    assert failing(LossSubject) == {}


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("infonce", {"direction": "anchor_to_modality"}),
        ("infonce", {"direction": "modality_to_anchor", "learn_temperature": False}),
        ("infonce", {"label_smoothing": 0.1, "queue": 16}),
        ("siglip", {"temperature": 0.05, "bias": -5.0}),
    ],
)
def test_the_cores_losses_fail_nothing_in_other_configurations(name, example):
    spec = next(spec for spec in get_plugins().record("core").specs if spec.name == name)
    subject = LossSubject(get_plugins(), get_plugins().record("core"), replace(spec, example=example))
    planned = [each for each in plan_checks("core") if each.subject.label == subject.label]
    outcomes = [replace(each, subject=subject).run() for each in planned]
    assert len(outcomes) > 10
    assert [outcome for outcome in outcomes if outcome.status != "passed"] == []


LOGITS = "logits = anchor @ modality.T * self.log_scale.exp()"
RESULT = "return -(rows.sum(1).mean() + columns.sum(0).mean()) / 2"
TARGETS = "targets = positives.mask().float()"
SCALE = "self.log_scale = torch.nn.Parameter(-torch.tensor(config.sharpness.temperature).log())"
MUTANTS = {
    "a loss for each row": (
        "value_is_a_finite_number",
        "it has the shape (8,)",
        (RESULT, RESULT.replace(".mean()", "")),
    ),
    "a mean over the others": (
        "one_pair_is_a_batch",
        "the loss of a single pair is not finite",
        (RESULT, f"{RESULT} / (len(anchor) - 1)"),
    ),
    "a side that is detached": (
        "gradients_reach_both_sides",
        "the modality has no gradient",
        (LOGITS, LOGITS.replace("modality", "modality.detach()")),
    ),
    "a parameter that is not used": (
        "gradients_reach_every_parameter",
        "`bias` has no gradient",
        (SCALE, f"{SCALE}\n            self.bias = torch.nn.Parameter(torch.zeros(()))"),
    ),
    "rows that count by their number": (
        "order_of_rows_does_not_matter",
        "in another order of rows",
        (RESULT, RESULT.replace("rows.sum(1)", "(rows.sum(1) * torch.arange(1, len(rows) + 1))")),
    ),
    "ids alone": (
        "listed_pairs_are_no_negatives",
        "when their pair is listed",
        (TARGETS, "targets = (positives.a[:, None] == positives.b).float()"),
    ),
    "pairs seen from the wrong side": (
        "listed_pairs_are_no_negatives",
        "when their pair is listed",
        (TARGETS, "targets = positives.mask().T.float()"),
    ),
    "the diagonal alone": (
        "items_of_one_id_are_no_negatives, listed_pairs_are_no_negatives",
        "when two rows have the same id",
        (TARGETS, "targets = torch.eye(len(anchor))"),
    ),
    "a sign that is lost": (
        "pulls_pairs_together, items_of_one_id_are_no_negatives, listed_pairs_are_no_negatives",
        "Has a sign been lost?",
        (LOGITS, LOGITS.replace("anchor @", "-anchor @")),
    ),
    "a loss that grows with every step": (
        "falls_on_eight_pairs",
        "in 30 steps over 8 free pairs",
        (
            SCALE,
            f"{SCALE}\n            self.register_buffer('steps', torch.zeros(()))",
            RESULT,
            f"self.steps += self.training\n            {RESULT} + self.steps",
        ),
    ),
    "a report of tensors": (
        "report_holds_finite_numbers",
        "'temperature' is a Tensor",
        ("(-self.log_scale).exp().item()", "(-self.log_scale).exp().detach()"),
    ),
    "a report of NaN": (
        "report_holds_finite_numbers",
        "'temperature' is nan",
        ("(-self.log_scale).exp().item()", 'float("nan")'),
    ),
    "a temperature without bounds": (
        "clamp_brings_it_back",
        "after parameters of 10000 and `clamp` is not finite",
        ("self.log_scale.clamp_(0, 4.6)", "pass"),
    ),
    "a state that is not kept": (
        "survives_safetensors",
        "and read from its saved state",
        (
            SCALE,
            f"{SCALE}\n            self.mean = 0.0",
            RESULT,
            f"self.mean += 0.1 * self.training * (logits.mean().item() - self.mean)\n            {RESULT} + self.mean",
        ),
    ),
    "chance": (
        "repeats_itself, survives_safetensors",
        "the same batch has the losses",
        (RESULT, f"{RESULT} + 0.1 * torch.rand(())"),
    ),
    "a NaN that is replaced": (
        "nan_is_not_hidden",
        "a NaN among the anchors gives the loss",
        (LOGITS, LOGITS.replace("anchor @", "anchor.nan_to_num() @")),
    ),
    "a NaN that is replaced on the other side": (
        "nan_is_not_hidden",
        "a NaN among the items of the modality gives the loss",
        (LOGITS, LOGITS.replace("modality.T", "modality.T.nan_to_num()")),
    ),
}
"""What is wrong → the checks that tell, the words of the first, and what is written in the place of what."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_is_wrong_with_a_loss_is_told(failing, mutant):
    checks, words, changes = MUTANTS[mutant]
    found = failing(LossSubject, *zip(changes[::2], changes[1::2], strict=True))
    assert found.keys() == set(checks.split(", "))
    assert words in found[checks.split(", ")[0]]


def test_what_is_no_tensor_is_told(failing):
    found = failing(LossSubject, (RESULT, f"return ({RESULT.removeprefix('return ')}).item()"))
    assert found["value_is_a_finite_number"] == "it returns a float. Return a scalar tensor."
