"""Two ways of reading a target off frozen embeddings, and the choice of their one hyper-parameter.

Shapes: N items, D dimensions, F folds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError, needs
from geobind.evaluate.probe.targets import Kind
from geobind.evaluate.probe.task import Part

Method = Literal["linear", "knn"]
METHODS: tuple[Method, ...] = ("linear", "knn")
Predict = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Embeddings ``[N, D]`` → what they are taken for ``[N]``."""

C_GRID = tuple(10.0**power for power in range(-2, 4))
ALPHA_GRID = tuple(10.0 ** (power / 2) for power in range(6, -9, -1))
K_GRID = (50, 20, 10, 5, 1)
"""Each grid runs from the smoothest to the roughest model; among equals the smoothest is chosen."""
FOLDS = 5
MAX_ITERATIONS = 10_000
"""Of L-BFGS, which needs hundreds; a fit that does not end by then is worth its warning."""
TOLERANCE = 1e-5
"""Of L-BFGS, on the largest component of the gradient; embeddings are small numbers, and so are gradients."""

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows to fit on and rows to check."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A method's hyper-parameter and how it was found."""

    method: Method
    name: str
    """``C``, ``alpha`` or ``k``."""
    value: float
    grid: tuple[float, ...]
    """The values that were tried."""
    losses: tuple[float, ...]
    """Error rate or mean squared error of each."""

    @property
    def at_edge(self) -> bool:
        """Whether a value beyond the grid might do better: the best lies at an end and beats its neighbour."""
        best = self.grid.index(self.value)
        beside = {0: 1, len(self.grid) - 1: len(self.grid) - 2}.get(best)
        return len(self.grid) > 1 and beside is not None and self.losses[best] < self.losses[beside]

    def __str__(self) -> str:
        return f"{self.name} = {self.value:.4g}"


def linear(kind: Kind, train: Part, strength: float) -> Predict:
    """Logistic regression (L-BFGS) or ridge regression on embeddings that were centred and divided by one number.

    That number is the root mean square norm of the centred embeddings: directions keep their spread, and the
    hyper-parameter means the same in any space. Centring changes no solution, as the intercept is not penalised.

    Args:
        kind: Of the target.
        train: What to fit on; at least two distinct targets.
        strength: ``C`` (inverse of the penalty) or ``alpha`` (the penalty), as scikit-learn defines them.
    """
    with needs("scikit-learn", INSTALL):
        from sklearn.linear_model import LogisticRegression, Ridge
    # In the precision of the embeddings L-BFGS is twice as fast; ridge solves a system that needs double precision.
    x = train.x if kind == "classification" else train.x.astype(np.float64)
    centre = x.mean(axis=0)
    scale = np.sqrt(np.mean(((x - centre) ** 2).sum(axis=1))) or x.dtype.type(1)
    if kind == "classification":
        model = LogisticRegression(C=strength, tol=TOLERANCE, max_iter=MAX_ITERATIONS)
    else:
        model = Ridge(alpha=strength)
    with warnings.catch_warnings():
        # One example of each class is meant, and no sign of a quantity.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        model.fit((x - centre) / scale, train.y)
    return lambda vectors: np.asarray(model.predict((vectors.astype(x.dtype) - centre) / scale))


def knn(kind: Kind, train: Part, k: float) -> Predict:
    """The majority or the mean of the ``k`` most similar train items by cosine; every neighbour counts the same."""
    with needs("scikit-learn", INSTALL):
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    make = KNeighborsClassifier if kind == "classification" else KNeighborsRegressor
    model = make(n_neighbors=int(k), metric="cosine", algorithm="brute", n_jobs=1).fit(train.x, train.y)
    return lambda vectors: np.asarray(model.predict(vectors))


INSTALL = "pip install 'geobind[probe]'"
_FIT: dict[Method, Callable[[Kind, Part, float], Predict]] = {"linear": linear, "knn": knn}


def fit(method: Method, kind: Kind, train: Part, value: float) -> Predict:
    """Fit a method with its hyper-parameter."""
    return _FIT[method](kind, train, value)


def choose(method: Method, kind: Kind, train: Part, val: Part) -> tuple[Chosen, Predict]:
    """Choose a method's hyper-parameter on ``val`` and fit it on ``train``, or cross-validate where ``val`` is empty.

    Raises:
        DataError: Too few places to cross-validate.
    """
    name, grid = _grid(method, kind)
    if len(val):
        pairs = [(train, val)]
    else:
        pairs = [(train.take(fitted), train.take(checked)) for fitted, checked in folds(kind, train)]
    if method == "knn":
        grid = tuple(k for k in grid if k <= min(len(fitted) for fitted, _ in pairs))
    losses = [
        float(
            np.mean([_loss(kind, fit(method, kind, fitted, value)(checked.x), checked.y) for fitted, checked in pairs])
        )
        for value in grid
    ]
    value = grid[int(np.argmin(losses))]
    return Chosen(method, name, value, grid, tuple(losses)), fit(method, kind, train, value)


def folds(kind: Kind, train: Part) -> list[Fold]:
    """Up to :data:`FOLDS` folds whose places are apart; one that would be fitted on a single class is left out.

    Raises:
        DataError: Nothing is left.
    """
    with needs("scikit-learn", INSTALL):
        from sklearn.model_selection import GroupKFold
    places = len(np.unique(train.place))
    found: Sequence[Fold] = []
    if places > 1:
        found = list(GroupKFold(min(FOLDS, places)).split(train.x, groups=train.place))
    usable = [fold for fold in found if kind == "regression" or len(np.unique(train.y[fold[0]])) > 1]
    if not usable:
        raise DataError(
            f"{places} places of train are too few to cross-validate",
            fix="Use data that has a val split, or more of it.",
        )
    return usable


def _grid(method: Method, kind: Kind) -> tuple[str, tuple[float, ...]]:
    if method == "knn":
        return "k", K_GRID
    return ("C", C_GRID) if kind == "classification" else ("alpha", ALPHA_GRID)


def _loss(kind: Kind, predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.mean(predicted != truth if kind == "classification" else (predicted - truth) ** 2))
