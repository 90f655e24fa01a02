"""Every check of encoders: a sound encoder passes all, and one that is broken in one way is told by the right check."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from geobind.authoring.checks.run import plan_checks
from geobind.authoring.checks.subjects import EncoderSubject
from geobind.authoring.checks.tools import visit
from geobind.plugins import Plugins

SOURCE = Path(__file__).with_name("strip_plugin.py").read_text(encoding="utf-8")
ELSEWHERE = {"pickles_to_workers", "equals_itself_in_another_process"}
"""Checks that start a process, which takes seconds."""
OUT = "        return out  # noqa: RET504 - mutants put something in between\n"
READ = "torch.from_numpy(read(item).copy())"
NOISE = "torch.randn(x.shape, generator=generator)"
FILES = ("    return strip(index)\n", "    return strip_file(index)\n")


class Mutant(NamedTuple):
    edits: tuple[tuple[str, str], ...]
    check: str
    """The check that has to tell."""
    drastic: bool = False
    """Whether others fail for the same reason."""


def one(old: str, new: str, check: str, *, drastic: bool = False) -> Mutant:
    return Mutant(((old, new),), check, drastic)


MUTANTS = {
    "no encoder": one("class Net(geobind.Encoder)", "class Net(nn.Module)", "builds_with_random_weights"),
    "no width": one(
        "self.embed_dim = config.width", "self.embed_dim = None", "builds_with_random_weights", drastic=True
    ),
    "silent on its weights": one(
        "    def collate(self",
        "    def load_pretrained(self):\n        pass\n\n    def collate(self",
        "builds_with_random_weights",
    ),
    "dtype by item": one(
        'return {"x": x}', 'return {"x": x.double() if len(x) > 4 else x}', "preprocesses_to_tensors", drastic=True
    ),
    "a number beside tensors": one(
        'return {"x": x}', 'return {"x": x, "n": len(x)}', "preprocesses_to_tensors", drastic=True
    ),
    "keys by item": one(
        'return {"x": x}', 'return {"x": x, **({"y": x} if len(x) > 4 else {})}', "preprocesses_to_tensors"
    ),
    "logarithm of a negative number": one(READ, READ + ".log()", "preprocesses_to_tensors", drastic=True),
    "no description": one('return {"noise": self.noise}', "return {}", "describes_its_preprocessing"),
    "a description beyond JSON": one(
        'return {"noise": self.noise}', 'return {"kinds": {1, 2}}', "describes_its_preprocessing"
    ),
    "one sample loses its dimension": one(
        'pad_sequence(rows, batch_first=True), "length": torch.tensor([len(x) for x in rows])}',
        'pad_sequence(rows, batch_first=True).squeeze(0), "length": torch.tensor([len(x) for x in rows]).squeeze(0)}',
        "collates_one_and_three",
        drastic=True,
    ),
    "an empty batch is an IndexError": one("if not samples:", "if samples[0] is None:", "collates_one_and_three"),
    "an empty batch without a remedy": one(
        '"a batch without samples", fix="Give one item at least."',
        '"a batch without samples"',
        "collates_one_and_three",
    ),
    "another width": one(OUT, "        return out[:, 1:]\n", "gives_finite_vectors", drastic=True),
    "no batch": one(OUT, "        return out.mean(dim=0)\n", "gives_finite_vectors", drastic=True),
    "NaN": one(OUT, "        return out.log()\n", "gives_finite_vectors", drastic=True),
    "deaf to its input": one(
        OUT, "        return 0 * out.detach() + self.outer.bias\n", "gives_finite_vectors", drastic=True
    ),
    "NaN in training": one(
        OUT, "        return out.log() if self.training else out\n", "gives_unit_norm", drastic=True
    ),
    "padding counts": one("features.sum(dim=1) / length[:, None]", "features.mean(dim=1)", "batched_equals_single"),
    "statistics of the batch": one(OUT, "        return out - out.mean(dim=0)\n", "batched_equals_single"),
    "duplicates are dropped": one(
        "        rows = [sample",
        '        samples = list({sample["x"].numpy().tobytes(): sample for sample in samples}.values())\n'
        "        rows = [sample",
        "duplicates_embed_equally",
    ),
    "augmented in evaluation": one("        if train:\n", "        if True:\n", "repeats_itself", drastic=True),
    "dropout in evaluation": one(OUT, "        return F.dropout(out, 0.1)\n", "repeats_itself", drastic=True),
    "torch's global generator": one(NOISE, "torch.randn(x.shape)", "draws_from_the_generator"),
    "Python's global generator": one(NOISE, "__import__('random').random()", "draws_from_the_generator"),
    "NumPy's global generator": one(
        NOISE, "torch.tensor(np.random.normal(size=x.shape), dtype=torch.float32)", "draws_from_the_generator"
    ),
    "a generator without seed": one(
        NOISE,
        "torch.tensor(np.random.default_rng().normal(size=x.shape), dtype=torch.float32)",
        "draws_from_the_generator",
    ),
    "changes its item": one(
        '        raise geobind.DataError("a strip has gaps", fix="Fill them.")\n',
        '        raise geobind.DataError("a strip has gaps", fix="Fill them.")\n    item += 1\n',
        "leaves_its_inputs_alone",
        drastic=True,
    ),
    "changes its batch": one(
        "self.inner(x * self.scale)", "self.inner(x.mul_(self.scale))", "leaves_its_inputs_alone", drastic=True
    ),
    "switches to evaluation": one(OUT, "        self.eval()\n        return out\n", "keeps_its_mode"),
    "never evaluates": one(
        "    def collate(self",
        "    def train(self, mode=True):\n        return super().train(True)\n\n    def collate(self",
        "keeps_its_mode",
        drastic=True,
    ),
    "switches gradients off": one(
        OUT, "        torch.set_grad_enabled(False)\n        return out\n", "keeps_its_mode", drastic=True
    ),
    "weights of NumPy's generator": one(
        "torch.rand(4) + 0.5", "torch.tensor(np.random.rand(4) + 0.5, dtype=torch.float32)", "weights_follow_the_seed"
    ),
    "an idle layer": one(
        "        self.norm =",
        "        self.idle = nn.Linear(4, 4)\n        self.norm =",
        "gradients_reach_every_parameter",
    ),
    "cut off": one(
        "self.outer(F.gelu(pooled))", "self.outer(F.gelu(pooled.detach()))", "gradients_reach_every_parameter"
    ),
    "embeds without gradient": one(
        "    def forward(self", "    @torch.no_grad()\n    def forward(self", "gradients_reach_every_parameter"
    ),
    "others' embeddings in training": one(
        OUT, "        return out[torch.randperm(len(out))] if self.training else out\n", "loss_falls"
    ),
    "tied weights": one(
        "        self.norm =", "        self.tied = self.inner[0]\n        self.norm =", "survives_safetensors"
    ),
    "a constant that is not saved": one(
        "torch.rand(4) + 0.5)", "torch.rand(4) + 0.5, persistent=False)", "survives_safetensors"
    ),
    "created on the CPU": one(", device=x.device)", ")", "moves_between_devices"),
    "a constant that stays": one(
        'self.register_buffer("scale", torch.rand(4) + 0.5)', "self.scale = torch.ones(4)", "moves_between_devices"
    ),
    "NumPy in forward": one(
        "F.gelu(pooled)", "F.gelu(pooled) + float(length.numpy().max() * 0)", "moves_between_devices"
    ),
    "output on the CPU": one(OUT, "        return out.cpu()\n", "moves_between_devices"),
    "a buffer in preprocess": one(READ, READ + " * self.scale", "moves_between_devices"),
    "keeps the item": one(
        f"        x = {READ}\n",
        "        import time\n\n        self.item = item\n        time.sleep(0.001)\n"
        "        x = torch.from_numpy(read(self.item).copy())\n",
        "prepares_in_threads",
    ),
    "empty strips": one(
        "    if not len(item):\n",
        '    item = item if len(item) else np.zeros((1, 4), dtype="f4")\n    if False:\n',
        "refuses_empty_items",
    ),
    "strips of NaN": one(
        "    if np.isnan(item).all():\n",
        "    item = np.nan_to_num(item) if np.isnan(item).all() else item\n    if False:\n",
        "refuses_items_of_nan",
    ),
    "strips with gaps": one(
        "    if not np.isfinite(item).all():\n",
        "    item = np.where(np.isnan(item), 0, item)\n    if not np.isfinite(item).all():\n",
        "refuses_a_single_nan",
    ),
    "infinite strips": one(
        "    if not np.isfinite(item).all():\n",
        "    item = np.where(np.isinf(item), 0, item)\n    if not np.isfinite(item).all():\n",
        "refuses_a_single_infinity",
    ),
    "a ValueError": one(
        'raise geobind.DataError("a strip has gaps", fix="Fill them.")',
        'raise ValueError("gaps")',
        "refuses_a_single_nan",
        drastic=True,
    ),
    "another GeobindError": one(
        'geobind.DataError("a strip has gaps"',
        'geobind.GeobindError("a strip has gaps"',
        "refuses_a_single_nan",
        drastic=True,
    ),
    "an error that stays": Mutant(
        (
            (
                "class Net(",
                "class Gap(geobind.DataError):\n    def __init__(self):\n"
                '        super().__init__("gaps", fix="Fill them.")\n\n\nclass Net(',
            ),
            ('raise geobind.DataError("a strip has gaps", fix="Fill them.")', "raise Gap"),
        ),
        "refuses_a_single_nan",
        drastic=True,
    ),
    "no remedy": one(', fix="Fill them.")', ")", "refuses_a_single_nan", drastic=True),
    "damaged files": Mutant((FILES, ("(OSError, ValueError, EOFError)", "FileNotFoundError")), "refuses_damaged_files"),
    "whatever is no strip": one(
        "    if not isinstance(item, np.ndarray):\n", "    if False:\n", "refuses_what_is_no_item"
    ),
}
MUTANTS_ELSEWHERE = {
    "a lambda": one("        self.norm =", "        self.own = lambda x: x\n        self.norm =", "pickles_to_workers"),
    "forgets on the way": one(
        "    def collate(self",
        '    def __getstate__(self):\n        return self.__dict__ | {"noise": 0.2}\n\n    def collate(self',
        "pickles_to_workers",
    ),
    "items and hashes": one(READ, READ + ' + hash("strip") % 97', "equals_itself_in_another_process", drastic=True),
    "weights and hashes": one(
        "torch.rand(4) + 0.5",
        'torch.rand(4, generator=torch.Generator().manual_seed(hash("strip") % 2**32)) + 0.5',
        "equals_itself_in_another_process",
    ),
    "a description and hashes": one(
        '{"noise": self.noise}', '{"noise": self.noise, "id": hash("strip")}', "equals_itself_in_another_process"
    ),
}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """From edits of the sound encoder's source to its planned checks, by name."""
    monkeypatch.setenv("GEOBIND_PLUGINS", "")  # the core alone

    def make(*edits: tuple[str, str]):
        source = SOURCE
        for old, new in edits:
            assert source.count(old) == 1, f"{source.count(old)} times in the source: {old}"
            source = source.replace(old, new)
        path = tmp_path / "strip.py"
        path.write_text(source, encoding="utf-8")
        plugins = Plugins()
        plugins.load_installed()
        plugins.load_file(path)
        planned = plan_checks("strip", plugins)
        return {each.check.name: each for each in planned if isinstance(each.subject, EncoderSubject)}

    yield make
    sys.modules.pop("strip", None)
    torch.set_grad_enabled(True)  # mutants may leave it off


@pytest.fixture
def failing(plan):
    """The checks that an encoder fails, and why."""

    def run(*edits: tuple[str, str], leave_out: set[str] = frozenset()) -> dict[str, str]:
        outcomes = [each.run() for name, each in plan(*edits).items() if name not in leave_out]
        assert outcomes and all(outcome.status in ("passed", "failed") for outcome in outcomes)
        return {outcome.check: outcome.reason for outcome in outcomes if outcome.status == "failed"}

    return run


def test_sound_encoder_passes_every_check(failing):
    assert failing() == {}


def test_sound_encoder_of_files_passes(failing):
    assert failing(FILES, leave_out=ELSEWHERE) == {}


def test_every_check_has_a_mutant(plan):
    assert {mutant.check for mutant in (MUTANTS | MUTANTS_ELSEWHERE).values()} == set(plan())


def test_every_check_says_what_it_asks(plan):
    for name, each in plan().items():
        assert each.check.summary.endswith("."), name


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant(failing, name):
    mutant = MUTANTS[name]
    found = failing(*mutant.edits, leave_out=ELSEWHERE)
    assert mutant.check in found
    assert mutant.drastic or set(found) == {mutant.check}


@pytest.mark.parametrize("name", MUTANTS_ELSEWHERE)
def test_mutant_elsewhere(plan, monkeypatch, name):
    """In this process, where only hashes change as they would in another: a start takes seconds."""

    def call_here(plugins, function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["strip"], "hash", lambda value: 12345, raising=False)
            return function(*arguments)

    monkeypatch.setattr(visit, "call_elsewhere", call_here)
    mutant = MUTANTS_ELSEWHERE[name]
    planned = plan(*mutant.edits)
    found = {check for check in ELSEWHERE if planned[check].run().status == "failed"}
    assert mutant.check in found
    assert mutant.drastic or found == {mutant.check}


def test_two_checks_share_one_process(plan, monkeypatch):
    starts = []

    def call_here(plugins, function, *arguments):
        starts.append(function)
        return function(*arguments)

    monkeypatch.setattr(visit, "call_elsewhere", call_here)
    planned = plan()
    assert [planned[check].run().status for check in sorted(ELSEWHERE)] == ["passed", "passed"]
    assert len(starts) == 1


def test_another_process_has_other_hashes(plan):
    outcome = plan(*MUTANTS_ELSEWHERE["items and hashes"].edits)["equals_itself_in_another_process"].run()
    assert outcome.status == "failed"
    assert "preprocess of item 0 gave another 'x' in another process" in outcome.reason


def test_declared_check_is_not_run(plan):
    reason = "gaps are common, and the network masks them"
    planned = plan(
        ("    if not np.isfinite(item).all():\n", "    item = np.nan_to_num(item)\n    if False:\n"),
        ('summary="A small network"', f'summary="", unchecked={{"refuses_a_single_nan": "{reason}"}}'),
    )
    outcome = planned["refuses_a_single_nan"].run()
    assert (outcome.status, outcome.reason) == ("skipped", reason)


def test_failure_says_what_was_found_and_what_to_do(failing):
    reason = failing(*MUTANTS["an idle layer"].edits, leave_out=ELSEWHERE)["gradients_reach_every_parameter"]
    assert "2 of 8 parameters get no gradient: idle.weight, idle.bias" in reason
    assert "requires_grad=False" in reason
