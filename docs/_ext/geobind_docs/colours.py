"""The house's colours as the theme's variables: paper, ink and lines are those of the evaluation report."""

from __future__ import annotations

from geobind.palette import DARK, LIGHT, SERIES, Colour, hexadecimal


def _theme(paper: str, side: str, ink: str, soft: str, line: str, brand: Colour, quiet: Colour) -> dict[str, str]:
    return {
        "color-background-primary": paper,
        "color-background-secondary": side,
        "color-background-border": line,
        "color-background-hover": hexadecimal(quiet),
        "color-foreground-primary": ink,
        "color-foreground-secondary": soft,
        "color-foreground-muted": soft,
        "color-brand-primary": hexadecimal(brand),
        "color-brand-content": hexadecimal(brand),
        "color-brand-visited": hexadecimal(brand),
        "color-api-name": hexadecimal(brand),
        "color-api-pre-name": soft,
        "color-code-background": side,
        "color-inline-code-background": side,
        "font-stack": "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "font-stack--monospace": "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    }


LIGHT_THEME = _theme("#fbfcfb", "#f1f5f4", "#0d1e22", "#55666a", "#dbe3e1", SERIES[0], LIGHT[0])
DARK_THEME = _theme("#11181b", "#182125", "#e7efed", "#9fb1b1", "#2b383c", DARK[4], DARK[0])
