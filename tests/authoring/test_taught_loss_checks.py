"""What is wrong with the terms that a distilling loss adds for each item is told."""

from __future__ import annotations

import pytest

from geobind.authoring.checks.subjects import LossSubject

RESULT = "return -(rows.sum(1).mean() + columns.sum(0).mean()) / 2"
TERMS = "return (self.map(tokens) - taught['one']).square().mean((1, 2))"
TAUGHT = f"""{RESULT}

        @property
        def teachers(self):
            from geobind.encoder import Encoder

            made = Encoder()
            made.weight = torch.nn.Parameter(torch.zeros(3))
            return {{"one": made}}

        def meet(self, tokens, batch, taught):
            self.map = torch.nn.Linear(tokens.shape[2], taught["one"].shape[2])

        def of_items(self, tokens, batch, taught):
            {TERMS}"""
MUTANTS = {
    "a mean over items": ("the terms of 8 items are []", TERMS, TERMS.replace(".mean((1, 2))", ".mean()")),
    "a batch in its norm": (
        "items alone have other terms",
        TERMS,
        TERMS.replace("self.map(tokens)", "self.map(tokens / tokens.norm())"),
    ),
    "a student that is detached": ("the student has no gradient", TERMS, TERMS.replace("tokens)", "tokens.detach())")),
    "an unused translator": (
        "`map.weight` has no gradient",
        TERMS,
        TERMS.replace("self.map(tokens)", "tokens"),
    ),
    "a division by zero": ("a term of an item is not finite", TERMS, TERMS.replace("return ", "return 1 / 0.0 ** ")),
    "a teacher that learns": (
        "its parameters hold a teacher's",
        'return {"one": made}',
        'self.one = self.one if hasattr(self, "one") else made\n            return {"one": self.one}',
    ),
}
"""What is wrong → what the check says, and what is written in the place of what."""


def test_a_sound_one_fails_nothing(failing):
    assert failing(LossSubject, (RESULT, TAUGHT)) == {}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_is_wrong_is_told(failing, mutant):
    words, old, new = MUTANTS[mutant]
    assert TAUGHT.count(old) == 1
    found = failing(LossSubject, (RESULT, TAUGHT.replace(old, new)))
    assert words in found["terms_of_items_are_their_own"]
