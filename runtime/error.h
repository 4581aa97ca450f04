// One kind of error for the whole engine. An Error says what is wrong with the values, then which operands
// were involved, then at most one hint; the border to Lua adds the place. Its Fault is also the process's
// exit code.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace wane {

// Exit codes of the command line (DESIGN 9).
enum class Fault : int {
  recipe = 1,       // the script asked for something wrong
  usage = 2,        // the command line did
  degraded = 3,     // finished, but a fallback happened under --strict
  differs = 4,      // a comparison found a difference
  bad_file = 65,    // an input file is malformed
  missing = 66,     // an input is not there
  no_device = 69,   // the device asked for is not there
  internal = 70,    // a bug
  no_create = 73,   // an output cannot be created
  io = 74,          // reading or writing failed part way
  interrupted = 75, // stopped by the user; the same command continues
};

// Where in a script a value was made: an interned file name and a line; file 0 is "nowhere".
struct Origin {
  uint32_t file = 0;
  int32_t line = 0;
  explicit operator bool() const { return file != 0; }
};
uint32_t intern_file(std::string_view name);
std::string to_string(Origin origin); // "recipes/w4.lua:14", or "" when unknown

class Error : public std::exception {
public:
  Error(Fault fault, std::string what) : fault_(fault), what_(std::move(what)) {}

  // An operand line: a short label and what it was.
  Error& note(std::string label, std::string text) & {
    notes_.emplace_back(std::move(label), std::move(text));
    return *this;
  }
  Error&& note(std::string label, std::string text) && {
    return std::move(note(std::move(label), std::move(text)));
  }
  Error& hint(std::string text) & {
    hint_ = std::move(text);
    return *this;
  }
  Error&& hint(std::string text) && { return std::move(hint(std::move(text))); }
  // The place; the first one given stays, since it is the nearest to the cause.
  Error& at(Origin origin) & {
    if (!origin_) origin_ = origin;
    return *this;
  }

  Fault fault() const { return fault_; }
  Origin origin() const { return origin_; }
  const char* what() const noexcept override { return what_.c_str(); } // first line only
  std::string text() const; // first line, notes with aligned labels, hint

private:
  Fault fault_;
  std::string what_;
  std::vector<std::pair<std::string, std::string>> notes_;
  std::string hint_;
  Origin origin_;
};

// throw error("matmul: inner sizes differ: {} and {}", a, b).note("left", describe(x));
template <class... A> Error error(fmt::format_string<A...> text, A&&... args) {
  return Error(Fault::recipe, fmt::format(text, std::forward<A>(args)...));
}
template <class... A> Error error(Fault fault, fmt::format_string<A...> text, A&&... args) {
  return Error(fault, fmt::format(text, std::forward<A>(args)...));
}

// The known name with the least edit distance to `name`, or "" when none is near enough to be meant.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

// Ctrl-C. The flag is sticky: once set, every poll throws until the host clears it (the REPL, before a new
// line).
void request_interrupt() noexcept;
void clear_interrupt() noexcept;
bool interrupt_requested() noexcept;
void check_interrupt(); // throws Error(Fault::interrupted)

} // namespace wane
