"""The wavelength-conditioned ViT: throughput by number of bands, and against a plain timm ViT of the same size.

    python benchmarks/dynamic_vit.py [--size small --image 224 --patch 16 --batch 8 --rounds 7]

Pixels are random and in memory, weights too. *Plain* is timm's ``VisionTransformer`` of the same width, depth and
pooling on 3 bands. Each contender's forward pass (evaluation, without gradients) and its forward and backward pass
(training) are timed, all in turns in one process. In both, the kernels are made anew for every batch. A ratio is one of
throughputs: the wanted ones are 0.75 and 0.30 for 12 and 202 bands against 3, and 0.90 for 3 bands against plain.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from paired import machine, paired

WANTED = {"12 bands": ("3 bands", 0.75), "202 bands": ("3 bands", 0.30), "3 bands": ("plain", 0.90)}


def contenders(
    arguments: argparse.Namespace,
) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """Forward passes by name, and forward and backward passes."""
    from geobind_sensors.vit import DynamicVitConfig
    from geobind_sensors.vit.encoder import build
    from timm.models.vision_transformer import VisionTransformer

    config = DynamicVitConfig(size=arguments.size, patch=arguments.patch, image_size=arguments.image)
    width, depth, heads, mlp_ratio = config.shape
    dynamic = build(config)
    plain = VisionTransformer(
        img_size=arguments.image,
        patch_size=arguments.patch,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=mlp_ratio,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
        num_classes=0,
    )
    networks: dict[str, Callable[[], torch.Tensor]] = {}
    pixels = torch.randn(arguments.batch, 202, arguments.image, arguments.image)
    for count in (3, 12, 202):
        batch = {"pixels": pixels[:, :count].contiguous(), "wavelengths": torch.linspace(0.42, 2.45, count)}
        networks[f"{count} bands"] = lambda batch=batch: dynamic(batch)
    three = pixels[:, :3].contiguous()
    networks["plain"] = lambda: plain(three)

    def forward(network: Callable[[], torch.Tensor]) -> Callable[[], object]:
        def run() -> None:
            dynamic.eval()
            plain.eval()
            with torch.no_grad():
                network()

        return run

    def both(network: Callable[[], torch.Tensor]) -> Callable[[], object]:
        def run() -> None:
            for module in (dynamic, plain):
                module.train().zero_grad(set_to_none=True)
            network().square().sum().backward()

        return run

    return (
        {name: forward(network) for name, network in networks.items()},
        {name: both(network) for name, network in networks.items()},
    )


def main() -> None:
    """Time all of them and print throughputs and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small", help="of the ViT: tiny, small, base")
    parser.add_argument("--image", type=int, default=224, help="side in pixels")
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(machine("timm"))
    for name, functions in zip(("forward", "forward and backward"), contenders(arguments), strict=True):
        figures = paired(functions, arguments.rounds)
        print(f"{name}, ViT-{arguments.size}/{arguments.patch}, {arguments.image} pixels, batch {arguments.batch}")
        for contender, seconds in figures.items():
            line = f"  {contender:<9} {arguments.batch / statistics.median(seconds):8.1f} images/s"
            if contender in WANTED:
                other, wanted = WANTED[contender]
                ratios = [a / b for a, b in zip(figures[other], seconds, strict=True)]
                line += f"   {statistics.median(ratios):.2f} of {other} ({min(ratios):.2f} to {max(ratios):.2f})"
                line += f", wanted {wanted:.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
