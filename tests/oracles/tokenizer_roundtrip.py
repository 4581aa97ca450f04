"""Compares wane's tokenizers with HF tokenizers: the same ids for the same texts, from the files that wane writes.

Usage: tokenizer_roundtrip.py WANE_TESTS SHARED_DATA [COUNT] [SEED]
  WANE_TESTS   the test program; its case "tokenizer: files for the oracle" reads texts.json and writes
               tokenizer.json, tokenizer_config.json and ids.json for each vocabulary
  SHARED_DATA  the folder with wikitext2/ and tokenizer_vectors/
Needs the packages tokenizers and transformers. GGUF vocabularies go GGUF -> wane -> tokenizer.json -> HF; the two JSON
vocabularies come back as they were. GPT-2's vocabulary is also tried under the pre-tokenizers of Qwen2, SmolLM and
Llama 3, for which there is no GGUF here.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer

NAMES = ["gpt-2", "phi-3", "stories", "as-qwen2", "as-smollm", "as-llama-bpe", "qwen3", "smollm2"]
# SentencePiece-style files lose the order of equal pairs when they become a list of merges; no text here shows it.
RANGES = [(0x20, 0x7E)] * 6 + [(0x09, 0x0D), (0x00, 0x1F), (0x80, 0x2FF), (0x300, 0x36F), (0x370, 0x52F),
          (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0x10FF), (0x1100, 0x11FF), (0x1680, 0x180E), (0x1E00, 0x1FFF),
          (0x2000, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
          (0xFE00, 0xFFFD), (0x1D100, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF)]
PIECES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<|user|>", "<|end|>", "<think>",
          "<tool_call>", "<0x0A>", "\u2581", "  ", "\n\n", "'s", "'RE", "'ll", "\u017f", "'\u017f", "1234", "\u00bd",
          "\u212b", "e\u0301", " \u3000", "\u0085", "\u180e", "\u200d", "<|", "|>", "The", " the", "ing", "\r\n"]


def random_text(rng):
    out = []
    for _ in range(rng.randrange(1, 60)):
        if rng.random() < 0.25:
            out.append(rng.choice(PIECES))
            continue
        low, high = rng.choice(RANGES)
        character = chr(rng.randint(low, high))
        # Unassigned characters get their class with some later version of Unicode, which differs among libraries.
        if unicodedata.category(character) not in ("Cn", "Cs"):
            out.append(character * rng.choice([1, 1, 1, 2, 5]))
    return "".join(out)


def texts(data, count, seed):
    rng = random.Random(seed)
    wiki = (data / "wikitext2/wiki.test.raw").read_text(encoding="utf-8")
    vectors = (data / "tokenizer_vectors/ggml-vocab-gpt-2.gguf.inp").read_text(encoding="utf-8")
    found = [wiki] + vectors.split("\n__ggml_vocab_test__\n")[:46]
    return found + [random_text(rng) for _ in range(count)]


def compare(name, folder, samples):
    ids = json.loads((folder / "ids.json").read_text())
    reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.no_truncation()
    loaded = AutoTokenizer.from_pretrained(str(folder))
    different = 0
    for text, plain, special, decoded in zip(samples, ids["plain"], ids["special"], ids["decoded"]):
        wanted = [
            ("plain", plain, reference.encode(text, add_special_tokens=False).ids),
            ("special", special, reference.encode(text, add_special_tokens=True).ids),
            ("transformers", special, loaded(text)["input_ids"]),
            ("decoded", decoded, reference.decode(plain, skip_special_tokens=False)),
        ]
        for kind, ours, theirs in wanted:
            if ours == theirs:
                continue
            different += 1
            if different <= 5:
                at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                print(f"  {kind} {text[:200]!r}: from {at}: wane {ours[at:at + 8]!r}, reference {theirs[at:at + 8]!r}")
    print(f"{name}: {len(samples)} texts, {sum(map(len, ids['plain']))} tokens, {different} differences")
    return different


def main():
    program, data = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    count, seed = (int(a) for a in (sys.argv[3:5] + ["2000", "1"][len(sys.argv) - 3:]))
    samples = texts(data, count, seed)
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            (Path(folder) / name).mkdir()
        (Path(folder) / "texts.json").write_text(json.dumps(samples))
        environment = dict(os.environ, WANE_TOKENIZER_ORACLE=folder, WANE_SHARED=str(data.parent))
        subprocess.run([program, "-tc=tokenizer: files for the oracle"], env=environment, check=True)
        sys.exit(any([compare(name, Path(folder) / name, samples) for name in NAMES]))


main()
