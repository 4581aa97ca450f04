"""Compares wane's tokenizers with HF tokenizers: the same ids for the same texts, from the files that wane writes.

Usage: tokenizer_roundtrip.py WANE_TESTS SHARED_DATA [COUNT] [SEED]
  WANE_TESTS   the test program; its case "tokenizer: files for the oracle" reads texts.json and writes
               tokenizer.json, tokenizer_config.json and ids.json for each vocabulary
  SHARED_DATA  the folder with wikitext2/ and tokenizer_vectors/
Needs the packages tokenizers and transformers. GGUF vocabularies go GGUF -> wane -> tokenizer.json -> HF; the two JSON
vocabularies come back as they were. GPT-2's vocabulary is also tried under the pre-tokenizers of Qwen2, SmolLM and
Llama 3, for which there is no GGUF here. Then come small made-up tokenizers, one for every part that wane reads and
random ones, on short texts of their alphabet.
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
RANGES = [(0x20, 0x7E)] * 6 + [(0x09, 0x0D), (0x00, 0x1F), (0x80, 0x2FF), (0x300, 0x36F), (0x370, 0x52F),
          (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0x10FF), (0x1100, 0x11FF), (0x1680, 0x180E), (0x1E00, 0x1FFF),
          (0x2000, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
          (0xFE00, 0xFFFD), (0x1D100, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF)]
PIECES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<|user|>", "<|end|>", "<think>",
          "<tool_call>", "<0x0A>", "\u2581", "  ", "\n\n", "'s", "'RE", "'ll", "\u017f", "'\u017f", "1234", "\u00bd",
          "\u212b", "e\u0301", " \u3000", "\u0085", "\u180e", "\u200d", "<|", "|>", "The", " the", "ing", "\r\n"]
SMALL = ["a", "b", "c", "ab", "abc", " ", "  ", "\u2581", "x", "\u00e9", "e\u0301", "1", "22", "\u00bd", "<l>", "<r>",
         "<lr>", "word", "<n>", "<nn>", "\u00c9", "\t", "\n", "-", "'s", "\u0301", "<u>"]
SPLIT_BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


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
    found += ["".join(rng.choice(SMALL) for _ in range(rng.randrange(1, 30))) for _ in range(count // 2)]
    return found + [random_text(rng) for _ in range(count - count // 2)]


def byte_alphabet():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(0x100 + i) for i, b in enumerate(others)}}


def made_vocabulary(rng, base, joins):
    """Base tokens and random merges of what is there already, as (vocab, merges)."""
    vocab = {token: i for i, token in enumerate(base)}
    parts, merges = list(joins), []
    for _ in range(rng.randrange(5, 40)):
        left, right = rng.choice(parts), rng.choice(parts)
        if left + right not in vocab:
            vocab[left + right] = len(vocab)
            parts.append(left + right)
        if [left, right] not in merges:
            merges.append([left, right])
    return vocab, merges


def made_pretokenizer(rng):
    def split(pattern):
        return {"type": "Split", "pattern": pattern, "behavior": rng.choice(SPLIT_BEHAVIORS),
                "invert": rng.random() < 0.3}
    patterns = [{"String": " "}, {"String": "b."}, {"Regex": "b+"}, {"Regex": r"\s"}, {"Regex": r"\p{N}{1,3}"},
                {"Regex": r"[^\s\p{L}]+|\p{L}+"}]
    stages = [split(rng.choice(patterns)) for _ in range(rng.randrange(0, 3))]
    if rng.random() < 0.4:
        stages.append({"type": "Digits", "individual_digits": rng.random() < 0.6})
    stages.append({"type": "ByteLevel", "add_prefix_space": rng.random() < 0.4, "trim_offsets": True,
                   "use_regex": rng.random() < 0.6})
    return {"type": "Sequence", "pretokenizers": stages}


def made_added(rng, vocab):
    # No two that NFC makes equal: which of them counts changes from run to run in the reference.
    added, fresh = [], len(vocab)
    for content in rng.sample(["<l>", "<r>", "<lr>", "word", "<n>", "<nn>", "\u00e9", "bc", "<u>"], 6):
        special = rng.random() < 0.5
        identity = vocab.get(content, fresh)
        fresh += identity == fresh
        added.append({"id": identity, "content": content, "single_word": rng.random() < 0.3,
                      "lstrip": rng.random() < 0.3, "rstrip": rng.random() < 0.3,
                      "normalized": not special and rng.random() < 0.7, "special": special})
    return added


def made_file(rng):
    byte_level = rng.random() < 0.5
    mark = "\u2581"
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": rng.random() < 0.5, "byte_fallback": False,
             "ignore_merges": rng.random() < 0.3}
    normalizers, pretokenizer = [], None
    if byte_level:
        base = list(byte_alphabet().values())
        model["vocab"], model["merges"] = made_vocabulary(rng, base, ["a", "b", "c", "\u0120", "1", "2", "\u00c3"])
        pretokenizer, decoder = made_pretokenizer(rng), {"type": "ByteLevel", "add_prefix_space": False,
                                                        "trim_offsets": True, "use_regex": True}
        if rng.random() < 0.5:
            normalizers.append({"type": "NFC"})
        if rng.random() < 0.3:
            normalizers.append({"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "})
    else:
        model["byte_fallback"] = rng.random() < 0.6
        model["unk_token"] = "<unk>"
        base = ["<unk>"] + ([f"<0x{b:02X}>" for b in range(256)] if model["byte_fallback"] else [])
        base += [mark, "a", "b", "c", "1", "e"]
        model["vocab"], model["merges"] = made_vocabulary(rng, base, [mark, "a", "b", "c", "1"])
        scheme = rng.choice(["first", "always", "never"])
        if rng.random() < 0.5:
            pretokenizer = {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme,
                            "split": rng.random() < 0.5}
        else:
            normalizers = [{"type": "Prepend", "prepend": mark},
                           {"type": "Replace", "pattern": {"String": " "}, "content": mark}]
        decoder = {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": mark}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    normalizer = {"type": "Sequence", "normalizers": normalizers} if normalizers else None
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": made_added(rng, model["vocab"]),
            "normalizer": normalizer, "pre_tokenizer": pretokenizer, "post_processor": None, "decoder": decoder,
            "model": model}


def compare(name, folder, samples):
    ids = json.loads((folder / "ids.json").read_text())
    reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.no_truncation()
    made = not (folder / "tokenizer_config.json").exists()
    loaded = None if made else AutoTokenizer.from_pretrained(str(folder))
    different = 0
    for text, plain, special, decoded in zip(samples, ids["plain"], ids["special"], ids["decoded"]):
        wanted = [("plain", plain, reference.encode(text, add_special_tokens=False).ids),
                  ("special", special, reference.encode(text, add_special_tokens=True).ids)]
        if not made:
            wanted.append(("transformers", special, loaded(text)["input_ids"]))
            wanted.append(("decoded", decoded, reference.decode(plain, skip_special_tokens=False)))
        for kind, ours, theirs in wanted:
            if ours == theirs:
                continue
            different += 1
            if different <= 5:
                at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                print(f"  {kind} {text[:200]!r}: from {at}: wane {ours[at:at + 8]!r}, reference {theirs[at:at + 8]!r}")
    if not made or different:
        print(f"{name}: {len(samples)} texts, {sum(map(len, ids['plain']))} tokens, {different} differences")
    return different


def main():
    program, data = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    count, seed = (int(a) for a in (sys.argv[3:5] + ["2000", "1"][len(sys.argv) - 3:]))
    samples, rng = texts(data, count, seed), random.Random(seed + 1)
    names = NAMES + [f"made/{i}" for i in range(count // 10)]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).mkdir(parents=True)
            if name not in NAMES:
                (Path(folder) / name / "tokenizer.json").write_text(json.dumps(made_file(rng)))
        (Path(folder) / "texts.json").write_text(json.dumps(samples))
        environment = dict(os.environ, WANE_TOKENIZER_ORACLE=folder, WANE_SHARED=str(data.parent))
        subprocess.run([program, "-tc=tokenizer: files for the oracle"], env=environment, check=True)
        different = [compare(name, Path(folder) / name, samples[name not in NAMES:]) for name in names]
        print(f"{len(names) - len(NAMES)} made-up tokenizers, {sum(different[len(NAMES):])} differences")
        sys.exit(any(different))


main()
