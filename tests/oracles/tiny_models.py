"""Writes tests/golden/models: tiny random checkpoints of each architecture and their float64 logits.

    python tests/oracles/tiny_models.py [--check]

--check recomputes the logits of the committed files and compares instead of writing. Every feature that a checkpoint
is there to test (RoPE scaling, window, biases, q/k norms) is also switched off once, and must move the logits by more
than a hundred times the tolerance of the tests, so that a reader that ignores it cannot pass.
"""
import argparse
import copy
import json
import pathlib
import shutil
import sys
import tempfile

import numpy
import torch
from safetensors.numpy import save_file

from float64 import float32_logits_of, logits_of

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "models"
LENGTH = 40
TOLERANCE = 1e-5

# Sizes are odd on purpose: few powers of two where a kernel could lean on one.
COMMON = {
    "hidden_act": "silu",
    "max_position_embeddings": 256,
    "vocab_size": 80,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "use_cache": True,
}

LLAMA = COMMON | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 68,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}
LLAMA_SCALING = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

CONFIGS = {
    # The spelling before transformers 5.
    "llama": LLAMA | {"torch_dtype": "float32", "rope_theta": 10000.0, "rope_scaling": LLAMA_SCALING},
    "mistral": COMMON
    | {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_size": 40,
        "intermediate_size": 72,
        "num_hidden_layers": 2,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "rms_norm_eps": 1e-05,
        "rope_theta": 1000.0,
        "sliding_window": 13,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    },
    # sliding_window is set but not in use, as in the published Qwen2.5 files.
    "qwen2": COMMON
    | {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": 48,
        "intermediate_size": 56,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_window_layers": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 9,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    },
    # The spelling since transformers 5; 4 heads of 16 on a hidden size of 32; two shards.
    "qwen3": COMMON
    | {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "dtype": "float32",
        "head_dim": 16,
        "hidden_size": 32,
        "intermediate_size": 56,
        "layer_types": ["full_attention", "full_attention", "full_attention"],
        "max_window_layers": 3,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
        "sliding_window": None,
        "use_sliding_window": False,
        "tie_word_embeddings": False,
    },
}
# The same llama model as transformers 5 would describe it.
LLAMA_SINCE_5 = LLAMA | {"dtype": "float32", "rope_parameters": LLAMA_SCALING | {"rope_theta": 10000.0}}
SHARDS = {"qwen3": 2}


def weights_of(config, draw):
    """Random float32 weights under their checkpoint names. Scales keep attention uneven and every part audible."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim", hidden // heads)
    q_rows, kv_rows = heads * head_dim, config["num_key_value_heads"] * head_dim
    weights = {}

    def matrix(name, rows, columns, gain=1.0):
        scale = gain / numpy.sqrt(columns)
        weights[name + ".weight"] = (draw.standard_normal((rows, columns)) * scale).astype(numpy.float32)

    def norm(name, width):
        weights[name + ".weight"] = (1 + 0.3 * draw.standard_normal(width)).astype(numpy.float32)

    matrix("model.embed_tokens", config["vocab_size"], hidden, gain=numpy.sqrt(hidden))
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        norm(f"{layer}.input_layernorm", hidden)
        for part, rows, gain in (("q", q_rows, 1.5), ("k", kv_rows, 1.5), ("v", kv_rows, 1.0)):
            name = f"{layer}.self_attn.{part}_proj"
            matrix(name, rows, hidden, gain)
            if config["model_type"] == "qwen2":
                weights[name + ".bias"] = (0.5 * draw.standard_normal(rows)).astype(numpy.float32)
        if config["model_type"] == "qwen3":
            norm(f"{layer}.self_attn.q_norm", head_dim)
            norm(f"{layer}.self_attn.k_norm", head_dim)
        matrix(f"{layer}.self_attn.o_proj", hidden, q_rows)
        norm(f"{layer}.post_attention_layernorm", hidden)
        matrix(f"{layer}.mlp.gate_proj", config["intermediate_size"], hidden)
        matrix(f"{layer}.mlp.up_proj", config["intermediate_size"], hidden)
        matrix(f"{layer}.mlp.down_proj", hidden, config["intermediate_size"])
    norm("model.norm", hidden)
    if not config["tie_word_embeddings"]:
        matrix("lm_head", config["vocab_size"], hidden)
    return weights


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_checkpoint(folder, config, weights, shards=1):
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(weights)
    files = {}
    for index in range(shards):
        part = names[index * len(names) // shards : (index + 1) * len(names) // shards]
        file = f"model-{index + 1:05}-of-{shards:05}.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        files |= {name: file for name in part}
    total = sum(weight.nbytes for weight in weights.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": files})


def ablations(config, weights):
    """What a wrong reader might leave out: name -> (config, weights) without it."""
    plain = {"rope_theta": 10000.0, "rope_scaling": None}
    if config["model_type"] == "llama":
        yield "rope scaling", config | plain, weights
        yield "rope theta", config | {"rope_theta": 500.0}, weights
    if config["model_type"] == "mistral":
        yield "window", config | {"sliding_window": None}, weights
        yield "window of one more", config | {"sliding_window": config["sliding_window"] + 1}, weights
    if config["model_type"] == "qwen2":
        for part in "qkv":
            less = {n: w * (0 if n.endswith(f"{part}_proj.bias") else 1) for n, w in weights.items()}
            yield f"{part} bias", config, less
        yield "unused window", config | {"use_sliding_window": True, "max_window_layers": 0}, weights
    if config["model_type"] == "qwen3":
        for part in "qk":
            less = {n: w * 0 + 1 if n.endswith(f"{part}_norm.weight") else w for n, w in weights.items()}
            yield f"{part} norm weight", config, less
        other = copy.deepcopy(config)
        other["rope_parameters"]["rope_theta"] = 10000.0
        yield "rope theta", other, weights


def distance(a, b):
    """Relative L2 distance of a from b."""
    return float((a - b).norm() / b.norm())


def run(check):
    root = pathlib.Path(tempfile.mkdtemp()) if check else GOLDEN
    for seed, (name, config) in enumerate(CONFIGS.items(), start=20):
        draw = numpy.random.default_rng(seed)
        weights = weights_of(config, draw)
        tokens = draw.integers(0, config["vocab_size"], LENGTH).tolist()
        folder = root / name
        if not check:
            shutil.rmtree(folder, ignore_errors=True)
        write_checkpoint(folder, config, weights, SHARDS.get(name, 1))
        logits = logits_of(folder, tokens)
        narrow = distance(float32_logits_of(folder, tokens), logits)
        assert narrow < TOLERANCE / 5
        report = [f"{name}: {sum(w.size for w in weights.values())} weights, float32 within {narrow:.1e}"]
        if name == "llama":
            write_json(folder / "config.json", LLAMA_SINCE_5)
            assert torch.equal(logits, logits_of(folder, tokens)), "the two spellings of llama differ"
            write_json(folder / "config.since-5.json", LLAMA_SINCE_5)
            write_json(folder / "config.json", config)
        for what, other, less in ablations(config, weights):
            with tempfile.TemporaryDirectory() as scratch:
                write_checkpoint(pathlib.Path(scratch), other, less)
                moved = distance(logits_of(scratch, tokens), logits)
            report.append(f"without {what} {moved:.2g}")
            assert moved > 100 * TOLERANCE, report
        print(", ".join(report))
        if check:
            stored = json.loads((GOLDEN / name / "logits.json").read_text())
            assert stored["tokens"] == tokens
            moved = distance(torch.tensor(stored["logits"], dtype=torch.float64), logits)
            print(f"  stored logits are within {moved:.1e}")
            assert moved < 1e-8
            for file in folder.iterdir():
                assert (GOLDEN / name / file.name).read_bytes() == file.read_bytes(), file.name
        else:
            # Nine digits are 1e-9 relative, a ten-thousandth of the tests' tolerance.
            rows = ",\n  ".join("[" + ",".join(f"{x:.9g}" for x in row) + "]" for row in logits.tolist())
            text = f'{{"tokens": {json.dumps(tokens)},\n "logits": [\n  {rows}\n]}}\n'
            json.loads(text)
            (folder / "logits.json").write_text(text)
    if check:
        shutil.rmtree(root)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    run(parser.parse_args().check)
    sys.exit(0)
