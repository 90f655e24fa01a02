"""Exact ranks, and what follows from them, of retrieval by cosine; in tiles, with a stated tie rule.

Shapes: Q queries, G gallery items, D dimensions, A and B items of two modalities, P positives of a query, L layers.
"""

from geobind.ranks.positives import Positives
from geobind.ranks.ranking import CHUNK, Ranking, rank_both
from geobind.ranks.ties import TIE_WIDTH, Ties

__all__ = ["CHUNK", "TIE_WIDTH", "Positives", "Ranking", "Ties", "rank_both"]
