"""all-MiniLM-L6-v2, a sentence encoder whose weights come in a package.

MiniLM: Wang et al., arXiv 2002.10957; sentence embeddings by mean pooling: Reimers & Gurevych, arXiv 1908.10084.
Shapes: B batch, T tokens of the longest text in it, E = 384.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from geobind_satellite.checkpoints import fill
from geobind_satellite.texts import read_text
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import geobind
from geobind.encoder import Batch
from geobind.weights import load_safetensors
from geobind_text import MiniLMConfig
from geobind_text.weights import PACKAGE, VERSION, minilm_file

with geobind.needs("transformers", "pip install transformers"):
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

MAX_TOKENS = 256
"""The model's own limit (``sentence_bert_config.json``); longer texts are cut."""


class MiniLM(geobind.Encoder):
    """The mean of a text's token features."""

    # Measured on a CPU core: larger batches are padded more, and are no faster for it.
    throughput_batch = 64

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        self.pretrained = config.pretrained
        bert = BertConfig(**json.loads(minilm_file("config.json").read_text(encoding="utf-8")))
        self.embed_dim = bert.hidden_size
        # Without BERT's pooler, which sentence embeddings do not use: idle parameters would stop DDP.
        self.bert = BertModel(bert, add_pooling_layer=False)
        self.tokenizer = Tokenizer.from_file(str(minilm_file("tokenizer.json")))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def load_pretrained(self) -> str:
        """Weights out of the package."""
        if not self.pretrained:
            return "random"
        state = load_safetensors(minilm_file("model.safetensors"))
        unused = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids")
        phrase = f"all-MiniLM-L6-v2 ({PACKAGE} {VERSION})"
        fill(self.bert, {key: value for key, value in state.items() if key not in unused}, source=phrase)
        return phrase

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """``{"input_ids": int64 [T]}``.

        Raises:
            DataError: Not a string, or nothing but blanks.
        """
        return {"input_ids": torch.tensor(self.tokenizer.encode(read_text(item)).ids)}

    def collate(self, samples: list[Batch]) -> Batch:
        """Pad to the longest text: ``{"input_ids": [B, T], "attention_mask": [B, T]}``."""
        if not samples:
            return super().collate(samples)  # which says so
        ids = [sample["input_ids"] for sample in samples]
        # The mask comes from the lengths: a caption may itself spell "[PAD]".
        return {
            "input_ids": pad_sequence(ids, batch_first=True),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        }

    def tokens(self, batch: Batch) -> Tensor:
        """Features by token ``[B, T, E]``, zero where the text has ended."""
        mask = batch["attention_mask"]
        features: Tensor = self.bert(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        return features * mask.unsqueeze(-1)

    def forward(self, batch: Batch) -> Tensor:
        """``[B, E]``: the mean over a text's own tokens."""
        return self.tokens(batch).sum(dim=1) / batch["attention_mask"].sum(dim=1, keepdim=True)

    def describe_preprocessing(self) -> dict[str, Any]:
        """The tokenizer and its limit."""
        return {"tokenizer": f"{PACKAGE} {VERSION}", "max_tokens": MAX_TOKENS}


def build(config: MiniLMConfig) -> MiniLM:
    """The encoder with random weights.

    Raises:
        WeightsError: The package with its vocabulary is absent or altered.
    """
    return MiniLM(config)
