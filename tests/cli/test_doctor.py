"""``geobind doctor``: each ailment is found and has its cure, and one that cannot be looked at hides no other."""

from __future__ import annotations

import builtins
import json
import shutil
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from geobind.cli import app, doctor
from geobind.cli.doctor import codecs, compute, machine, packages
from geobind.cli.doctor.finding import ok
from geobind.errors import WeightsError
from geobind.modality import Config, EncoderSpec
from geobind.plugins import PluginRecord


def the(check):
    (finding,) = check()
    return finding.status, finding.found, finding.cure


def run(*args, code=0):
    done = CliRunner().invoke(app, ["doctor", *args])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def no_import(monkeypatch):
    """Make importing some packages fail."""

    def no_import(error, *names):
        real = builtins.__import__

        def fail(name, *args, **kwargs):
            if name.partition(".")[0] in names:
                raise error
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", fail)

    return no_import


@pytest.fixture
def healthy(monkeypatch):
    """Two checks that find nothing, in place of all."""

    def first():
        yield ok("first", "fine")

    def last_one():
        yield ok("last", "fine")

    monkeypatch.setattr(doctor, "checks", lambda: (first, last_one))
    return first, last_one


def test_it_looks_at_everything_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("geobind.weights.hub_answers", lambda: False)
    found = {item["name"]: item for item in json.loads(run("--json"))}
    assert {"python", "processor", "memory", "torch", "torchvision", "pictures", "sounds", "feature cache"} <= set(
        found
    )
    assert {"spaces", "runs", "plugins", "model hub"} <= set(found)
    assert {"audio", "core", "world"} <= set(found["plugins"]["found"].split(", "))
    assert "JPEG" in found["pictures"]["found"] and "weights of text/minilm" in found
    for item in found.values():
        assert item["status"] in ("ok", "note") and bool(item["cure"]) == (item["status"] == "note"), item


def test_a_check_that_fails_is_an_ailment_and_hides_no_other(healthy, monkeypatch):
    assert run() == "ok   first: fine\nok   last: fine\n"

    def the_moon():
        yield ok("near side", "fine")
        raise ZeroDivisionError("no far side")

    monkeypatch.setattr(doctor, "checks", lambda: (healthy[0], the_moon, healthy[1]))
    lines = run(code=1).splitlines()
    assert lines[:3] == [
        "ok   first: fine",
        "ok   near side: fine",
        "AILS the moon: could not be looked at: ZeroDivisionError: no far side",
    ]
    assert lines[3].startswith("     cure: ") and lines[4:] == ["ok   last: fine"]
    assert [item["status"] for item in json.loads(run("--json", code=1))] == ["ok", "ok", "AILS", "ok"]


# -- the machine -------------------------------------------------------------------------------------


def test_an_old_python_and_a_half_updated_geobind(monkeypatch):
    monkeypatch.setattr(machine, "version", lambda name: "0.0.1")
    python, geobind = machine.python()
    assert python.status == "ok" and geobind.status == "AILS" and "but 0.0.1 is installed" in geobind.found
    monkeypatch.setattr(machine, "OLDEST", (99, 0))
    assert the(machine.python)[::2] == ("AILS", "Install Python 99.0 or newer.")


def test_more_threads_than_cores(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert the(machine.processor)[0] == "ok"
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.usable_cores() == 64
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    status, found, cure = the(machine.processor)
    assert (status, cure) == ("note", "Set OMP_NUM_THREADS=2.") and found.startswith("2 cores for this process")


def test_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    assert the(machine.memory)[1] == "not told by this system"
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n")
    assert the(machine.memory)[:2] == ("ok", "8.2 of 16.4 GB free")
    (tmp_path / "memory.max").write_text("4000000000\n")
    (tmp_path / "memory.current").write_text("3000000000\n")
    status, found, cure = the(machine.memory)
    assert (status, found) == ("note", "1.0 of 4.0 GB free") and "micro_batch" in cure


def test_folders_that_are_full_or_not_writable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOBIND_CACHE", str(tmp_path / "not/there/yet"))
    assert [finding.status for finding in machine.folders()] == ["ok"] * 3
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 5_000_000))
    cache, spaces, runs = machine.folders()
    assert {cache.status, spaces.status, runs.status} == {"AILS"}
    assert cache.found == f"{tmp_path / 'not/there/yet'}, 0.0 GB free" and "GEOBIND_CACHE" in cache.cure

    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    assert [finding.found.endswith("cannot be written: Permission denied") for finding in machine.folders()] == [
        True
    ] * 3


# -- torch and GPUs ----------------------------------------------------------------------------------


def test_torch_and_torchvision_that_cannot_be_imported(no_import, monkeypatch):
    no_import(RuntimeError("operator torchvision::nms does not exist"), "torchvision")
    monkeypatch.setattr(compute, "version", lambda name: "0.1")
    status, found, cure = the(compute.torchvision)
    assert status == "AILS" and "0.1 cannot be imported: RuntimeError: operator" in found
    assert "--force-reinstall torch torchvision" in cure
    no_import(OSError("libcudart.so"), "torch")
    assert the(compute.torch) == ("AILS", "OSError: libcudart.so", "`pip install --force-reinstall torch`")


def test_torchvision_may_be_absent(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(compute, "version", absent)
    assert the(compute.torchvision)[0] == "ok"


@pytest.mark.parametrize(
    ("cuda", "hidden", "status", "match"),
    [
        ("13.0", None, "AILS", "driver 535.104.05) that torch, built for CUDA 13.0, cannot use: the driver is too old"),
        ("13.0", "", "note", "hidden by CUDA_VISIBLE_DEVICES"),
        (None, None, "note", "driver 535.104.05), but torch is built for the CPU"),
    ],
)
def test_a_gpu_that_torch_cannot_use(tmp_path, monkeypatch, cuda, hidden, status, match):
    import warnings

    def unavailable():
        warnings.warn("the driver is too old", stacklevel=1)
        return False

    monkeypatch.setattr("torch.cuda.is_available", unavailable)
    monkeypatch.setattr("torch.version.cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(compute, "DRIVER", tmp_path / "version")
    assert the(compute.gpu)[:2] == ("ok", "none; everything works on the processor")
    kernel = (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
    )
    (tmp_path / "version").write_text(kernel)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = the(compute.gpu)
    assert found[0] == status and match in found[1] and found[2]


def test_each_gpu_is_tried(monkeypatch):
    import torch

    about = SimpleNamespace(name="A GPU", total_memory=24 * 2**30, major=8, minor=6)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: about)
    real = torch.ones

    def ones(n, device):
        if device == "cuda:1":
            raise RuntimeError("no kernel image is available for execution\nmore lines")
        return real(n)

    monkeypatch.setattr("torch.ones", ones)
    first, second = compute.gpu()
    assert (first.status, first.found) == ("ok", "A GPU, 24 GiB, compute capability 8.6")
    assert second.status == "AILS" and second.found.endswith("RuntimeError: no kernel image is available for execution")


# -- codecs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "status"), [("JPEG", "AILS"), ("WEBP", "note")])
def test_a_picture_format_that_cannot_be_read(monkeypatch, form, status):
    monkeypatch.setitem(codecs.PICTURES, form, {"no_such": object()})
    from PIL import Image

    real = Image.Image.save

    def save(self, file, format, **options):
        if options.pop("no_such", None):
            raise OSError(f"encoder {format.lower()} not available")
        real(self, file, format, **options)

    monkeypatch.setattr(Image.Image, "save", save)
    found = the(codecs.pictures)
    assert found[0] == status and f"; {form} cannot be read (OSError: encoder {form.lower()} not available)" in found[1]
    assert "--only-binary :all: pillow" in found[2]


def test_sounds_that_cannot_be_read(no_import, monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    assert the(codecs.sounds)[0] == "ok"
    real = soundfile.write

    def write(file, data, rate, format):
        if format == "MP3":
            raise ValueError("unknown format")
        real(file, data, rate, format=format)

    monkeypatch.setattr(soundfile, "write", write)
    assert the(codecs.sounds)[0] == "note"
    no_import(OSError("sndfile library not found"), "soundfile")
    status, found, cure = the(codecs.sounds)
    assert status == "AILS" and "sndfile library not found" in found and "soundfile soxr" in cure


def test_sounds_may_be_absent(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(codecs, "version", absent)
    assert the(codecs.sounds)[:2] == ("ok", "soundfile is absent (only encoders of sound need it)")


# -- packages ----------------------------------------------------------------------------------------


@pytest.fixture
def records(monkeypatch):
    """Pretend that these are all plugins."""

    def records(*found):
        plugins = SimpleNamespace(records=list(found), specs=lambda kind: [spec for r in found for spec in r.specs])
        monkeypatch.setattr("geobind.plugins.get_plugins", lambda: plugins)

    return records


def test_plugins_that_did_not_load_or_are_slow(records):
    records(
        PluginRecord("fine", "x", "ok"),
        PluginRecord("left", "x", "blocked"),
        PluginRecord("slow", "x", "ok", seconds=0.5),
        PluginRecord("bad", "x", "broken", "ImportError: no", where="bad.py:3"),
    )
    told, slow, bad = packages.plugins()
    assert (told.status, told.found) == ("ok", "fine, slow; left out: left")
    assert (slow.status, slow.found) == ("note", "takes 0.50 s to import, and every command waits for it")
    assert (bad.status, bad.found) == ("AILS", "broken: ImportError: no (bad.py:3)")
    assert bad.cure == "Mend, update or uninstall it. `geobind plugins show bad` says more."


class NoKeys(Config):
    pass


class Needs(Config):
    model: str


def missing(config):
    raise WeightsError("net.pt is not here", fix="Run `hf download it`.")


def faulty(config):
    raise ZeroDivisionError("no")


def test_weights_are_looked_for_once_for_all_that_share_them(records, monkeypatch):
    looks = []

    def present(config):
        looks.append(config)
        return "in /weights"

    named = {"present": present, "missing": missing, "faulty": faulty}
    monkeypatch.setattr("geobind.plugins.about.load_object", named.get)

    def spec(name, weights, config=NoKeys):
        return EncoderSpec(name=name, modality="m", config=config, build="a:b", weights=weights)

    specs = (
        spec("a", "present"),
        spec("b", "present"),
        spec("c", "missing"),
        spec("d", "faulty"),
        spec("e", "faulty", Needs),
        spec("f", ""),
    )
    records(PluginRecord("p", "x", "ok", specs=specs))
    here, absent, broken = packages.weights()
    assert (here.name, here.status, here.found) == ("weights of m/a, m/b", "ok", "in /weights") and len(looks) == 1
    assert (absent.name, absent.status, absent.found) == ("weights of m/c", "note", "absent: net.pt is not here")
    assert absent.cure == "Run `hf download it`"
    assert (broken.name, broken.status) == ("weights of m/d", "AILS") and "ZeroDivisionError" in broken.found


@pytest.mark.parametrize(("answers", "status"), [(True, "ok"), (False, "note")])
def test_the_hub(monkeypatch, answers, status):
    monkeypatch.setattr("geobind.weights.hub_answers", lambda: answers)
    assert the(packages.model_hub)[0] == status


def test_extras_of_geobind_and_of_plugins(records, monkeypatch):
    required = [
        "torch>=2.4",
        'peft>=0.18; extra == "lora"',
        "pytest>=8; extra == 'test'",
        "clap-a==1.0 ; python_version > '3' and extra == 'clap'",
        "clap-b; extra == 'clap'",
    ]
    monkeypatch.setattr(packages, "distribution", lambda name: SimpleNamespace(requires=required))
    monkeypatch.setattr(packages, "_version", {"peft": "0.19", "clap-a": "1.0"}.get)
    records()
    lora, clap = packages.extras()
    assert (lora.name, lora.status, lora.found) == ("extra geobind[lora]", "ok", "peft 0.19")
    assert (clap.name, clap.status, clap.found) == ("extra geobind[clap]", "note", "clap-b absent")
    assert clap.cure == "If you need it: `pip install 'geobind[clap]'`"
