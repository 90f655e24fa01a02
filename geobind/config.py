"""What a recipe may say: pydantic models of its YAML. :mod:`geobind.plan` reads and resolves it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from geobind.modality import Config

Learn = Annotated[str, Field(pattern=r"^(frozen|head|full|lora|last_[1-9]\d*)$")]
"""What of a tower learns: nothing, its head, all of it, the head and low-rank adapters of the encoder (LoRA), or
the head and the encoder's last N blocks."""
STORED = ("frozen", "head")
"""What learns of a side whose encoder does not: its features are computed once and stored."""
SHORT_TRAIN: dict[str, tuple[Learn, Learn]] = {
    "anchor": ("full", "frozen"),
    "modality": ("frozen", "full"),
    "both": ("full", "full"),
    "heads": ("head", "head"),
    "none": ("frozen", "frozen"),
}


class Train(Config):
    """What learns in a stage, per side."""

    anchor: Learn = "frozen"
    """The anchor's tower: ``frozen``, ``head``, ``last_N`` blocks and the head, ``lora`` and the head, or ``full``."""
    modality: Learn = "frozen"
    """The modality's tower, likewise."""

    def __str__(self) -> str:
        for short, sides in SHORT_TRAIN.items():
            if sides == (self.anchor, self.modality):
                return short
        return " + ".join(f"{side} {how}" for side, how in self if how != "frozen")


def _expand_train(value: Any) -> Any:
    if isinstance(value, str):
        if value not in SHORT_TRAIN:
            raise ValueError(f"not one of {', '.join(SHORT_TRAIN)}, or a mapping {{anchor: …, modality: …}}")
        return dict(zip(("anchor", "modality"), SHORT_TRAIN[value], strict=True))
    return value


class Head(Config):
    """The projection from an encoder's features to the space."""

    type: Literal["identity", "linear", "mlp"] = "mlp"
    """``identity`` needs an encoder as wide as the space; ``mlp`` has one hidden layer."""
    hidden: int = Field(1024, ge=1)
    """Width of the hidden layer of ``mlp``."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the last layer of ``mlp``."""


class Optim(Config):
    """How a stage is optimised: AdamW, a linear warm-up, then a schedule."""

    epochs: int = Field(20, ge=1)
    """Passes over the pairs."""
    batch_size: int = Field(256, ge=2)
    """Pairs in one batch, all processes together; each is a negative of all others but its positives."""
    micro_batch: int | None = Field(None, ge=1)
    """Pairs whose activations are in memory at a time; the gradient stays that of the whole batch, at the price of a
    second forward pass (GradCache, arXiv 2101.06983). Null for the whole batch."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of heads and losses."""
    encoder_lr: float | None = Field(None, gt=0)
    """Peak learning rate of encoders that learn; ``lr`` when absent."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay of matrices; vectors and scalars have none."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay of the two moments."""
    eps: float = Field(1e-8, gt=0)
    """AdamW's epsilon."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps over which the learning rate rises."""
    schedule: Literal["cosine", "cosine_restarts", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up: to ``final_lr`` at the end, or again every ``period`` steps."""
    period: int | None = Field(None, ge=1)
    """Steps between restarts of ``cosine_restarts`` (SGDR, arXiv 1608.03983)."""
    final_lr: float = Field(0.0, ge=0, le=1)
    """Share of the peak learning rate that is left when the schedule ends."""
    layer_decay: float | None = Field(None, gt=0, le=1)
    """Factor of the learning rate from each block of an encoder to the one before it (ELECTRA, arXiv 2003.10555)."""
    grad_clip: float | None = Field(1.0, gt=0)
    """Largest gradient norm; null for no clipping."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the towers; ``auto`` measures and says why."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of a moving average of the weights, which is then what is validated and kept; null for none."""
    gradient_checkpointing: bool = False
    """Keep the activations of block boundaries alone and compute the others again: less memory, a third more time."""
    compile: bool = False
    """``torch.compile`` the encoders that learn; needs a C++ compiler, and pays on a GPU and in long stages."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: every process holds all weights, or (FSDP2) its share of them."""

    @model_validator(mode="after")
    def _check(self) -> Optim:
        if (self.schedule == "cosine_restarts") != (self.period is not None):
            raise ValueError("schedule: cosine_restarts and period: STEPS go together")
        return self


class Lora(Config):
    """Low-rank adapters of a side with ``lora`` (arXiv 2106.09685); merged into the weights when the stage ends."""

    rank: int = Field(8, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(16.0, gt=0)
    """Scale of the adapters is alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before each adapter."""
    targets: str = "all-linear"
    """``all-linear``, or a regular expression that the full names of adapted modules match."""


class Validation(Config):
    """What is measured on the whole validation split while a stage learns."""

    metric: str = Field("loss", pattern=r"^(loss|median_rank|recall@[1-9]\d*)$")
    """What tells the best epoch: ``loss``, ``recall@K`` or ``median_rank`` (both directions averaged, exact, the whole
    split as gallery). Recall and ranks are logged whichever it is."""
    every: int = Field(1, ge=1)
    """Epochs between validations; the last one is always validated."""
    keep: Literal["last", "best"] = "last"
    """Which weights the stage ends with."""
    patience: int | None = Field(None, ge=1)
    """Validations without a better metric after which the stage ends; null to train to the end."""


class Checkpoints(Config):
    """When a stage's state is saved, so that it can go on after an interruption."""

    every_seconds: float = Field(60.0, gt=0)
    """Seconds between checkpoints."""
    every_steps: int | None = Field(None, ge=1)
    """Steps between checkpoints, instead of seconds."""
    keep: int = Field(1, ge=1)
    """How many of the newest are kept."""


class Views(Config):
    """A side that learns its head alone sees stored features: of each item this many views, one drawn per step.

    The first view is the plain item, the others are augmented by the encoder's own preprocessing.
    """

    anchor: int = Field(1, ge=1)
    """Views of each anchor item."""
    modality: int = Field(1, ge=1)
    """Views of each item of the modality."""


class Merge(Config):
    """Progressive merging: what a stage ends with lies between the weights before it and those it has learnt
    (GeoLangBind, arXiv 2503.06312).

    Merged weights are ``(1 - alpha) · before + alpha · after``; running statistics too. The loss's own scalars stay as
    they were learnt. Stages that are trained together must agree on a tower that they share.
    """

    alpha: float = Field(ge=0, le=1)
    """0 keeps the weights from before the stage, 1 those it has learnt."""
    schedule: Literal["stage", "epoch"] = "stage"
    """Merge once, when the stage ends, or after each epoch, which then goes on from the merged weights; ``before`` is
    the stage's start in either case."""
    towers: Literal["modality", "anchor", "both"] = "modality"
    """Whose weights are merged, of those that learn."""


class Stage(Config):
    """One modality bound to the anchor."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Unique name; ``geobind bind --stage`` takes it, and a folder of the run is called by it."""
    modality: str
    """The modality to bind."""
    train: Annotated[Train, BeforeValidator(_expand_train)]
    """``anchor``, ``modality``, ``both``, ``heads``, ``none``, or ``{anchor: …, modality: …}``."""
    encoder: dict[str, Any]
    """``{type: NAME, …}``: the modality's encoder."""
    dataset: dict[str, Any]
    """``{type: NAME, …}``: where the pairs come from."""
    loss: dict[str, Any] = Field(default_factory=lambda: {"type": "infonce"})
    """``{type: NAME, …}``: what the pairs are scored by."""
    head: Head = Head()
    """The modality's head."""
    tower: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """A name that several modalities' stages give to one tower that they share: each goes on training it, and all of
    them are embedded by it. They have encoder and head in common; where they are trained together, the first one's
    ``optim`` is the tower's. Null for a tower of the modality's own."""
    merge: Merge | None = None
    """Merge what is learnt with the weights from before the stage; null to keep what is learnt."""
    ratio: float = Field(1.0, gt=0)
    """With ``training: interleaved``: passes over this stage's pairs in one epoch."""
    optim: Optim = Optim()
    """How it is optimised."""
    lora: Lora = Lora()
    """Adapters of sides with ``lora``."""
    validation: Validation = Validation()
    """What is measured on the validation split, and what it decides."""
    checkpoints: Checkpoints = Checkpoints()
    """When its state is saved."""
    views: Views = Views()
    """Augmented views of items whose features are embedded once."""
    augment: bool = True
    """Whether a side that learns in full sees augmented items; false prepares each item once."""
    workers: int = Field(0, ge=0)
    """Worker processes that prepare items of a side whose encoder learns; 0 for threads of this process."""
    sampling: Literal["spread", "shuffle"] = "spread"
    """``spread`` keeps items of equal content out of each other's batches as far as it can; ``shuffle`` does not care.
    What is left, pairs that are negatives of equal content, is counted as ``false_negatives``."""
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """Share of a side's items that may turn out unreadable: they are left out, counted and listed. 0 stops at once."""
    seed: int = 0
    """Seed of everything random in this stage."""
    note: str = ""
    """Where the numbers come from, for the reader."""


class Anchor(Config):
    """The modality that defines the space."""

    modality: str = "satellite"
    """Its name."""
    encoder: dict[str, Any]
    """``{type: NAME, …}``."""
    head: Head = Head()
    """Its head."""


class SpaceConfig(Config):
    """The space itself."""

    dim: int = Field(512, ge=2)
    """Number of dimensions of every embedding."""


class Recipe(Config):
    """A space, an anchor, and a list of stages."""

    summary: str = ""
    """One line for lists."""
    space: SpaceConfig = SpaceConfig()
    """The space."""
    anchor: Anchor
    """The anchor."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Keys every stage takes unless it says otherwise; ``optim`` is merged key by key."""
    training: Literal["staged", "joint", "interleaved"] = "staged"
    """``staged`` trains one stage after the other; ``joint`` all at the same time: every step sums the losses of a
    batch of each, and the anchor learns from all of them what any stage lets it learn. ``interleaved`` too, but a step
    takes the batch of one stage; each comes as often as its pairs and its ``ratio`` say, evenly mixed."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """What is bound, in order."""

    @model_validator(mode="before")
    @classmethod
    def _spread_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(defaults := values.get("defaults", {}), dict):
            return values
        values = dict(values)
        if isinstance(stages := values.get("stages"), list):
            values["stages"] = [_with_defaults(stage, defaults) for stage in stages]
        if isinstance(anchor := values.get("anchor"), dict) and "head" in defaults:
            values["anchor"] = {"head": defaults["head"], **anchor}
        return values

    @model_validator(mode="after")
    def _unique_names(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"stage names are given twice: {', '.join(sorted(twice))}")
        if any(stage.modality == self.anchor.modality for stage in self.stages):
            raise ValueError(f"a stage binds the anchor {self.anchor.modality!r} to itself")
        return self


def _with_defaults(stage: Any, defaults: dict[str, Any]) -> Any:
    if not isinstance(stage, dict):
        return stage
    merged = {**defaults, **stage}
    if isinstance(own := stage.get("optim"), dict) and isinstance(shared := defaults.get("optim"), dict):
        merged["optim"] = {**shared, **own}
    return merged
