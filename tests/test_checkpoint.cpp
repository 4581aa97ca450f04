// A checkpoint as the engine sees it: one model from an HF folder and from GGUF, and one spelling of its
// config.
#include <cmath>
#include <numbers>

#include <nlohmann/json.hpp>

#include "runtime/hash.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/config.h"
#include "tests/checkpoint_files.h"
#include "tests/shared_data.h"

using namespace wane;
using namespace wane::test;
using nlohmann::json;

namespace {

std::vector<float> values(const Checkpoint& model, const TensorEntry& entry) {
  std::vector<float> out(size_t(entry.rows() * entry.cols()));
  model.read(entry, DType::f32, std::as_writable_bytes(std::span(out)));
  return out;
}

json normalized(const std::string& text) { return json::parse(normalized_config(text, "config.json")); }
Error refused(const std::string& text) {
  return error_of([&] { normalized_config(text, "dir/config.json"); });
}

GgufBuilder llama_file() {
  GgufBuilder file;
  file.keys = {{"general.architecture", gguf_text("llama")},
               {"llama.context_length", gguf_u32(128)},
               {"llama.embedding_length", gguf_u32(64)},
               {"llama.block_count", gguf_u32(2)},
               {"llama.feed_forward_length", gguf_u32(96)},
               {"llama.attention.head_count", gguf_u32(4)},
               {"llama.attention.head_count_kv", gguf_u32(2)},
               {"llama.attention.layer_norm_rms_epsilon", gguf_f32(1e-5f)},
               {"llama.rope.freq_base", gguf_f32(500000)},
               {"tokenizer.ggml.eos_token_id", gguf_u32(2)}};
  file.tensors = {{"token_embd.weight", {32, 3}, 1, std::string(32 * 3 * 2, '\0')}};
  return file;
}
json config_of(const GgufBuilder& file) {
  TempFolder folder;
  write_file(folder / "m.gguf", file.bytes());
  return json::parse(Checkpoint::open(folder / "m.gguf")->config_json());
}
Error config_problem(const GgufBuilder& file) {
  TempFolder folder;
  write_file(folder / "m.gguf", file.bytes());
  return error_of([&] { Checkpoint::open(folder / "m.gguf")->config_json(); });
}

} // namespace

TEST_CASE("checkpoint: stories260K is the same model from GGUF and from its HF folder") {
  NEED_SHARED_DATA(folder, "model_stories260K");
  auto hf = Checkpoint::open(folder + "/hf"), gguf = Checkpoint::open(folder + "/stories260K.gguf");
  CHECK_FALSE(hf->is_gguf());
  CHECK(hf->tensors().size() == gguf->tensors().size());
  for (auto& entry : gguf->tensors()) {
    INFO(entry.name);
    auto name = gguf->model_name(entry);
    REQUIRE(name);
    auto* twin = hf->find_model(*name);
    REQUIRE(twin != nullptr);
    CHECK(hf->model_name(*twin) == *name);
    CHECK(gguf->find_model(twin->name) == &entry);
    CHECK(twin->shape == entry.shape);
    CHECK(values(*gguf, entry) == values(*hf, *twin));
  }
  auto& query = *gguf->find("blk.0.attn_q.weight");
  CHECK(query.permuted_heads == 8);
  std::vector<float> file_order(64 * 64);
  gguf->read(query, DType::f32, std::as_writable_bytes(std::span(file_order)), 0, -1, RowOrder::file);
  CHECK(file_order != values(*gguf, query));

  auto from_gguf = json::parse(gguf->config_json()), from_hf = json::parse(hf->config_json());
  for (auto& [key, value] : from_hf.items()) {
    INFO(key);
    CHECK(from_gguf[key] == value);
  }
  CHECK(hf->total_bytes() == gguf->total_bytes());
  CHECK(hf->sha256() == sha256_hex(read_file(folder + "/hf/model.safetensors")));
  CHECK(hf->text_file("tokenizer.json") == std::nullopt);
  CHECK(hf->text_file("config.json")->find("LlamaForCausalLM") != std::string::npos);
}

TEST_CASE("checkpoint: the hash of several files covers each of them") {
  TempFolder folder;
  write_file(folder / "config.json", "{}");
  auto shard = [](char value) {
    return safetensors_bytes("{" + safetensors_entry(std::string(1, value), "U8", "[1]", "[0,1]") + "}",
                             {value});
  };
  write_file(folder / "1.safetensors", shard('a'));
  write_file(folder / "2.safetensors", shard('b'));
  write_file(folder / "model.safetensors.index.json",
             R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  auto list = fmt::format("{}  {}\n{}  {}\n", sha256_hex(shard('a')), shard('a').size(),
                          sha256_hex(shard('b')), shard('b').size());
  CHECK(Checkpoint::open(folder.path())->sha256() == sha256_hex(list));
}

TEST_CASE("checkpoint: wrong use of read") {
  TempFolder folder;
  write_file(folder / "config.json", "{}");
  write_file(folder / "model.safetensors",
             safetensors_bytes("{" + safetensors_entry("a", "I64", "[2,1]", "[0,16]") + ","
                                   + safetensors_entry("b", "U16", "[1]", "[16,18]") + "}",
                               std::string(18, 'x')));
  auto model = Checkpoint::open(folder.path());
  std::vector<std::byte> out(16);
  auto reading = [&](const char* name, DType as, size_t bytes, int64_t first, int64_t rows) {
    return error_of([&] { model->read(*model->find(name), as, std::span(out).first(bytes), first, rows); });
  };
  CHECK_CONTAINS(reading("a", DType::f32, 8, 0, -1).what(),
                 "not supported: reading \"a\", which is i64, as f32");
  CHECK_CONTAINS(reading("b", DType::u8, 2, 0, -1).what(), "not supported: tensor type U16 of \"b\"");
  CHECK_CONTAINS(reading("a", DType::i64, 16, 1, 2).what(), "rows 1 to 3 of \"a\", which has 2");
  CHECK_CONTAINS(reading("a", DType::i64, 8, 0, -1).what(), "a target of 8 bytes for 16 of \"a\"");
  CHECK_NOTHROW(model->read(*model->find("a"), DType::i64, {}, 2, 0));
  CHECK(model->find("c") == nullptr);
}

TEST_CASE("checkpoint: a file that shrinks after it was opened is an error, no crash") {
  TempFolder folder;
  write_file(folder / "config.json", "{}");
  auto path = folder / "model.safetensors";
  write_file(path, safetensors_bytes("{" + safetensors_entry("a", "U8", "[64]", "[0,64]") + "}",
                                     std::string(64, 'x')));
  auto model = Checkpoint::open(folder.path());
  std::filesystem::resize_file(path, 100);
  std::vector<std::byte> out(64);
  auto problem = error_of([&] { model->read(model->tensors()[0], DType::u8, out); });
  CHECK(problem.fault() == Fault::bad_file);
  CHECK_CONTAINS(problem.what(), "has become shorter");
}

TEST_CASE("config: both spellings give one") {
  auto old_style =
      normalized(R"({"model_type":"llama","rope_theta":500000.0,"torch_dtype":"bfloat16","x":[1,{"y":2}],
      "rope_scaling":{"type":"llama3","factor":8.0,"low_freq_factor":1.0}})");
  auto new_style = normalized(R"({"model_type":"llama","dtype":"torch.bfloat16","x":[1,{"y":2}],
      "rope_parameters":{"rope_type":"llama3","rope_theta":500000.0,"factor":8.0,"low_freq_factor":1.0}})");
  CHECK(old_style == new_style);
  CHECK(old_style["rope_scaling"]["rope_type"] == "llama3");
  CHECK(old_style["torch_dtype"] == "bfloat16");
  CHECK(old_style["x"][1]["y"] == 2);
  auto plain = normalized(R"({"rope_parameters":{"rope_type":"default","rope_theta":10000}})");
  CHECK(plain == json{{"rope_theta", 10000}});
  CHECK(normalized(R"({"rope_scaling":null})") == json::object());
  CHECK(normalized(R"({"rope_scaling":{"rope_type":"default"}})") == json::object());
  CHECK(normalized(R"({"rope_theta":1,"rope_parameters":{"rope_theta":1.0}})")["rope_theta"] == 1);
  CHECK(normalized(
            R"({"rope_parameters":{"partial_rotary_factor":0.5,"rope_theta":1}})")["partial_rotary_factor"]
        == 0.5);
  CHECK(normalized(normalized(R"({"dtype":"float32"})").dump())["torch_dtype"] == "float32");
}

TEST_CASE("config: contradictions and what is not JSON") {
  CHECK_CONTAINS(refused(R"({"torch_dtype":"float32","dtype":"bfloat16"})").what(),
                 "dir/config.json: says two things: torch_dtype is \"float32\", dtype gives \"bfloat16\"");
  CHECK_CONTAINS(refused(R"({"rope_theta":1,"rope_parameters":{"rope_theta":2}})").what(),
                 "rope_parameters gives 2");
  CHECK_CONTAINS(refused(R"({"rope_parameters":{"full_attention":{"rope_theta":2}}})").what(),
                 "not supported: dir/config.json: rope_parameters of its own for \"full_attention\"");
  CHECK_CONTAINS(refused(R"({"rope_parameters":7})").what(), "rope_parameters is 7, expected an object");
  for (auto* text :
       {"", "[1]", "{\"a\":1,\"a\":1}", "{\"a\":NaN}", "{,}", "nul", "{\"a\":1} x", "\"\xff\""}) {
    auto problem = refused(text);
    CHECK(problem.fault() == Fault::bad_file);
    CHECK_CONTAINS(problem.text(), "offset   byte ");
  }
  CHECK_CONTAINS(refused(std::string(65, '[') + std::string(65, ']')).what(), "nested more than 64 deep");
  CHECK_CONTAINS(refused("{\"a\": tru}").text(), "invalid literal");
}

TEST_CASE("config: from GGUF") {
  auto config = config_of(llama_file());
  CHECK(config["architectures"][0] == "LlamaForCausalLM");
  CHECK(config["head_dim"] == 16);
  CHECK(config["rms_norm_eps"] == 1e-5);
  CHECK(config["rope_theta"] == 500000.0);
  CHECK(config["vocab_size"] == 3);
  CHECK(config["torch_dtype"] == "float16");
  CHECK(config["tie_word_embeddings"] == true);
  CHECK(config["attention_bias"] == false);
  CHECK(config["eos_token_id"] == 2);
  CHECK_FALSE(config.contains("rope_scaling"));
  CHECK_FALSE(config.contains("bos_token_id"));

  auto file = llama_file();
  file.tensors[0] = {"token_embd.weight", {32, 3}, 2, std::string(3 * 18, '\0')};
  file.tensors.push_back({"output.weight", {32, 3}, 1, std::string(192, '\0')});
  file.keys.push_back({"llama.attention.sliding_window", gguf_u32(99)});
  config = config_of(file);
  CHECK(config["torch_dtype"] == "bfloat16");
  CHECK(config["tie_word_embeddings"] == false);
  CHECK(config["architectures"][0] == "MistralForCausalLM");
  CHECK(config["sliding_window"] == 99);

  GgufBuilder other = llama_file();
  other.keys[0].second = gguf_text("mamba");
  CHECK(config_of(other) == json{{"architectures", {"mamba"}}, {"model_type", "mamba"}});
  other = llama_file();
  for (auto& [key, value] : other.keys)
    if (key.starts_with("llama.")) key = "qwen3." + key.substr(6);
  other.keys[0].second = gguf_text("qwen3");
  other.keys.push_back({"qwen3.attention.key_length", gguf_u32(40)});
  config = config_of(other);
  CHECK(config["architectures"][0] == "Qwen3ForCausalLM");
  CHECK(config["head_dim"] == 40);
}

TEST_CASE("config: GGUF metadata that is missing, odd or beyond wane") {
  for (auto* key :
       {"llama.context_length", "llama.embedding_length", "llama.block_count", "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"}) {
    auto file = llama_file();
    std::erase_if(file.keys, [&](auto& entry) { return entry.first == key; });
    auto problem = config_problem(file);
    CHECK(problem.fault() == Fault::bad_file);
    CHECK_CONTAINS(problem.what(), std::string("has no metadata key ") + key);
  }
  auto with = [](const std::string& key, const std::string& value) {
    auto file = llama_file();
    std::erase_if(file.keys, [&](auto& entry) { return entry.first == key; });
    file.keys.push_back({key, value});
    return std::string(config_problem(file).what());
  };
  auto each = [](uint32_t a, uint32_t b) { return gguf_array(4, 2, raw(a) + raw(b)); };
  CHECK_CONTAINS(with("llama.feed_forward_length", each(96, 97)),
                 "llama.feed_forward_length differs from layer to layer");
  CHECK_CONTAINS(with("llama.attention.head_count", each(4, 2)),
                 "llama.attention.head_count differs from layer to layer");
  CHECK_CONTAINS(with("llama.rope.dimension_count", gguf_u32(8)), "8 of 16 channels per head are rotated");
  CHECK_CONTAINS(with("llama.attention.value_length", gguf_u32(8)),
                 "keys have 16 channels per head, values 8");
  CHECK_CONTAINS(with("llama.vocab_size", gguf_u32(4)),
                 "has 3 rows in token_embd.weight for a vocabulary of 4");
  CHECK_CONTAINS(with("llama.attention.head_count", gguf_u32(5)),
                 "5 heads do not divide a hidden size of 64");
  CHECK_CONTAINS(with("llama.attention.head_count", gguf_u32(0)), "expected at least one");
  CHECK_CONTAINS(with("llama.context_length", gguf_text("128")), "is string, expected an integer");
  auto file = llama_file();
  file.keys[4].second = each(96, 96);
  CHECK(config_of(file)["intermediate_size"] == 96);
}

TEST_CASE("config: llama3's scaling is found from the frequency factors of a GGUF file") {
  auto factors = [](double factor, double low, double high, double context) {
    std::vector<float> out;
    for (int i = 0; i < 8; ++i) {
      double wavelength = 2 * std::numbers::pi * std::pow(500000.0, 2 * i / 16.0);
      double smooth = (context / wavelength - low) / (high - low);
      double f = wavelength < context / high  ? 1
                 : wavelength > context / low ? factor
                                              : 1 / ((1 - smooth) / factor + smooth);
      out.push_back(float(f));
    }
    return out;
  };
  for (double factor : {8.0, 32.0}) {
    auto file = llama_file();
    file.tensors.push_back({"rope_freqs.weight", {8}, 0, floats(factors(factor, 1, 4, 8192))});
    auto scaling = config_of(file)["rope_scaling"];
    CHECK(scaling
          == json{{"rope_type", "llama3"},
                  {"factor", factor},
                  {"low_freq_factor", 1.0},
                  {"high_freq_factor", 4.0},
                  {"original_max_position_embeddings", 8192}});
  }
  auto file = llama_file();
  file.tensors.push_back({"rope_freqs.weight", {8}, 0, floats({1, 2, 3, 4, 5, 6, 7, 8})});
  CHECK_CONTAINS(config_problem(file).what(), "follow no known llama3 scaling");
  file = llama_file();
  file.keys.push_back({"llama.rope.scaling.type", gguf_text("yarn")});
  file.keys.push_back({"llama.rope.scaling.factor", gguf_f32(4)});
  CHECK(config_of(file)["rope_scaling"] == json{{"rope_type", "yarn"}, {"factor", 4.0}});
}
