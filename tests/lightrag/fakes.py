"""A language model, an embedding and a tokenizer for a real LightRAG without a network: deterministic, and quick."""
import hashlib
import os
import re

import numpy as np
from lightrag import LightRAG
from lightrag.utils import EmbeddingFunc, Tokenizer

FIELD, END = "<|#|>", "<|COMPLETE|>"
TYPES = ["Person", "Organization", "Location", "Artifact", "Event", "Concept"]
DIMENSION = 64


class Words:
    """One token is one word or sign; the vocabulary grows as texts are read."""

    def __init__(self):
        self.numbers, self.words = {}, []

    def __deepcopy__(self, memo):
        return self  # LightRAG copies its settings; the vocabulary must stay one

    def encode(self, content):
        tokens = []
        for word in re.findall(r"\w+\s?|\s|[^\w\s]\s?", content):
            if word not in self.numbers:
                self.numbers[word] = len(self.words)
                self.words.append(word)
            tokens.append(self.numbers[word])
        return tokens

    def decode(self, tokens):
        return "".join(self.words[token] for token in tokens)


def names_in(text, limit=12):
    """Runs of capitalised words, in the order in which they are first seen."""
    found = dict.fromkeys(match.group(0) for match in re.finditer(r"\b[A-Z][a-z]{2,}(?:\s[A-Z][a-z]+)*\b", text))
    return list(found)[:limit]


async def model(prompt, system_prompt=None, history_messages=None, keyword_extraction=False, **_):
    """Extracts names as entities, neighbours as relations; summarises by taking the end."""
    prompt = prompt or ""
    if "---Input Text---" in prompt and "Extract entities" in prompt:
        text = prompt.split("---Input Text---")[-1].split("---Output---")[0].strip().strip("`").strip()
        names = names_in(text)
        rows = []
        for name in names:
            kind = TYPES[int(hashlib.md5(name.encode()).hexdigest(), 16) % len(TYPES)]
            rows.append(FIELD.join(["entity", name, kind, f"{name} is named in a passage of {len(text)} letters."]))
        for left, right in zip(names, names[1:]):
            rows.append(FIELD.join(["relation", left, right, "association", f"{left} is named beside {right}."]))
        return "\n".join([*rows, END])
    if "extract any missed" in prompt or "identify and extract any" in prompt:
        return END
    return f"Summary {hashlib.md5(prompt.encode()).hexdigest()[:8]}: " + re.sub(r"\s+", " ", prompt)[-300:]


def vector_of(text, dimension):
    """A bag of hashed words, so that texts with common words lie near each other, over a noise of the text's own: dense, as real ones are."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32) * np.float32(0.5 / dimension**0.5)
    for word in set(re.findall(r"\w+", text.lower())):
        number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        vector[number % dimension] += 1.0 if number >> 40 & 1 else -1.0
    return vector / (np.linalg.norm(vector) + 1e-9)


def embedding(dimension):
    async def embed(texts, **_):
        return np.stack([vector_of(text, dimension) for text in texts])

    return EmbeddingFunc(embedding_dim=dimension, max_token_size=8192, func=embed, model_name="fake")


def make_rag(working_dir, workspace="", dimension=DIMENSION, **settings):
    """A LightRAG with file stores in this directory."""
    os.makedirs(working_dir, exist_ok=True)
    usual = {
        "llm_model_func": model,
        "llm_model_name": "fake",
        "embedding_func": embedding(dimension),
        "tokenizer": Tokenizer("words", Words()),
        "entity_extract_max_gleaning": 0,
        "llm_model_max_async": 4,
        "embedding_func_max_async": 4,
    }
    return LightRAG(working_dir=str(working_dir), workspace=workspace, **(usual | settings))
