// Files as recipes need them: whole texts, lines appended to tables, folders; and hashes and regular
// expressions.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "bindings/host.h"
#include "runtime/hash.h"
#include "runtime/model/source.h"
#include "runtime/run/publish.h"

namespace wane::lua {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxText = uint64_t(8) << 30;

int publish(Args& a) {
  auto path = std::string(a.string("path"));
  publish_text(path, a.string("text"));
  return 0;
}

// One line more, in one write, so that a reader sees whole lines.
int append(Args& a) {
  auto path = std::string(a.string("path"));
  auto text = a.string("text");
  int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) throw error(Fault::no_create, "append: {}: {}", path, std::strerror(errno));
  size_t done = 0;
  int problem = 0;
  while (done < text.size() && !problem) {
    ssize_t n = ::write(file, text.data() + done, text.size() - done);
    if (n >= 0)
      done += size_t(n);
    else if (errno != EINTR)
      problem = errno;
  }
  if (::close(file) && !problem) problem = errno;
  if (problem) throw error(Fault::io, "append: {}: {}", path, std::strerror(problem));
  return 0;
}

int read(Args& a) {
  FileSource file{std::string(a.string("path"))};
  return results(a.L, std::string_view(file.text(kMaxText)));
}

int exists(Args& a) {
  std::error_code ignored;
  return push_boolean(a.L, fs::exists(std::string(a.string("path")), ignored)), 1;
}

int is_folder(Args& a) {
  std::error_code ignored;
  return push_boolean(a.L, fs::is_directory(std::string(a.string("path")), ignored)), 1;
}

int file_bytes(Args& a) {
  auto path = std::string(a.string("path"));
  std::error_code problem;
  auto size = fs::file_size(path, problem);
  if (problem) throw error(Fault::missing, "file_bytes: {}: {}", path, problem.message());
  return results(a.L, int64_t(size));
}

int make_folder(Args& a) {
  auto path = std::string(a.string("path"));
  std::error_code problem;
  fs::create_directories(path, problem);
  if (problem) throw error(Fault::no_create, "mkdir: {}: {}", path, problem.message());
  return 0;
}

int list(Args& a) {
  auto path = std::string(a.string("path"));
  std::error_code problem;
  std::vector<std::string> names;
  for (fs::directory_iterator it(path, problem), end; !problem && it != end; it.increment(problem))
    names.push_back(it->path().filename().string());
  if (problem) throw error(Fault::missing, "list: {}: {}", path, problem.message());
  std::sort(names.begin(), names.end());
  return results(a.L, std::span<const std::string>(names));
}

int sha256(Args& a) { return results(a.L, std::string_view(sha256_hex(a.string("text")))); }
int sha256_file(Args& a) {
  return results(a.L, std::string_view(FileSource{std::string(a.string("path"))}.sha256()));
}

// A compiled expression; it matches whole names.
struct Expression {
  pcre2_code* code = nullptr;
  explicit Expression(pcre2_code* given) : code(given) {}
  Expression(const Expression&) = delete;
  ~Expression() { pcre2_code_free(code); }
};
} // namespace
template <> struct Class<Expression> { static constexpr const char* name = "regex"; };
namespace {

constexpr uint32_t kMatchLimit = 10'000'000;

std::string pcre_message(int code) {
  PCRE2_UCHAR text[256];
  return pcre2_get_error_message(code, text, sizeof text) > 0 ? reinterpret_cast<char*>(text)
                                                              : "unknown error";
}

int make_regex(Args& a) {
  auto pattern = a.string("pattern");
  int code;
  PCRE2_SIZE offset;
  auto* compiled = pcre2_compile(PCRE2_SPTR(pattern.data()), pattern.size(),
                                 PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &offset, nullptr);
  if (!compiled) throw error("regex: '{}': {} at byte {}", pattern, pcre_message(code), offset);
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); // without it, it is interpreted
  push_object<Expression>(a.L, compiled);
  return 1;
}

int match(Args& a) {
  auto& expression = a.object<Expression>("regex");
  auto text = a.string("text");
  auto* context = pcre2_match_context_create(nullptr);
  auto* data = pcre2_match_data_create_from_pattern(expression.code, nullptr);
  pcre2_set_match_limit(context, kMatchLimit);
  int found = pcre2_match(expression.code, PCRE2_SPTR(text.data()), text.size(), 0, 0, data, context);
  pcre2_match_data_free(data);
  pcre2_match_context_free(context);
  if (found < 0 && found != PCRE2_ERROR_NOMATCH)
    throw error("regex: {} on a text of {} bytes", pcre_message(found), text.size());
  return push_boolean(a.L, found >= 0), 1;
}

Method regex_methods[] = {
    {"match", match, "(text) -> true or false", "Whether the whole text matches.", Kind::plain}};

Method functions[] = {
    {"publish", publish, "(path, text)", "Writes a file, whole or not at all.", Kind::plain},
    {"append", append, "(path, text)", "Appends to a file.", Kind::plain},
    {"read", read, "(path) -> text", "All of a file.", Kind::plain},
    {"exists", exists, "(path) -> true or false", "Whether something is there.", Kind::plain},
    {"is_folder", is_folder, "(path) -> true or false", "Whether a folder is there.", Kind::plain},
    {"file_bytes", file_bytes, "(path) -> bytes", "The size of a file.", Kind::plain},
    {"mkdir", make_folder, "(path)", "Makes a folder and those above it.", Kind::plain},
    {"list", list, "(folder) -> names", "What is in a folder, sorted.", Kind::plain},
    {"sha256", sha256, "(text) -> hex", "SHA-256 of a text.", Kind::plain},
    {"sha256_file", sha256_file, "(path) -> hex", "SHA-256 of a file.", Kind::plain},
    {"regex", make_regex, "(pattern) -> regex", "A regular expression (PCRE2) over whole texts.",
     Kind::plain},
};

} // namespace

void open_files(lua_State* L) {
  make_class<Expression>(L, regex_methods);
  set_methods(L, functions, false);
}

} // namespace wane::lua
