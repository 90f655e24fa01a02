"""Decoding and augmenting for training: an 800-px JPEG to a 224-px tensor, against torchvision's usual ways.

All make the same augmentation: a square crop of half to all of the area, antialiased bicubic resizing, one of the eight
symmetries. The pictures are mosaics of real RSICD tiles, each as it is, in JPEG quality 90 and 4:2:0. One thread.

Reading the Huffman codes, which no decoder can leave out, is about three quarters of decoding such a file at half
scale; that bounds what is to be gained.

Run from the project's root, with the data folder ../shared beside it: python benchmarks/decode_image.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from geobind_satellite.images import ImageEncoder, View
from paired import machine, paired, report
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

TILES = Path(__file__).parents[2] / "shared/data/mini/satellite"
SIDE, SIZE, PICTURES, SMALL = 800, 224, 16, 256


def main() -> None:
    """Time the ways in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        large = mosaics(Path(folder))
        kilobytes = sum(path.stat().st_size for path in large) / len(large) / 1000
        print(machine("torchvision", "pillow"))
        compare(f"{SIDE} px ({kilobytes:.0f} kB) to {SIZE} px", large, SIZE, rounds)
    small = sorted(TILES.glob("eurosat/*/*.jpg"))[:: 6000 // SMALL]
    compare("64 px (EuroSAT) to 64 px", small, 64, rounds)


def compare(title: str, paths: list[Path], size: int, rounds: int) -> None:
    """Print a table for one kind of picture: milliseconds an item."""
    ways = contenders(size)
    runs = {name: lambda way=way: [way(path) for path in paths] for name, way in ways.items()}  # type: ignore[misc]
    print(f"\n{title}, median over {rounds} rounds of {len(paths)} pictures")
    report(paired(runs, rounds), "geobind", unit="ms", scale=1000 / len(paths))


def contenders(size: int) -> dict[str, Callable[[Path], object]]:
    """Ways from a path to a tensor uint8 ``[3, size, size]``."""
    encoder = ImageEncoder(View(size=size, mean=(0.5,) * 3, std=(0.5,) * 3), "satellite")
    generator = torch.Generator().manual_seed(0)
    bicubic = v2.InterpolationMode.BICUBIC
    crop = v2.RandomResizedCrop(size, scale=(0.5, 1), ratio=(1, 1), interpolation=bicubic, antialias=True)
    flips = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    turned = v2.RandomApply([v2.Lambda(lambda x: x.transpose(Image.Transpose.ROTATE_90))])
    picture = v2.Compose([crop, *flips, turned, v2.PILToTensor()])
    tensor = v2.Compose([crop, *flips, v2.RandomApply([v2.Lambda(lambda x: torch.rot90(x, 1, (-2, -1)))])])

    def with_pillow(path: Path) -> object:
        with Image.open(path) as image:
            return picture(image.convert("RGB"))

    return {
        "geobind": lambda path: encoder.preprocess(path, train=True, generator=generator),
        "torchvision on Pillow": with_pillow,
        "torchvision.io": lambda path: tensor(decode_jpeg(read_file(str(path)), ImageReadMode.RGB)),
    }


def mosaics(folder: Path) -> list[Path]:
    """Write pictures of real tiles side by side, each tile as it is; what reaches over the edge is cut."""
    tiles = sorted(TILES.glob("rsicd/*/*.jpg"))
    paths = []
    for number in range(PICTURES):
        mosaic = Image.new("RGB", (SIDE, SIDE))
        for place, path in enumerate(tiles[number :: len(tiles) // 16][:16]):  # of 16 scenes, as tiles are sorted
            with Image.open(path) as tile:
                mosaic.paste(tile, (place % 4 * tile.width, place // 4 * tile.height))
        paths.append(folder / f"{number}.jpg")
        mosaic.save(paths[-1], quality=90)
    return paths


if __name__ == "__main__":
    main()
