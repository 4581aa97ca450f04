// safetensors: the malformed corpus for header, index and folder; plain dtypes; what the writer makes of a
// plan.
#include "runtime/model/safetensors.h"
#include "tests/checkpoint_files.h"

using namespace wane;
using namespace wane::test;

namespace {

// Reads `bytes` as a file; what the error says. Every problem must name the file and a byte.
std::string problem_with(const std::string& bytes) {
  TempFolder folder;
  auto path = folder / "bad.safetensors";
  write_file(path, bytes);
  auto problem = error_of([&] { read_safetensors(FileSource(path)); });
  CHECK(problem.fault() == Fault::bad_file);
  CHECK(std::string(problem.what()).find(path + ": ") == 0);
  CHECK(problem.text().find("\n  offset   byte ") != std::string::npos);
  return std::string(problem.what()).substr(path.size() + 2);
}
std::string problem_with(const std::string& header, size_t data) {
  return problem_with(safetensors_bytes(header, std::string(data, 'd')));
}
SafetensorsHeader accept(const std::string& header, size_t data) {
  TempFolder folder;
  write_file(folder / "good.safetensors", safetensors_bytes(header, std::string(data, 'd')));
  return read_safetensors(FileSource(folder / "good.safetensors"));
}
std::string one(const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
  return "{" + safetensors_entry("t", dtype, shape, offsets) + "}";
}

} // namespace

TEST_CASE("safetensors: the length field") {
  for (size_t size : {0, 1, 7})
    CHECK_CONTAINS(problem_with(std::string(size, '\0')), "too short for a safetensors file");
  CHECK_CONTAINS(problem_with("", 0), "is not valid JSON");
  CHECK_CONTAINS(problem_with("{", 0), "is not valid JSON");
  std::string rest = "{}" + std::string(20, 'd');
  for (uint64_t length : {uint64_t(23), uint64_t(1) << 20})
    CHECK_CONTAINS(problem_with(raw(length) + rest),
                   fmt::format("says its header has {} bytes, 22 are left", length));
  for (uint64_t length :
       {uint64_t(100'000'001), uint64_t(1) << 31, uint64_t(1) << 32, uint64_t(1) << 63, UINT64_MAX})
    CHECK_CONTAINS(problem_with(raw(length) + rest), "expected at most 100000000");
  CHECK_CONTAINS(problem_with(raw(__builtin_bswap64(2)) + rest), "has a big-endian header length (2)");
  CHECK(accept("{}", 0).tensors.empty());
}

TEST_CASE("safetensors: exact JSON") {
  auto good = one("[2]", "[0,8]");
  for (auto* space : {" ", "\t", "\r\n", "   "}) {
    CHECK(accept(good + space, 8).tensors.size() == 1);
    CHECK(accept(space + good, 8).tensors.size() == 1);
  }
  for (auto& bad :
       {good + "x", good + "{}", good + ",", std::string("[]"), std::string("\"t\""), std::string("null"),
        std::string("3"), "{" + safetensors_entry("t", "F32", "[2]", "[0,8]") + ",}", "/* c */" + good,
        std::string("{'t':{}}"), std::string("{\"t\":"), "\xef\xbb\xbf" + good, good + '\0',
        std::string("{\"\xff\":{}}"), std::string("{\"\xc0\xaf\":{}}"), std::string(R"({"\ud800":{}})"),
        std::string(100'000, '['), std::string("{\"a\":") + std::string(100'000, '[')})
    problem_with(bad, 8);
  CHECK_CONTAINS(problem_with(one("[NaN]", "[0,8]"), 8), "is not valid JSON");
  CHECK_CONTAINS(
      problem_with("{" + safetensors_entry(std::string("a\0b", 3), "F32", "[2]", "[0,8]") + "}", 8),
      "zero byte");
  CHECK_CONTAINS(problem_with("{" + safetensors_entry(R"(a\u0000b)", "F32", "[2]", "[0,8]") + "}", 8),
                 "is not usable");
}

TEST_CASE("safetensors: numbers are integers of 64 bits") {
  for (auto* number : {"-1", "-0", "2.0", "2e0", "1e400", "\"2\"", "true", "null", "02",
                       "184467440737095516160", "18446744073709551616", "[2]", "{}", "Infinity"}) {
    INFO(number);
    problem_with(one(fmt::format("[{}]", number), "[0,8]"), 8);
    problem_with(one("[2]", fmt::format("[{},8]", number)), 8);
    problem_with(one("[2]", fmt::format("[0,{}]", number)), 8);
  }
  CHECK_CONTAINS(problem_with(one("[2.0]", "[0,8]"), 8),
                 "shape of tensor \"t\" is 2.0, which is no integer of 64 bits");
  CHECK_CONTAINS(problem_with(one("[9223372036854775808]", "[0,8]"), 8), "is too large");
  CHECK_CONTAINS(problem_with(one("[9007199254740993]", "[0,8]"), 8), "is 36028797018963972 bytes");
}

TEST_CASE("safetensors: keys") {
  auto t = safetensors_entry("t", "F32", "[2]", "[0,8]");
  CHECK_CONTAINS(problem_with("{" + t + "," + t + "}", 8), "tensor \"t\" is there twice");
  CHECK_CONTAINS(problem_with("{" + t + "," + safetensors_entry("t", "F32", "[2]", "[8,16]") + "}", 16),
                 "is there twice");
  CHECK_CONTAINS(
      problem_with("{" + t + "," + safetensors_entry(R"(\u0074)", "F32", "[2]", "[8,16]") + "}", 16),
      "is there twice");
  CHECK_CONTAINS(problem_with("{" + safetensors_entry("", "F32", "[2]", "[0,8]") + "}", 8),
                 "a tensor has an empty name");
  CHECK_CONTAINS(
      problem_with("{" + safetensors_entry(std::string(10'000'000, 'n'), "F32", "[2]", "[0,8]") + "}", 8),
      "is not usable");
  CHECK_CONTAINS(problem_with("{" + safetensors_entry("__metadata__", "F32", "[2]", "[0,8]") + "}", 8),
                 "__metadata__ is a list");
  for (auto* field : {R"("dtype":"F32")", R"("shape":[2])", R"("data_offsets":[0,8])"}) {
    auto twice = fmt::format(R"({{"t":{{"dtype":"F32","shape":[2],"data_offsets":[0,8],{}}}}})", field);
    CHECK_CONTAINS(problem_with(twice, 8), "twice");
  }
  CHECK_CONTAINS(problem_with(R"({"t":{"shape":[2],"data_offsets":[0,8]}})", 8), "tensor \"t\" has no dtype");
  CHECK_CONTAINS(problem_with(R"({"t":{"dtype":"F32","data_offsets":[0,8]}})", 8), "has no shape");
  CHECK_CONTAINS(problem_with(R"({"t":{"dtype":"F32","shape":[2]}})", 8), "has no data_offsets");
  CHECK_CONTAINS(problem_with(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8),
                 "unknown key \"x\"");
  CHECK_CONTAINS(problem_with(R"({"__metadata__":{"a":1}})", 0),
                 "__metadata__ is a number, expected a string");
  CHECK_CONTAINS(problem_with(R"({"__metadata__":{"a":{}}})", 0), "is an object, expected a string");
  CHECK_CONTAINS(problem_with(R"({"__metadata__":{"a":"1","a":"1"}})", 0), "twice");
  CHECK_CONTAINS(problem_with(R"({"__metadata__":{},"__metadata__":{}})", 0), "twice");
  auto header = accept(R"({"__metadata__":{"format":"pt"},)" + t + ","
                           + safetensors_entry("e\u0301", "U8", "[0]", "[0,0]") + ","
                           + safetensors_entry("\u00e9", "U8", "[0]", "[8,8]") + "}",
                       8);
  CHECK(header.tensors.size() == 3);
  CHECK(header.metadata.at("format") == "pt");
}

TEST_CASE("safetensors: dtypes") {
  CHECK_CONTAINS(problem_with(one("[2]", "[0,8]", "f32"), 8), "the dtype \"f32\" is not known");
  CHECK_CONTAINS(problem_with(one("[2]", "[0,8]", ""), 8), "the dtype \"\" is not known");
  CHECK_CONTAINS(problem_with(one("[8]", "[0,8]", "F8_E3M4"), 8), "the dtype \"F8_E3M4\" is not known");
  CHECK_CONTAINS(problem_with(R"({"t":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8),
                 "dtype of tensor \"t\" is a number");
  CHECK_CONTAINS(problem_with(one("[3]", "[0,1]", "F4"), 1), "no whole number of bytes");
  CHECK_CONTAINS(problem_with(one("[3]", "[0,2]", "F6_E2M3"), 2), "no whole number of bytes");
  CHECK(accept(one("[1,4]", "[0,2]", "F4"), 2).tensors[0].type == StoredType::f4);
  for (auto* dtype : {"U8", "I8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ"})
    accept(one("[8]", "[0,8]", dtype), 8);
  for (auto* dtype : {"F16", "BF16", "I16", "U16"}) accept(one("[4]", "[0,8]", dtype), 8);
  for (auto* dtype : {"F64", "I64", "U64", "C64"}) accept(one("[1]", "[0,8]", dtype), 8);
}

TEST_CASE("safetensors: shapes") {
  CHECK(accept(one("[]", "[0,4]"), 4).tensors[0].shape.empty());
  CHECK(accept(one("[0]", "[0,0]"), 0).tensors[0].bytes == 0);
  CHECK(accept(one("[0,4611686018427387904,4611686018427387904]", "[0,0]"), 0).tensors[0].bytes == 0);
  CHECK(accept(one("[4611686018427387904,8,0]", "[0,0]"), 0).tensors[0].bytes == 0);
  CHECK_CONTAINS(problem_with(one("[4294967296,4294967296]", "[0,0]", "U8"), 0), "below 2^64");
  CHECK_CONTAINS(problem_with(one("[4611686018427387905,4]", "[0,4]", "U8"), 4), "below 2^64"); // wraps to 4
  CHECK_CONTAINS(problem_with(one("[4611686018427387905]", "[0,4]"), 4), "below 2^64");
  CHECK_CONTAINS(problem_with(one("[3]", "[0,8]"), 8), "F32 [3] is 12 bytes, data_offsets [0, 8] hold 8");
  std::string ones = "1";
  for (int i = 1; i < 64; ++i) ones += ",1";
  accept(one("[" + ones + "]", "[0,4]"), 4);
  CHECK_CONTAINS(problem_with(one("[" + ones + ",1]", "[0,4]"), 4), "more than 64 dims");
  for (int i = 0; i < 20; ++i) ones += "," + ones.substr(0, 100'000);
  CHECK_CONTAINS(problem_with(one("[" + ones + "]", "[0,4]"), 4), "more than 64 dims");
}

TEST_CASE("safetensors: offsets tile the data") {
  CHECK_CONTAINS(problem_with(one("[2]", "[8,0]"), 8), "data_offsets [8, 0] run backwards");
  CHECK_CONTAINS(problem_with(one("[2]", "[4,12]"), 12),
                 "begins at byte 4 of the data, 4 bytes after the one before");
  CHECK_CONTAINS(problem_with(one("[2]", "[0,8]"), 12), "4 bytes at the end belong to no tensor");
  CHECK_CONTAINS(problem_with(one("[2]", "[0,8]"), 7), "end after the file, which has 7 bytes of data");
  CHECK_CONTAINS(problem_with(one("[2]", "[0,18446744073709551615]"), 8), "end after the file");
  CHECK_CONTAINS(problem_with(one("[2]", "[0,8,9]"), 8), "more than two numbers");
  CHECK_CONTAINS(problem_with(one("[2]", "[0]"), 8), "has not two numbers");
  auto two = [](const std::string& second, size_t data) {
    return problem_with("{" + safetensors_entry("a", "F32", "[2]", "[0,8]") + ","
                            + safetensors_entry("b", "F32", "[2]", second) + "}",
                        data);
  };
  CHECK_CONTAINS(two("[7,15]", 15), "begins at byte 7 of the data, 1 bytes before the one before it ends");
  CHECK_CONTAINS(two("[12,20]", 20), "4 bytes after the one before it ends");
  CHECK_CONTAINS(two("[0,8]", 8), "8 bytes before the one before it ends");
  auto swapped = accept("{" + safetensors_entry("b", "F32", "[1]", "[3,7]") + ","
                            + safetensors_entry("a", "U8", "[3]", "[0,3]") + "}",
                        7);
  CHECK(swapped.tensors[0].name == "a");
  CHECK(swapped.tensors[1].offset % 4 != 0); // unaligned numbers are fine
  std::string zip = "PK\3\4" + std::string(40, 'z');
  CHECK_CONTAINS(problem_with(safetensors_bytes(one("[2]", "[0,8]"), std::string(8, 'd') + zip)),
                 "44 bytes at the end");
}

TEST_CASE("safetensors: cut after every byte") {
  auto bytes = safetensors_bytes("{" + safetensors_entry("a", "F32", "[2]", "[0,8]") + ","
                                     + safetensors_entry("b", "BF16", "[1]", "[8,10]") + "}",
                                 std::string(10, 'd'));
  for (size_t length = 0; length < bytes.size(); ++length) problem_with(bytes.substr(0, length));
}

TEST_CASE("safetensors: every flipped bit of the header is read or refused") {
  auto bytes =
      safetensors_bytes("{" + safetensors_entry("a", "F32", "[2]", "[0,8]") + "}", std::string(8, 'd'));
  TempFolder folder;
  size_t refused = 0, bits = (bytes.size() - 8) * 8;
  for (size_t bit = 0; bit < bits; ++bit) {
    auto bent = bytes;
    bent[bit / 8] ^= char(1 << (bit % 8));
    write_file(folder / "f", bent);
    try {
      read_safetensors(FileSource(folder / "f"));
    } catch (const Error& problem) {
      CHECK(problem.fault() == Fault::bad_file);
      ++refused;
    }
  }
  CHECK(refused > bits * 9 / 10);
}

TEST_CASE("safetensors: a hundred thousand tensors take well under a second") {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i)
    header += (i ? "," : "")
              + safetensors_entry(fmt::format("layers.{}.weight", i), "U8", "[1]",
                                  fmt::format("[{},{}]", i, i + 1));
  CHECK(accept(header + "}", 100'000).tensors.size() == 100'000);
}

TEST_CASE("safetensors: a sparse file beyond 4 GiB") {
  TempFolder folder;
  auto path = folder / "large.safetensors";
  uint64_t first = (uint64_t(1) << 32) + 1;
  auto header = "{" + safetensors_entry("a", "U8", fmt::format("[{}]", first), fmt::format("[0,{}]", first))
                + "," + safetensors_entry("b", "F32", "[2]", fmt::format("[{},{}]", first, first + 8)) + "}";
  auto start = safetensors_bytes(header, "");
  write_file(path, start);
  std::filesystem::resize_file(path, start.size() + first + 8);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(long(start.size() + first))
      .write(floats({3, 4}).data(), 8);
  auto tensors = read_safetensors(FileSource(path)).tensors;
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[0].bytes == first);
  std::vector<float> b(2);
  FileSource(path).read(tensors[1].offset, std::as_writable_bytes(std::span(b)));
  CHECK(b == std::vector<float>{3, 4});
}
