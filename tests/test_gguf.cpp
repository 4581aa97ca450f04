// GGUF reading: the malformed corpus, metadata, and block decoding against hashes of the Python package
// `gguf`.
#include <algorithm>
#include <bit>
#include <numeric>
#include <random>
#include <set>

#include <nlohmann/json.hpp>

#include "runtime/hash.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/gguf_blocks.h"
#include "runtime/model/gguf_names.h"
#include "tests/checkpoint_files.h"
#include "tests/shared_data.h"

using namespace wane;
using namespace wane::test;

namespace {

GgufBuilder small_file() {
  GgufBuilder file;
  file.keys = {{"general.architecture", gguf_text("llama")},
               {"general.alignment", gguf_u32(32)},
               {"llama.block_count", gguf_u32(1)},
               {"tokenizer.ggml.tokens", gguf_array(8, 2, gguf_string("a") + gguf_string("bc"))},
               {"tokenizer.ggml.scores", gguf_array(6, 2, raw(-1.f) + raw(2.5f))},
               {"x.flag", raw(uint32_t(7)) + std::string(1, '\2')}};
  file.tensors = {{"token_embd.weight", {3, 2}, 0, floats({1, 2, 3, 4, 5, 6})}, {"b", {5}, 24, "abcde"}};
  return file;
}

std::string problem_with(const std::string& bytes) {
  TempFolder folder;
  auto path = folder / "bad.gguf";
  write_file(path, bytes);
  auto problem = error_of([&] { Checkpoint::open(path); });
  CHECK(problem.fault() == Fault::bad_file);
  CHECK(std::string(problem.what()).find("bad.gguf") != std::string::npos);
  CHECK(problem.text().find("offset") != std::string::npos);
  return problem.what();
}
std::string problem_with(const std::function<void(GgufBuilder&)>& bend) {
  auto file = small_file();
  bend(file);
  return problem_with(file.bytes());
}
void accept(const std::function<void(GgufBuilder&)>& bend) {
  auto file = small_file();
  bend(file);
  TempFolder folder;
  write_file(folder / "good.gguf", file.bytes());
  CHECK_NOTHROW(Checkpoint::open(folder / "good.gguf"));
}

std::vector<float> decoded(const Checkpoint& model, const std::string& name) {
  auto* entry = model.find(name);
  REQUIRE(entry != nullptr);
  std::vector<float> out(size_t(entry->rows() * entry->cols()));
  model.read(*entry, DType::f32, std::as_writable_bytes(std::span(out)));
  return out;
}

} // namespace

TEST_CASE("gguf: a small file reads as written") {
  TempFolder folder;
  write_file(folder / "m.gguf", small_file().bytes());
  auto model = Checkpoint::open(folder / "m.gguf");
  CHECK(model->is_gguf());
  CHECK(model->directory() == folder.path());
  CHECK(model->gguf()->version() == 3);
  CHECK(model->gguf()->text("general.architecture") == "llama");
  CHECK(model->gguf()->integer("llama.block_count") == 1);
  CHECK(model->gguf()->integer("llama.absent") == std::nullopt);
  CHECK(*model->gguf()->texts("tokenizer.ggml.tokens") == std::vector<std::string>{"a", "bc"});
  CHECK(*model->gguf()->numbers("tokenizer.ggml.scores") == std::vector<float>{-1, 2.5});
  CHECK(model->gguf()->flag("x.flag") == true);
  CHECK(model->gguf()->length("tokenizer.ggml.scores") == 2u);
  REQUIRE(model->tensors().size() == 2);
  CHECK(model->tensors()[0].shape == std::vector<int64_t>{2, 3});
  CHECK(decoded(*model, "token_embd.weight") == std::vector<float>{1, 2, 3, 4, 5, 6});
  std::vector<int8_t> bytes(5);
  model->read(model->tensors()[1], DType::i8, std::as_writable_bytes(std::span(bytes)));
  CHECK(std::string(bytes.begin(), bytes.end()) == "abcde");
  CHECK(model->sha256() == sha256_hex(read_file(folder / "m.gguf")));
}

TEST_CASE("gguf: a key of another type is an error that names both") {
  TempFolder folder;
  write_file(folder / "m.gguf", small_file().bytes());
  auto model = Checkpoint::open(folder / "m.gguf");
  auto problem = error_of([&] { model->gguf()->integer("general.architecture"); });
  CHECK(problem.fault() == Fault::bad_file);
  CHECK_CONTAINS(problem.what(),
                 "m.gguf: the metadata key \"general.architecture\" is string, expected an integer");
  CHECK_CONTAINS(error_of([&] { model->gguf()->integers("tokenizer.ggml.scores"); }).what(),
                 "\"tokenizer.ggml.scores\" is an array of f32, expected an array of integers");
}

TEST_CASE("gguf: cut after every byte") {
  auto bytes = small_file().bytes();
  TempFolder folder;
  auto path = folder / "cut.gguf";
  size_t data_end = bytes.size() - (32 - 5); // padding after the last tensor may be missing
  for (size_t length = 0; length < bytes.size(); ++length) {
    write_file(path, bytes.substr(0, length));
    if (length >= data_end) {
      CHECK_NOTHROW(Checkpoint::open(path));
      continue;
    }
    auto problem = error_of([&] { Checkpoint::open(path); });
    CHECK(problem.fault() == Fault::bad_file);
    CHECK(std::string(problem.what()).find(path) == 0);
  }
}

TEST_CASE("gguf: every flipped bit is read or refused") {
  auto bytes = small_file().bytes();
  TempFolder folder;
  auto path = folder / "flip.gguf";
  size_t refused = 0, header = bytes.size() - 64;
  for (size_t bit = 0; bit < header * 8; ++bit) {
    auto bent = bytes;
    bent[bit / 8] ^= char(1 << (bit % 8));
    write_file(path, bent);
    try {
      auto model = Checkpoint::open(path);
      for (auto& entry : model->tensors()) {
        if (!is_readable(entry.type)) continue;
        std::vector<std::byte> out(size_t(entry.rows() * entry.cols()) * size_of(own_dtype(entry.type)));
        model->read(entry, own_dtype(entry.type), out);
      }
    } catch (const Error& problem) {
      CHECK(problem.fault() == Fault::bad_file);
      ++refused;
    }
  }
  CHECK(refused > header * 3);
}

TEST_CASE("gguf: malformed headers") {
  CHECK_CONTAINS(problem_with([](auto& f) { f.magic = 0x47475546; }), "is no GGUF file");
  for (uint32_t version : {0u, 1u, 4u, 0xffffffffu})
    CHECK_CONTAINS(problem_with([&](auto& f) { f.version = version; }), "expected 2 or 3");
  CHECK_CONTAINS(problem_with([](auto& f) { f.version = 0x03000000; }), "big-endian file");
  for (int64_t count : {int64_t(-3), int64_t(1) << 31, int64_t(1) << 60}) {
    CHECK_CONTAINS(problem_with([&](auto& f) { f.extra_tensors = count; }), "tensors, which");
    CHECK_CONTAINS(problem_with([&](auto& f) { f.extra_keys = count - 6; }), "metadata keys, which");
  }
  problem_with([](auto& f) { f.extra_tensors = 1; });
  problem_with(std::string());
  problem_with(std::string("GGUF\3\0\0\0", 8));
  accept([](auto& f) { f.version = 2; });
  accept([](auto& f) { f.tensors.clear(); });
}

TEST_CASE("gguf: malformed metadata") {
  auto with_key = [](const std::string& key, const std::string& value) {
    return problem_with([&](auto& f) { f.keys.push_back({key, value}); });
  };
  CHECK_CONTAINS(with_key("", gguf_u32(1)), "has an empty name");
  CHECK_CONTAINS(with_key(std::string(65536, 'k'), gguf_u32(1)), "65536 bytes, expected at most 65535");
  CHECK_CONTAINS(with_key("x.flag", gguf_u32(1)), "\"x.flag\" is there twice");
  CHECK_CONTAINS(with_key(std::string("a\0b", 3), gguf_u32(1)), "zero byte");
  CHECK_CONTAINS(with_key("a\xff", gguf_u32(1)), "is not UTF-8");
  CHECK_CONTAINS(with_key("k", gguf_text("\xed\xa0\x80")), "is not UTF-8");
  for (uint32_t type : {13u, 255u})
    CHECK_CONTAINS(with_key("k", raw(type) + raw(uint64_t(0))), "unknown type");
  CHECK_CONTAINS(with_key("k", gguf_array(9, 1, gguf_array(4, 1, raw(uint32_t(0))))), "array of arrays");
  CHECK_CONTAINS(with_key("k", gguf_array(13, 0, "")), "an array of the unknown type 13");
  for (uint64_t count : {uint64_t(1) << 61, uint64_t(1) << 40, UINT64_MAX}) {
    CHECK_CONTAINS(with_key("k", gguf_array(10, count, "")), "elements of type u64");
    CHECK_CONTAINS(with_key("k", gguf_array(8, count, "")), "elements of type string");
    CHECK_CONTAINS(with_key("k", raw(uint32_t(8)) + raw(count)), "are left in the file");
  }
  auto align = [](const std::string& value) {
    return problem_with([&](auto& f) { f.keys[1].second = value; });
  };
  for (uint32_t value : {0u, 3u, 1u << 31}) CHECK_CONTAINS(align(gguf_u32(value)), "expected a power of two");
  CHECK_CONTAINS(align(raw(uint32_t(10)) + raw(uint64_t(32))), "general.alignment is u64, expected u32");
  CHECK_CONTAINS(align(gguf_text("32")), "general.alignment is string, expected u32");
  for (uint32_t value : {8u, 64u, 4096u})
    accept([&](auto& f) {
      f.keys[1].second = gguf_u32(value);
      f.alignment = value;
    });
}

TEST_CASE("gguf: malformed tensor lists") {
  auto with_tensor = [](GgufTensor tensor) {
    return problem_with([&](auto& f) { f.tensors.push_back(std::move(tensor)); });
  };
  std::string four(16, 'x');
  CHECK_CONTAINS(with_tensor({"", {4}, 0, four}), "unusable name \"\"");
  CHECK_CONTAINS(with_tensor({std::string("a\0", 2), {4}, 0, four}), "unusable name \"a\\x00\"");
  CHECK_CONTAINS(with_tensor({std::string(64, 'n'), {4}, 0, four}), "64 bytes, expected at most 63");
  CHECK_CONTAINS(with_tensor({"b", {4}, 0, four}), "tensor \"b\" is there twice");
  CHECK_CONTAINS(with_tensor({"t", {1, 1, 1, 1, 4}, 0, four}), "5 dims, expected at most 4");
  for (int64_t dim : {int64_t(0), int64_t(-1), INT64_MIN})
    CHECK_CONTAINS(with_tensor({"t", {4, dim}, 0, ""}), "expected dims of at least 1");
  for (std::vector<int64_t> dims :
       {std::vector<int64_t>{int64_t(1) << 62, 4}, {INT64_MAX, 2}, {int64_t(1) << 61, 2}})
    CHECK_CONTAINS(with_tensor({"t", dims, dims[0] == INT64_MAX ? 24 : 0, ""}), "64-bit sizes");
  CHECK_CONTAINS(with_tensor({"t", {int64_t(1) << 31, int64_t(1) << 31}, 24, ""}), "ends after the file");
  CHECK_CONTAINS(with_tensor({"t", {(int64_t(1) << 42) + 1}, 24, ""}), "ends after the file");
  for (int32_t type : {-1, 4, 5, 31, 36, 42, INT32_MAX})
    CHECK_CONTAINS(with_tensor({"t", {4}, type, four}), fmt::format("unknown type id {}", type));
  CHECK_CONTAINS(with_tensor({"t", {33}, 2, std::string(36, 'q')}), "whole blocks of 32");
  CHECK_CONTAINS(with_tensor({"t", {}, 2, std::string(18, 'q')}), "whole blocks of 32");
  accept([&](auto& f) { f.tensors.push_back({std::string(63, 'n'), {4}, 0, four}); });
  accept([&](auto& f) { f.tensors.push_back({"scalar", {}, 0, raw(1.f)}); });
  accept([&](auto& f) { f.tensors.push_back({"iq", {32}, 20, std::string(18, 'q')}); });
}

TEST_CASE("gguf: tensor offsets are the running sum of padded sizes") {
  auto moved = [](std::vector<uint64_t> offsets) {
    return problem_with([&](auto& f) { f.offsets = std::move(offsets); });
  };
  CHECK_CONTAINS(moved({0, 31}), "lies at byte 31 of the data, expected 32");
  CHECK_CONTAINS(moved({0, 0}), "lies at byte 0 of the data, expected 32");
  CHECK_CONTAINS(moved({0, 64}), "lies at byte 64 of the data, expected 32");
  CHECK_CONTAINS(moved({32, 0}), "lies at byte 32 of the data, expected 0");
  CHECK_CONTAINS(moved({0, UINT64_MAX - 31}), "expected 32");
  auto bytes = small_file().bytes();
  accept([](auto& f) { f.pad_last = false; });
  TempFolder folder;
  write_file(folder / "junk.gguf", bytes + "PK\3\4 anything");
  CHECK_NOTHROW(Checkpoint::open(folder / "junk.gguf"));
}

TEST_CASE("gguf: a known type without a decoder is refused by name when it is read") {
  auto file = small_file();
  file.tensors.push_back({"iq", {32}, 20, std::string(18, 'q')});
  TempFolder folder;
  write_file(folder / "m.gguf", file.bytes());
  auto model = Checkpoint::open(folder / "m.gguf");
  std::vector<float> out(32);
  auto problem =
      error_of([&] { model->read(*model->find("iq"), DType::f32, std::as_writable_bytes(std::span(out))); });
  CHECK(std::string(problem.what()) == "not supported: tensor type IQ4_NL of \"iq\"");
}

TEST_CASE("gguf: what is no regular file is refused by name") {
  TempFolder folder;
  CHECK(error_of([&] { Checkpoint::open(folder / "absent.gguf"); }).fault() == Fault::missing);
  auto device = error_of([] { Checkpoint::open("/dev/zero"); });
  CHECK(device.fault() == Fault::bad_file);
  CHECK(std::string(device.what()) == "/dev/zero: is a device, expected a regular file");
  auto pipe = folder / "pipe.gguf";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(pipe); }).what(), "is a pipe, expected a regular file");
}

TEST_CASE("gguf: golden files decode to the bits of the Python package") {
  NEED_SHARED_DATA(folder, "gguf_golden");
  auto golden =
      nlohmann::json::parse(read_file(std::string(WANE_SOURCE_DIR) + "/tests/golden/gguf_decoded.json"));
  size_t hashes = 0;
  std::set<std::string> types;
  for (auto& [name, tensors] : golden.items()) {
    INFO(name);
    auto model = Checkpoint::open(folder + "/" + name);
    CHECK(model->tensors().size() == tensors.size());
    for (auto& entry : model->tensors()) {
      INFO(entry.name);
      std::string line =
          fmt::format("{} {}", is_plain(entry.type) ? "F32" : name_of(entry.type), shape_text(entry.shape));
      if (is_readable(entry.type)) {
        std::vector<float> out(size_t(entry.rows() * entry.cols()));
        model->read(entry, DType::f32, std::as_writable_bytes(std::span(out)), 0, -1, RowOrder::file);
        line += " " + sha256_hex(std::as_bytes(std::span(out)));
        types.insert(std::string(name_of(entry.type)));
        ++hashes;
      }
      CHECK(line == tensors[entry.name].get<std::string>());
    }
  }
  CHECK(types.size() == 11); // f32 and ten block types
  CHECK(hashes > 250);
}

TEST_CASE("gguf: 16-bit reads are the f32 values rounded once, rows can be read alone") {
  NEED_SHARED_DATA(folder, "gguf_golden");
  for (auto* name : {"plain-Q4_1.gguf", "plain-Q6_K.gguf", "plain-Q5_0.gguf"}) {
    auto model = Checkpoint::open(folder + "/" + name);
    auto& entry = *model->find("blk.0.attn_k.weight");
    size_t cols = size_t(entry.cols()), rows = size_t(entry.rows());
    auto all = decoded(*model, "blk.0.attn_k.weight");
    std::vector<uint16_t> bf16(all.size());
    model->read(entry, DType::bf16, std::as_writable_bytes(std::span(bf16)));
    for (size_t i = 0; i < all.size(); ++i) {
      uint32_t bits = std::bit_cast<uint32_t>(all[i]);
      CHECK_MESSAGE(bf16[i] == uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16), i);
    }
    std::mt19937 random(7);
    for (int trial = 0; trial < 20; ++trial) {
      size_t first = random() % rows, count = random() % (rows - first + 1);
      std::vector<float> some(count * cols);
      model->read(entry, DType::f32, std::as_writable_bytes(std::span(some)), int64_t(first), int64_t(count));
      CHECK(std::equal(some.begin(), some.end(), all.begin() + long(first * cols)));
    }
  }
}

TEST_CASE("gguf: every ISA level decodes to the same bits, special values too") {
  std::mt19937 random(3);
  std::vector<const DecodeKernels*> levels{&isa_v2::decode_kernels};
  if (__builtin_cpu_supports("avx2")) levels.push_back(&isa_v3::decode_kernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
    levels.push_back(&isa_v4::decode_kernels);
  for (auto type = StoredType::q4_0; type <= StoredType::q6_k; type = StoredType(int(type) + 1))
    for (auto as : {DType::f32, DType::bf16, DType::f16}) {
      int64_t blocks = 37;
      std::vector<std::byte> source(size_t(blocks) * info(type).type_size);
      for (auto& byte : source) byte = std::byte(random()); // NaN, infinite and subnormal scales among them
      std::vector<std::byte> first(size_t(blocks) * info(type).block_size * size_of(as)), other = first;
      levels[0]->blocks(type, source.data(), blocks, as, first.data());
      for (auto* level : levels) {
        level->blocks(type, source.data(), blocks, as, other.data());
        CHECK(first == other);
      }
    }
}

TEST_CASE("gguf: names go to HF and back") {
  CHECK(hf_name_of_gguf("blk.12.ffn_down.weight") == "layers.12.mlp.down_proj.weight");
  CHECK(hf_name_of_gguf("blk.0.attn_q.bias") == "layers.0.self_attn.q_proj.bias");
  CHECK(hf_name_of_gguf("blk.3.attn_k_norm.weight") == "layers.3.self_attn.k_norm.weight");
  CHECK(hf_name_of_gguf("rope_freqs.weight") == "rope_freqs");
  CHECK(hf_name_of_gguf("output.weight") == "lm_head.weight");
  for (auto* name :
       {"blk.x.attn_q.weight", "blk.01.attn_q.weight", "blk.-1.attn_q.weight", "blk.1.attn_z.weight",
        "blk.1.weight", "blk.1.attn_q", "blk..attn_q.weight", "blk.99999999999.attn_q.weight", ""})
    CHECK(hf_name_of_gguf(name) == std::nullopt);
  CHECK(gguf_name_of_hf("model.embed_tokens.weight") == "token_embd.weight");
  for (auto* name : {"token_embd.weight", "output_norm.weight", "blk.7.attn_output.weight",
                     "blk.7.ffn_norm.weight", "blk.7.ffn_gate.weight", "blk.7.attn_v.bias"})
    CHECK(gguf_name_of_hf(*hf_name_of_gguf(name)) == name);
  CHECK(permuted_heads("llama", "blk.0.attn_k.weight", 8, 4) == 4);
  CHECK(permuted_heads("llama", "blk.0.attn_q.bias", 8, 4) == 8);
  CHECK(permuted_heads("llama", "blk.0.attn_v.weight", 8, 4) == 0);
  CHECK(permuted_heads("qwen2", "blk.0.attn_q.weight", 8, 4) == 0);
}

TEST_CASE("gguf: rows of a head un-permute, whole and in ranges, and permute back") {
  constexpr int64_t kHeads = 3, kDim = 10, kCols = 7;
  std::vector<float> file(kHeads * kDim * kCols), expected(file.size()), back(file.size());
  std::iota(file.begin(), file.end(), 0.f);
  for (int64_t h = 0; h < kHeads; ++h)
    for (int64_t i = 0; i < kDim / 2; ++i)
      for (int64_t j = 0; j < 2; ++j)
        std::copy_n(&file[size_t((h * kDim + 2 * i + j) * kCols)], kCols,
                    &expected[size_t((h * kDim + j * kDim / 2 + i) * kCols)]);
  std::vector<float> bias{0, 1, 2, 3, 4, 5}, half{0, 2, 4, 1, 3, 5}; // one head of 6
  GgufBuilder builder;
  builder.keys = {{"general.architecture", gguf_text("llama")},
                  {"llama.attention.head_count", gguf_u32(3)},
                  {"llama.attention.head_count_kv", gguf_u32(1)}};
  builder.tensors = {{"blk.0.attn_q.weight", {kCols, kHeads * kDim}, 0, floats(file)},
                     {"blk.0.attn_k.bias", {6}, 0, floats(bias)}};
  TempFolder folder;
  write_file(folder / "m.gguf", builder.bytes());
  auto model = Checkpoint::open(folder / "m.gguf");
  CHECK(decoded(*model, "blk.0.attn_q.weight") == expected);
  CHECK(decoded(*model, "blk.0.attn_k.bias") == half);
  auto& entry = *model->find("blk.0.attn_q.weight");
  for (int64_t first = 0; first < kHeads * kDim; ++first)
    for (int64_t rows : {int64_t(1), kHeads * kDim - first}) {
      std::vector<float> some(size_t(rows * kCols));
      model->read(entry, DType::f32, std::as_writable_bytes(std::span(some)), first, rows);
      CHECK(std::equal(some.begin(), some.end(), expected.begin() + first * kCols));
    }
  permute_rows(std::as_bytes(std::span(expected)), std::as_writable_bytes(std::span(back)), kHeads * kDim,
               kHeads, false);
  CHECK(back == file);
  permute_rows(std::as_bytes(std::span(file)), std::as_writable_bytes(std::span(back)), kHeads * kDim, kHeads,
               true);
  CHECK(back == expected);
  builder.keys[1].second = gguf_u32(4); // 30 rows in 4 heads
  write_file(folder / "odd.gguf", builder.bytes());
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(folder / "odd.gguf"); }).what(),
                 "do not split into 4 heads");
}

TEST_CASE("gguf: split files open as one model, from any part") {
  TempFolder folder;
  auto part = [&](uint16_t number, uint16_t count, const std::string& tensor, int32_t total) {
    GgufBuilder file;
    file.keys = {{"split.no", raw(uint32_t(2)) + raw(number)},
                 {"split.count", raw(uint32_t(2)) + raw(count)},
                 {"split.tensors.count", raw(uint32_t(5)) + raw(total)}};
    if (number == 0) file.keys.push_back({"general.name", gguf_text("whole")});
    file.tensors = {{tensor, {2}, 0, floats({float(number), 1})}};
    return file.bytes();
  };
  auto name = [&](int number) { return folder / fmt::format("m-{:05}-of-00002.gguf", number); };
  write_file(name(1), part(0, 2, "a", 2));
  CHECK(error_of([&] { Checkpoint::open(name(1)); }).fault() == Fault::missing);
  write_file(name(2), part(1, 2, "b", 2));
  for (int opened : {1, 2}) {
    auto model = Checkpoint::open(name(opened));
    CHECK(model->gguf()->text("general.name") == "whole");
    CHECK(decoded(*model, "b") == std::vector<float>{1, 1});
  }
  write_file(name(2), part(1, 2, "a", 2));
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(name(1)); }).what(), "is also in another part");
  write_file(name(2), part(0, 2, "b", 2));
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(name(1)); }).what(),
                 "says split.no 0 and split.count 2, expected 1 and 2");
  write_file(name(2), part(1, 2, "b", 2));
  write_file(name(1), part(0, 2, "a", 3));
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(name(1)); }).what(), "promises 3 tensors");
  write_file(folder / "other.gguf", part(0, 2, "a", 2));
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(folder / "other.gguf"); }).what(), "-00001-of-00002.gguf");
}
