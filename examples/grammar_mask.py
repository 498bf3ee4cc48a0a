"""JSON that follows a schema: the masks of llguidance or xgrammar go into a Sampler as they are.

The words of the mask are allocated once, and the Sampler with them; the grammar's package writes the mask of each step
into them, and the Sampler reads it there. The model is random, so the text is valid and means nothing. Needs llguidance
(``pip install llguidance``) or xgrammar (``pip install xgrammar``, which brings torch). Run it with
``python examples/grammar_mask.py [llguidance|xgrammar] [seed]``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits as fl

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: One token per printable character, some longer ones, and the end of the text.
VOCAB = [*map(chr, range(32, 127)), '{"', '": ', '", "', "true", "false", "ship", "light", "</s>"]
END = len(VOCAB) - 1
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["ship", "lighthouse"]},
        "year": {"type": "integer", "minimum": 1000, "maximum": 9999},
        "afloat": {"type": "boolean"},
    },
    "required": ["name", "kind", "year", "afloat"],
    "additionalProperties": False,
}


class LLGuidance:
    """A matcher of llguidance, and the words [1, ceil(V / 32)] that it fills."""

    eos_token_id, bos_token_id, special_token_ids = END, None, (END,)
    tokens = tuple(token.encode() for token in VOCAB)

    def __init__(self, vocab: int) -> None:
        import llguidance
        import llguidance.numpy

        self.fill = llguidance.numpy.fill_next_token_bitmask
        tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(self))
        options = {"whitespace_flexible": False}
        grammar = llguidance.LLMatcher.grammar_from_json_schema(SCHEMA, defaults=options)
        self.matcher = llguidance.LLMatcher(tokenizer, grammar)
        self.words = llguidance.numpy.allocate_token_bitmask(1, vocab)

    def __call__(self, text: str) -> list[int]:
        """The text's tokens, one per character, as llguidance asks for them."""
        return [VOCAB.index(character) for character in text]

    def next_mask(self) -> None:
        """Fill the words for the next token."""
        self.fill(self.matcher, self.words)

    def accept(self, token: int) -> None:
        """Go on behind the token."""
        self.matcher.consume_token(token)


class XGrammar:
    """The same of xgrammar; its words are a torch tensor."""

    def __init__(self, vocab: int) -> None:
        import xgrammar

        info = xgrammar.TokenizerInfo(VOCAB, vocab_size=vocab, stop_token_ids=END)
        grammar = xgrammar.GrammarCompiler(info).compile_json_schema(json.dumps(SCHEMA), any_whitespace=False)
        self.matcher = xgrammar.GrammarMatcher(grammar)
        self.words = xgrammar.allocate_token_bitmask(1, vocab)

    def next_mask(self) -> None:
        """Fill the words for the next token."""
        self.matcher.fill_next_token_bitmask(self.words)

    def accept(self, token: int) -> None:
        """Go on behind the token."""
        self.matcher.accept_token(token)


ENGINES: dict[str, type[LLGuidance | XGrammar]] = {"llguidance": LLGuidance, "xgrammar": XGrammar}


def random_model(vocab: int, seed: int) -> NDArray[np.float32]:
    """Logits [vocab, vocab], by the token before; quotation marks and the end are likely, as they are in text."""
    logits = np.random.default_rng(seed).normal(size=(vocab, vocab)).astype(np.float32)
    logits[:, [VOCAB.index('"'), END]] += 3
    return logits


def generate(engine: LLGuidance | XGrammar, seed: int, length: int = 200) -> str:
    """A text that the grammar allows, up to its end."""
    model = random_model(len(VOCAB), 0)
    sampler = fl.Sampler(mask=engine.words[0], temperature=0.9, top_p=0.95)  # once: the words stay where they are
    tokens = [END]
    while len(tokens) < length:
        engine.next_mask()
        token = sampler.sample(model[tokens[-1]], context=tokens, rng=seed)
        if token == END:
            break
        engine.accept(token)
        tokens.append(token)
    return "".join(VOCAB[token] for token in tokens[1:])


def main(name: str = "llguidance", seed: str = "7") -> None:
    """Print some texts, each of them read by Python's json."""
    for each in range(int(seed), int(seed) + 4):
        print(json.loads(generate(ENGINES[name](len(VOCAB)), each)))


if __name__ == "__main__":
    main(*sys.argv[1:3])
