"""What every encoder does with items: whole tensors in, one finite vector out, whatever stands beside it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from geobind.authoring.checks.check import check, require
from geobind.authoring.checks.subjects import EncoderSubject
from geobind.authoring.checks.tools.samples import (
    NEAR,
    SAME,
    apart,
    embed,
    form,
    global_seed,
    linear_head,
    prepare,
    random_states,
    require_same,
)
from geobind.errors import GeobindError

if TYPE_CHECKING:
    from geobind.encoder import Batch


@check(EncoderSubject)
def builds_with_random_weights(subject: EncoderSubject) -> None:
    """Its builder returns a geobind.Encoder that knows its width, and says where its weights come from."""
    from geobind.encoder import Encoder

    encoder = subject.build()
    require(
        isinstance(encoder, Encoder),
        f"{subject.spec.build} returned {type(encoder).__name__}",
        "Return a subclass of geobind.Encoder.",
    )
    for name in ("embed_dim", "throughput_batch"):
        value = getattr(encoder, name, None)
        require(
            type(value) is int and value > 0,
            f"{name} is {value!r} once the encoder is built",
            f"Set {name} to a whole number above 0, in the class or in __init__.",
        )
    phrase = encoder.load_pretrained()
    require(
        isinstance(phrase, str) and bool(phrase.strip()),
        f"load_pretrained() returned {phrase!r}",
        "Return a phrase on where the weights come from; 'random' when there are none.",
    )


@check(EncoderSubject)
def preprocesses_to_tensors(subject: EncoderSubject) -> None:
    """Preprocessing gives finite CPU tensors by name, with the same names, types and ranks for every item."""
    import torch

    encoder, items = subject.build(), subject.items()
    for train in (False, True):
        samples = prepare(encoder, items, train=train)
        for number, sample in enumerate(samples):
            of = f"preprocess of item {number} with train={train}"
            require(
                isinstance(sample, dict) and bool(sample),
                f"{of} gave {type(sample).__name__} {'' if sample else 'without keys'}".rstrip(),
                "Return a dict of tensors.",
            )
            for key, value in sample.items():
                require(
                    isinstance(key, str) and isinstance(value, torch.Tensor),
                    f"{of} gave {type(value).__name__} at {key!r}",
                    "Return a dict of names and torch tensors; what is no tensor cannot travel to a device.",
                )
                require(
                    value.device.type == "cpu" and not value.requires_grad,
                    f"{of} gave {key!r} on {value.device}, requires_grad={value.requires_grad}",
                    "Leave parameters and devices to forward: items are prepared in other threads and processes.",
                )
                require(
                    not value.is_floating_point() or bool(value.isfinite().all()),
                    f"{of} gave NaN or infinity in {key!r}",
                    "Mend the preprocessing; an item that cannot be embedded raises geobind.DataError.",
                )
            require(
                _ranks(sample) == _ranks(samples[0]),
                f"{of} gave {form(sample)}, of item 0 {form(samples[0])}",
                "Give every item the same keys, dtypes and number of dimensions.",
            )


@check(EncoderSubject)
def describes_its_preprocessing(subject: EncoderSubject) -> None:
    """``describe_preprocessing`` says something, in values that JSON knows."""
    told = subject.build().describe_preprocessing()
    require(
        isinstance(told, dict) and bool(told),
        f"describe_preprocessing() gave {told!r}",
        "Return what decides the tensors: sizes, units, normalisation. It tells whether stored features still hold.",
    )
    try:
        json.dumps(told, allow_nan=False)
    except (TypeError, ValueError) as error:
        require(False, f"describe_preprocessing() gave {told!r}: {error}", "Return strings, finite numbers and lists.")


@check(EncoderSubject)
def collates_one_and_three(subject: EncoderSubject) -> None:
    """``collate`` makes a batch of one sample and of three, and refuses none with a GeobindError."""
    import torch

    encoder = subject.build()
    samples = prepare(encoder, subject.items(3))
    for count in (1, 3):
        batch = encoder.collate(samples[:count])
        require(
            isinstance(batch, dict) and all(isinstance(value, torch.Tensor) for value in batch.values()),
            f"collate of {count} gave {type(batch).__name__}",
            "Return a dict of tensors.",
        )
        sizes = {key: list(value.shape) for key, value in batch.items()}
        require(
            any(size[:1] == [count] for size in sizes.values()),
            f"collate of {count} gave the sizes {sizes}",
            f"Stack along a new first dimension: [{count}, …].",
        )
    try:
        encoder.collate([])
    except GeobindError as error:
        require(bool(error.fix), f"collate([]) raised {error!r} without a remedy", "Give the error a fix=.")
    except Exception as error:
        require(
            False,
            f"collate([]) raised {type(error).__name__}: {str(error).rstrip('.')}",
            "Raise geobind.DataError with a fix.",
        )
    else:
        require(False, "collate([]) made a batch of no samples", "Raise geobind.DataError with a fix.")


@check(EncoderSubject)
def gives_finite_vectors(subject: EncoderSubject) -> None:
    """It embeds B items as finite floats [B, embed_dim], and unlike items differ."""
    encoder, items = subject.build().eval(), subject.items()
    for count in (1, len(items)):
        out = embed(encoder, items[:count])
        require(
            list(out.shape) == [count, encoder.embed_dim] and out.is_floating_point(),
            f"forward of {count} items gave {out.dtype} {list(out.shape)}",
            f"Return float [B, embed_dim], here [{count}, {encoder.embed_dim}].",
        )
        require(
            bool(out.isfinite().all()),
            f"forward of {count} items gave NaN or infinity",
            "Look for divisions by 0, logarithms of 0, and means over nothing.",
        )
    require(
        apart(out[1:], out[:1].expand_as(out[1:])) > SAME,
        f"{len(items)} items have the same embedding",
        "Make the output depend on the input, and the spec's example items differ.",
    )


@check(EncoderSubject)
def gives_unit_norm(subject: EncoderSubject) -> None:
    """With a linear head it embeds onto the unit sphere, in training as in evaluation."""
    import torch

    from geobind.space.heads import Tower

    encoder = subject.build()
    tower = Tower(encoder, linear_head(encoder))
    batch = encoder.collate(prepare(encoder, subject.items()))
    for training in (True, False):
        with torch.no_grad():
            norms = tower.train(training)(batch).norm(dim=1)
        require(
            bool(((norms - 1).abs() < NEAR).all()),
            f"with training={training} embeddings have the norms {norms.tolist()}",
            "Keep the encoder's output finite and not all 0.",
        )


@check(EncoderSubject)
def batched_equals_single(subject: EncoderSubject) -> None:
    """In evaluation an item embeds equally alone and in a batch."""
    import torch

    encoder, items = subject.build().eval(), subject.items(4)
    batched = embed(encoder, items)
    single = torch.cat([embed(encoder, [item]) for item in items])
    require(
        apart(batched, single) <= NEAR,
        f"embeddings in a batch and alone differ by {apart(batched, single):.2g} of the largest value",
        "Mask what pads shorter items, and use no statistics of the batch in evaluation.",
    )


@check(EncoderSubject)
def duplicates_embed_equally(subject: EncoderSubject) -> None:
    """In evaluation an item that occurs several times in a batch embeds equally each time."""
    encoder = subject.build().eval()
    first, second, third = subject.items(3)
    out = embed(encoder, [first, second, first, third, first])
    require(len(out) == 5, f"5 items, 3 of them equal, gave {len(out)} embeddings", "Keep duplicates in the batch.")
    difference = apart(out[[2, 4]], out[[0, 0]])
    require(
        difference <= NEAR,
        f"the same item in one batch embeds {difference:.2g} of the largest value apart",
        "Let an embedding depend on its item alone, not on its place in the batch.",
    )


@check(EncoderSubject)
def repeats_itself(subject: EncoderSubject) -> None:
    """In evaluation, preprocessing and embedding the same items again gives the same."""
    import torch

    encoder, items = subject.build().eval(), subject.items()
    once, again = prepare(encoder, items), prepare(encoder, items)
    require_same(once, again, "a second time", "Draw nothing when train is False.")
    with torch.no_grad():
        batch = encoder.collate(once)
        out, repeated = encoder(batch), encoder(batch)
    require(
        apart(out, repeated) <= SAME,
        f"a second forward in evaluation differs by {apart(out, repeated):.2g} of the largest value",
        "Dropout and noise must stop in evaluation: use modules, or pass training=self.training.",
    )


@check(EncoderSubject)
def draws_from_the_generator(subject: EncoderSubject) -> None:
    """In training, preprocessing draws from the generator alone, and leaves the global random states as they were."""
    encoder, items = subject.build(), subject.items()
    drawn: list[list[Batch]] = []
    for seed in (1, 2):
        with global_seed(seed):
            before = random_states()
            drawn.append(prepare(encoder, items, train=True))
            after = random_states()
        touched = [name for name in before if before[name] != after[name]]
        require(
            not touched,
            f"preprocess with train=True drew from {', '.join(touched)}",
            "Pass generator= to every draw; for NumPy, seed a generator of its own with a draw of it.",
        )
    require_same(drawn[0], drawn[1], "with the same generator", "Take every random number from the generator.")


@check(EncoderSubject)
def leaves_its_inputs_alone(subject: EncoderSubject) -> None:
    """Neither preprocessing nor collating nor embedding changes what it was given."""
    import torch

    from geobind.authoring.checks.tools.values import alike

    encoder, items = subject.build(), subject.items()
    kept = copy.deepcopy(items)
    comparable = alike(items, kept)
    samples = prepare(encoder, items)
    prepare(encoder, items, train=True)
    require(
        not comparable or alike(items, kept), "preprocess changed its item", "Work on a copy: it may be used again."
    )
    kept_samples = copy.deepcopy(samples)
    batch = encoder.collate(samples)
    kept_batch = copy.deepcopy(batch)
    for training in (False, True):
        with torch.no_grad():
            encoder.train(training)(batch)
    require(alike(batch, kept_batch), "forward changed its batch", "Use no operations in place on the input.")
    require(
        alike(samples, kept_samples),
        "collate or forward changed a sample",
        "Prepared samples are kept and used in every epoch: work on copies.",
    )


@check(EncoderSubject)
def keeps_its_mode(subject: EncoderSubject) -> None:
    """Embedding leaves training or evaluation mode, and torch's global settings, as they were."""
    import torch

    encoder, items = subject.build(), subject.items(2)
    for training in (True, False):
        encoder.train(training)
        before, settings = [module.training for module in encoder.modules()], _settings()
        require(
            training or not any(before),
            f"after eval() {sum(before)} modules still train",
            "Let train(mode) reach every module.",
        )
        encoder(encoder.collate(prepare(encoder, items, train=training)))
        found = _settings()
        torch.set_grad_enabled(settings["gradients"])
        torch.set_default_dtype(settings["default dtype"])
        require(
            [module.training for module in encoder.modules()] == before,
            f"with training={training}, preprocess or forward switched the mode of modules",
            "Leave train() and eval() to whoever calls the encoder.",
        )
        changed = [name for name in settings if settings[name] != found[name]]
        require(
            not changed,
            f"preprocess or forward changed {', '.join(changed)} for the whole process",
            "Use the context managers of torch.",
        )


def _settings() -> dict[str, Any]:
    import torch

    return {"gradients": torch.is_grad_enabled(), "default dtype": torch.get_default_dtype()}


def _ranks(sample: Batch) -> dict[str, tuple[str, int]]:
    return {key: (str(value.dtype), value.ndim) for key, value in sample.items()}
