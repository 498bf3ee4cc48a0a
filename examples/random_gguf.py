"""A small llama model of random weights with a vocabulary of any size, as a GGUF: to measure sampling, not for text.

pip install gguf
python examples/random_gguf.py MODEL.gguf [VOCAB]
"""

from __future__ import annotations

import sys

import gguf
import numpy as np

WIDTH, HEADS, FORWARD = 64, 2, 128
SPREAD = 3.0  # deviation of the logits, about that of trained models


def words(vocab: int) -> list[str]:
    """Unknown, begin, end, the 256 bytes, then words that are never cut out of a text."""
    return ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *(f"w{i}" for i in range(259, vocab))]


def write(path: str, vocab: int = 128_256, *, seed: int = 0) -> None:
    """One layer, width 64; its logits look like draws from a normal distribution of deviation 3."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocab)
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words(vocab))
    writer.add_token_scores([0.0] * 259 + [-1e6 - i for i in range(259, vocab)])
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * (vocab - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {
        "token_embd": (vocab, WIDTH),
        "output": (vocab, WIDTH),
        **{f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_gate": (FORWARD, WIDTH),
        "blk.0.ffn_up": (FORWARD, WIDTH),
        "blk.0.ffn_down": (WIDTH, FORWARD),
    }
    for name, shape in shapes.items():
        weights = rng.standard_normal(shape, np.float32) * (SPREAD / shape[1] ** 0.5)
        writer.add_tensor(f"{name}.weight", weights)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1], *map(int, sys.argv[2:]))
