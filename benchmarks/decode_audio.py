"""A random 10-s window out of a 5-minute recording, as training hears it, against decoding the file with librosa.

The recordings are real sounds, one after another and over again, at 44.1 kHz in one channel, written as FLAC and as Ogg
Vorbis. geobind's window is what training uses: random, at 48 kHz (CLAP's rate), resampling included. One thread.

Run from the project's root, with the data folder ../shared beside it; librosa serves this comparison only:
pip install librosa && python benchmarks/decode_audio.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
from geobind_audio.decode import Samples
from geobind_audio.windows import WindowedEncoder
from paired import machine, paired, report

CLIPS = Path(__file__).parents[2] / "shared/data/mini/audio/esc50"
RATE, MINUTES, WINDOW, TARGET_RATE = 44_100, 5, 10, 48_000


class Listener(WindowedEncoder):
    """Hears windows as CLAP does, and hands the samples over as they are."""

    def features(self, samples: Samples) -> torch.Tensor:
        return torch.from_numpy(samples)[None]


def main() -> None:
    """Time the ways in turn for each format and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    listener = Listener(rate=TARGET_RATE, seconds=WINDOW, windows=1)
    generator = torch.Generator().manual_seed(0)
    print(machine("soundfile", "soxr", "librosa", "numba"))
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("flac", "ogg"):
            path = Path(folder) / f"recording.{suffix}"
            write_recording(path)
            megabytes = path.stat().st_size / 1e6
            print(f"\n{MINUTES} min of {suffix.upper()} ({megabytes:.1f} MB), median of {rounds} rounds")
            ways = {
                "geobind": lambda path=path: listener.preprocess(path, train=True, generator=generator),
                "librosa.load(path)": lambda path=path: librosa.load(path),
                "librosa, the window only": lambda path=path: librosa.load(
                    path,
                    sr=TARGET_RATE,
                    offset=float(torch.rand(()) * (MINUTES * 60 - WINDOW)),
                    duration=WINDOW,
                ),
            }
            report(paired(ways, rounds), "geobind", unit="ms", scale=1000)


def write_recording(path: Path) -> None:
    """Five minutes of real sounds, one after another."""
    clips = [soundfile.read(clip, dtype="float32") for clip in sorted(CLIPS.glob("*/*.ogg"))[::6]]
    samples = np.concatenate([soxr.resample(sound, rate, RATE) for sound, rate in clips])
    # Second by second: given all in one call, libsndfile's Vorbis encoder overflows the stack.
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for block in np.split(np.resize(samples, MINUTES * 60 * RATE), MINUTES * 60):
            file.write(block)


if __name__ == "__main__":
    main()
