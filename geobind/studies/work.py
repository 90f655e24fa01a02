"""What every study does: bind a recipe into a working folder, evaluate the space, watch time and memory."""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path

from geobind.bind.binder import bind
from geobind.bind.runs.run import Run
from geobind.data.items import Dataset
from geobind.errors import SpaceError
from geobind.evaluate.results import AllPairs
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.scores import KS
from geobind.evaluate.subject import Subject
from geobind.features.cache import FeatureCache
from geobind.plan import Plan, StagePlan
from geobind.progress import say
from geobind.ranks import Ties
from geobind.space.checkpoint import load


def bind_into(plan: Plan, stages: Sequence[StagePlan], folder: Path) -> Run:
    """Bind stages of a recipe into ``folder / "space"``, with runs under ``folder / "runs"``.

    Features of what is frozen come from the user's cache, so that the next study finds them. Of what binding has to
    say, one line is left.
    """
    seconds = stopwatch()
    with quiet():
        run = bind(plan, stages, space=space_in(folder), runs=folder / "runs")
    say(f"bound {', '.join(stage.config.name for stage in stages)} in {seconds():.1f} s")
    return run


def space_in(folder: Path) -> Path:
    """The space folder that :func:`bind_into` writes."""
    return folder / "space"


def fresh(folder: Path) -> Path:
    """The folder, if no space has been bound in it by :func:`bind_into`.

    Raises:
        SpaceError: One has: a study would go on with it.
    """
    if (space_in(folder) / "space.json").is_file():
        raise SpaceError("a study has left its space here", where=str(folder), fix="Delete it, or name another folder.")
    return folder


def datasets_of(plan: Plan) -> list[Dataset]:
    """The distinct datasets of a recipe's stages, in order."""
    return [choice.build() for choice in plan.datasets()]


def subject_of(space: Path, plan: Plan, *, split: str, datasets: Sequence[Dataset] | None = None) -> Subject:
    """A space folder with its recipe's datasets (built when None), its features taken from the user's cache."""
    return Subject(load(space), datasets or datasets_of(plan), split=split, cache=FeatureCache())


def evaluate_space(
    space: Path,
    plan: Plan,
    *,
    split: str,
    modalities: Sequence[str] | None = None,
    ks: Sequence[int] = KS,
    ties: Ties = "mean",
    datasets: Sequence[Dataset] | None = None,
) -> AllPairs:
    """All pairs of a space folder on its recipe's data; see :func:`geobind.evaluate.retrieval.all_pairs`."""
    subject = subject_of(space, plan, split=split, datasets=datasets)
    with quiet():
        return all_pairs(subject, modalities=modalities, ks=ks, ties=ties)


@contextmanager
def working_folder(workdir: Path | None, name: str) -> Iterator[Path]:
    """``workdir / name``, which stays; or a temporary folder that is gone afterwards."""
    if workdir is not None:
        (workdir / name).mkdir(parents=True, exist_ok=True)
        yield workdir / name
    else:
        with tempfile.TemporaryDirectory(prefix=f"geobind-{name}-") as folder:
            yield Path(folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what work says on its way, but for the signs of life of what takes long."""
    speak = sys.stderr

    class Quiet(io.StringIO):
        def write(self, text: str) -> int:
            if text.endswith(" s to go"):  # as geobind.progress has it
                speak.write(f"{text}\n")
            return len(text)

    with redirect_stderr(Quiet()):
        yield


def stopwatch() -> Callable[[], float]:
    """A function that gives the seconds since now."""
    start = time.perf_counter()
    return lambda: time.perf_counter() - start


def peak_memory_mb() -> float:
    """The largest resident memory of this process, MB (10⁶ bytes): so far, or since :func:`forget_peak_memory`."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def forget_peak_memory() -> None:
    """Let the peak begin anew at what is resident now; Linux alone can (proc_pid_clear_refs(5)), others go on."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def folder_size_mb(folder: Path) -> float:
    """Bytes of all files under a folder, MB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
