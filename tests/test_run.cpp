// The command line as a user meets it: the built program beside this one, run in a scratch folder.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;

namespace {

std::string program() { return (fs::read_symlink("/proc/self/exe").parent_path() / "wane").string(); }

struct Scratch {
  fs::path before = fs::current_path(), folder;
  Scratch() {
    std::string name = (fs::temp_directory_path() / "wane-run-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()));
    folder = name;
    fs::current_path(folder);
  }
  ~Scratch() {
    fs::current_path(before);
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
};

struct Answer {
  int code = 0;
  std::string out, err;
};

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

Answer wane(const std::string& arguments, const std::string& environment = "") {
  std::string command = environment + " '" + program() + "' " + arguments + " >out.txt 2>err.txt";
  int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read("out.txt"), read("err.txt")};
}

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

size_t runs() {
  if (!fs::exists("runs")) return 0;
  return size_t(std::distance(fs::directory_iterator("runs"), fs::directory_iterator()));
}

fs::path only_run() { return fs::directory_iterator("runs")->path(); }

const char* kScript = R"(local wane = require "wane"
local x = wane.randn { 64, 128 }
local function step(a) return a:softmax(2):matmul(x:t()) end
local results = wane.table("results", { "name", "value" })
for i = 1, 3 do
  results:add { name = "row " .. i, value = step(x * i):sum() }
end
print("said in words")
)";

} // namespace

TEST_CASE("command line: numbers and words that mean nothing are refused") {
  Scratch scratch;
  write("a.lua", "return 1");
  auto seed = wane("run --seed -1 a.lua");
  CHECK(seed.code == 2);
  CHECK(seed.err == "wane: --seed -1: expected a whole number of at least 0\n");
  auto fuse = wane("run a.lua", "WANE_FUSE=maybe");
  CHECK(fuse.code == 2);
  CHECK(fuse.err == "wane: WANE_FUSE: 'maybe' is neither 0 nor 1\n");
  auto memory = wane("run a.lua", "WANE_MEMORY=much");
  CHECK(memory.code == 2);
  CHECK(memory.err.find("WANE_MEMORY: 'much' is not a size") != std::string::npos);
  CHECK(runs() == 0);
  CHECK(wane("run a.lua", "WANE_FUSE=1").code == 0);
  CHECK(wane("run --seed 7 a.lua", "WANE_FUSE=0").code == 0);
}

TEST_CASE("command line: a run that failed before it made anything leaves no folder") {
  Scratch scratch;
  write("a.lua", "local x = ");
  CHECK(wane("run a.lua").code == 1);
  CHECK(runs() == 0);
  write("a.lua", "error 'early'");
  auto early = wane("run a.lua");
  CHECK(early.code == 1);
  CHECK(early.err.find("failed    nothing was kept\n") != std::string::npos);
  CHECK(!fs::exists("runs"));
  write("a.lua", "local t = require('wane').table('t', { 'a' }) t:add { a = 1 } error 'late'");
  auto late = wane("run a.lua");
  CHECK(late.code == 1);
  REQUIRE(runs() == 1);
  CHECK(late.err.find("failed    " + only_run().string()) != std::string::npos);
  CHECK(read(only_run() / "t.jsonl") == "{\"a\":1}\n");
  CHECK(fs::exists(only_run() / "recipe"));
}

TEST_CASE("command line: --json gives one line per row and nothing else on stdout") {
  Scratch scratch;
  write("a.lua", kScript);
  auto plain = wane("run a.lua");
  CHECK(plain.out == "said in words\n");
  auto json = wane("run --json a.lua");
  CHECK(json.code == 0);
  CHECK(json.err.find("said in words\n") != std::string::npos);
  std::istringstream lines(json.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    auto row = nlohmann::json::parse(line);
    CHECK(row["table"] == "results");
    CHECK(row["row"]["name"] == "row " + std::to_string(count + 1));
    CHECK(row["row"]["value"].is_number());
  }
  CHECK(count == 3);
}

TEST_CASE("command line: metrics.jsonl tells the calls of wane.quantize apart") {
  Scratch scratch;
  write("a.lua", R"(local wane = require "wane"
local model = wane.model("LlamaForCausalLM", { vocab_size = 16, hidden_size = 8, intermediate_size = 16,
  num_hidden_layers = 1, num_attention_heads = 2, rms_norm_eps = 1e-6 })
local function quantized(weight) return #wane.quantize(model, wane.rules { { "*_proj", weight = weight } }).metrics end
for bits = 3, 4 do print(quantized(wane.int { bits = bits })) end
print(pcall(wane.quantize, model, wane.rules { { "*_proj", weight = wane.int { group_size = 3 } } }))
print(#wane.quantize(model, wane.rules { { "*.q_proj", weight = wane.nf4 { group_size = 8 } } }).metrics)
)");
  auto answer = wane("run a.lua");
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  CHECK(answer.out.substr(0, 4) == "7\n7\n");
  std::istringstream lines(read(only_run() / "metrics.jsonl"));
  std::map<int, std::vector<std::string>> calls;
  for (std::string line; std::getline(lines, line);) {
    auto row = nlohmann::json::parse(line);
    calls[row["call"]].push_back(row["weight"]);
    CHECK(row["line"] == (row["call"] == 4 ? "a.lua:7" : "a.lua:4"));
    CHECK(row["layer"].is_string());
    CHECK(row["sqnr"].is_number());
  }
  CHECK(calls.size() == 3); // the third was refused, before anything was computed
  CHECK(calls[1] == std::vector<std::string>(7, "int3"));
  CHECK(calls[2] == std::vector<std::string>(7, "int4"));
  CHECK(calls[4] == std::vector<std::string>(1, "nf4 g8"));
}

TEST_CASE("command line: --profile shows lines, work, causes, floors and memory, and writes both files") {
  Scratch scratch;
  write("a.lua", kScript);
  auto answer = wane("run --profile a.lua", "WANE_FUSE=1");
  CAPTURE(answer.out);
  CHECK(answer.code == 0);
  for (const char* words :
       {"profile: ", "a.lua:3 ", "\nmatmul ", "(program)", "computed because of", "a call reads it",
        "a value asked for", "floors: read loop ", "matmul 1024^3 ", "memory: live ", "cached ", "peak "})
    CHECK(answer.out.find(words) != std::string::npos);
  CHECK(answer.err.find("done      3 rows, 0 deviations")
        != std::string::npos); // the profile's are not the script's
  std::istringstream lines(read(only_run() / "profile.jsonl"));
  int64_t products = 0;
  double seconds = 0;
  for (std::string line; std::getline(lines, line);) {
    auto row = nlohmann::json::parse(line);
    seconds += row["seconds"].get<double>();
    if (row["name"] != "matmul") continue;
    products += row["count"].get<int64_t>();
    CHECK(row["line"] == "a.lua:3");
    CHECK(row["stack"] == "a.lua:6;a.lua:3");
    CHECK(row["flops"] == 3 * 2.0 * 64 * 64 * 128);
  }
  CHECK(products == 3);
  CHECK(seconds > 0);
  auto svg = read(only_run() / "profile.svg");
  CHECK(svg.find("<svg xmlns") == 0);
  CHECK(svg.find("a.lua:6") != std::string::npos);
  CHECK(svg.find("</svg>\n") == svg.size() - 7);
  // Without it, neither file is left of the run before.
  CHECK(wane("run a.lua").code == 0);
  CHECK(!fs::exists(only_run() / "profile.svg"));
  CHECK(!fs::exists(only_run() / "profile.jsonl"));
}

TEST_CASE("command line: a profile without fusing says so") {
  Scratch scratch;
  write("a.lua", kScript);
  auto answer = wane("run --profile a.lua", "WANE_FUSE=0");
  CHECK(answer.code == 0);
  CHECK(answer.out.find("\nWANE_FUSE=0 ") != std::string::npos);
  CHECK(answer.out.find("a call reads it") == std::string::npos);
}

TEST_CASE("command line: a profiled script that fails still tells where its time went") {
  Scratch scratch;
  write("a.lua", "local wane = require 'wane'\nprint(wane.randn({ 8, 8 }):sum())\nerror 'stop'");
  auto answer = wane("run --profile a.lua");
  CHECK(answer.code == 1);
  CHECK(answer.out.find("a.lua:2") != std::string::npos);
  CHECK(answer.err.find("a.lua:3: stop") != std::string::npos);
}

TEST_CASE("command line: layers are frames of a profile") {
  Scratch scratch;
  write("a.lua", R"(local wane = require "wane"
local model = wane.model("LlamaForCausalLM", { vocab_size = 40, hidden_size = 32, intermediate_size = 48,
  num_hidden_layers = 2, num_attention_heads = 2, num_key_value_heads = 1, head_dim = 16, rms_norm_eps = 1e-6,
  rope_theta = 1e4, max_position_embeddings = 64, tie_word_embeddings = false })
model:forward(wane.tensor({ { 1, 2, 3 } }, { dtype = "i32" })):max()
)");
  CHECK(wane("run --profile a.lua").code == 0);
  auto rows = read(only_run() / "profile.jsonl");
  CHECK(rows.find("\"a.lua:5;methods:forward (model.lua);methods:_run (model.lua);") != std::string::npos);
  CHECK(rows.find("layers.1;layers.1.self_attn;layers.1.self_attn.o_proj\"") != std::string::npos);
  CHECK(rows.find("layers.0;layers.0.mlp") != std::string::npos);
}

TEST_CASE(
    "command line: memory that ends names the largest tensors, weights by their layers, and their lines") {
  Scratch scratch;
  write("a.lua", R"(local wane = require "wane"
local config = { vocab_size = 512, hidden_size = 256, intermediate_size = 640, num_hidden_layers = 2,
  num_attention_heads = 4, num_key_value_heads = 2, head_dim = 64, rms_norm_eps = 1e-6, rope_theta = 1e4,
  max_position_embeddings = 64, tie_word_embeddings = false }
wane.model("LlamaForCausalLM", config):save("saved", "safetensors")
local model, held = wane.load "saved", {}
for layer in model:layers "*_proj" do held[#held + 1] = layer.weight:t() end
local mine = wane.randn { 512, 512 }
local ok, problem = pcall(function()
  return (wane.ones { 32768, 512 } + mine[{ 1, 1 }]):matmul(mine)
end)
assert(not ok)
print(problem)
print(model:forward(wane.tensor({ { 1, 2, 3 } }, { dtype = "i32" })):max() > 0)
)");
  auto answer = wane("run a.lua", "WANE_MEMORY=20M");
  CAPTURE(answer.out);
  CAPTURE(answer.err);
  CHECK(answer.code == 0);
  CHECK(answer.out.find("a.lua:10: memory: 64.0 MiB more do not fit: ") == 0);
  CHECK(answer.out.find("1.0 MiB     made at a.lua:8") != std::string::npos);
  CHECK(answer.out.find("layers.1.mlp.down_proj.weight   made at a.lua:7") != std::string::npos);
  CHECK(answer.out.find("\ntrue\n") != std::string::npos); // the session goes on
}

TEST_CASE("command line: a model runs below a ceiling that its packed weights alone would pass") {
  Scratch scratch;
  write("a.lua", R"(local wane = require "wane"
local config = { vocab_size = 512, hidden_size = 256, intermediate_size = 640, num_hidden_layers = 6,
  num_attention_heads = 4, num_key_value_heads = 2, head_dim = 64, rms_norm_eps = 1e-6, rope_theta = 1e4,
  max_position_embeddings = 64, tie_word_embeddings = false }
if ... then return wane.model("LlamaForCausalLM", config):save("saved", "safetensors") end
local model = wane.load "saved"
local tokens = wane.tensor({ { 1, 2, 3 } }, { dtype = "i32" })
for _ = 1, 3 do print(model:forward(tokens):norm()) end
print(wane.memory().peak <= wane.memory().ceiling)
)");
  REQUIRE(wane("run a.lua save").code == 0);
  auto easy = wane("run a.lua"), tight = wane("run a.lua", "WANE_MEMORY=8M");
  CAPTURE(tight.err);
  CHECK(tight.code == 0);
  CHECK(tight.out == easy.out);
}
