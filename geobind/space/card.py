"""The card of a space: its README.md, for whoever is handed the folder."""

from __future__ import annotations

from geobind.space.records import SpaceRecord, TowerRecord


def render_card(name: str, record: SpaceRecord) -> str:
    """Markdown that says what the space holds, how each tower was bound, and how to use it."""
    lines = [
        f"# {name}: a geobind space",
        "",
        f"{record.dim} dimensions, anchored in **{record.anchor}** (fingerprint `{record.fingerprint}`),"
        f" recipe `{record.recipe_name}`, written by geobind {record.geobind}.",
        "",
        "| modality | encoder | initial weights | licence of the weights | bound by | what learnt | pairs |",
        "|---|---|---|---|---|---|---|",
        *(_row(tower, stale=modality in record.stale) for modality, tower in record.towers.items()),
        *_merged(record),
        "",
        "```python",
        "import geobind",
        "",
        f'space = geobind.load("{name}")',
        f'embeddings = space.encode("{record.anchor}", items)  # float32 [N, {record.dim}], unit norm',
        "```",
        "",
        "Embeddings are compared by cosine; the temperatures of the losses are in `space.json`.",
        "",
    ]
    return "\n".join(lines)


def _row(tower: TowerRecord, *, stale: bool) -> str:
    bound = tower.bound
    by = f"{bound.stage}{' (stale)' if stale else ''}" if bound else "anchor"
    learnt = bound.train if bound else ", ".join(tower.stages) or "none"
    pairs = f"{bound.pairs:,} ({bound.origin})" if bound else ""
    encoder = tower.encoder["type"] + (f", shared tower `{tower.tower}`" if tower.tower else "")
    cells = (tower.modality, encoder, tower.weights, tower.licence or "–", by, learnt, pairs)
    return f"| {' | '.join(cells)} |"


def _merged(record: SpaceRecord) -> list[str]:
    """A paragraph on the towers that lie between two others."""
    told = [
        f"{name} is {1 - how.alpha:g} · `{how.a}` + {how.alpha:g} · `{how.b}`"
        for name, tower in record.towers.items()
        if (how := tower.merged)
    ]
    return ["", f"Merged weights: {'; '.join(told)} (fingerprints of towers)."] if told else []
