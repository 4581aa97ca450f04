#include "bindings/progress.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/ioctl.h>
#include <unistd.h>

namespace wane::lua {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTerminalPause = std::chrono::milliseconds(80);
constexpr auto kPlainPause = std::chrono::seconds(30); // logs of long jobs stay short

bool quiet_on = false, shown = false;
Clock::time_point last_shown{};

bool on_terminal() {
  static const bool terminal = [] {
    const char* kind = std::getenv("TERM");
    return isatty(STDERR_FILENO) && !(kind && std::string_view(kind) == "dumb");
  }();
  return terminal;
}

size_t width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// At most `columns` characters of UTF-8 text.
std::string_view cut(std::string_view text, size_t columns) {
  size_t at = 0, seen = 0;
  while (at < text.size()) {
    if ((text[at] & 0xC0) != 0x80 && seen++ == columns) break;
    ++at;
  }
  return text.substr(0, at);
}

} // namespace

void set_quiet(bool quiet) { quiet_on = quiet; }

void show_progress(std::string_view text) {
  if (quiet_on) return;
  auto now = Clock::now();
  bool first = last_shown == Clock::time_point{};
  if (!first
      && now - last_shown < (on_terminal() ? Clock::duration(kTerminalPause) : Clock::duration(kPlainPause)))
    return;
  last_shown = now;
  if (on_terminal()) {
    auto line = cut(text, width() - 1);
    std::fprintf(stderr, "\r%.*s\033[K", int(line.size()), line.data());
    std::fflush(stderr);
    shown = true;
  } else {
    std::fprintf(stderr, "%.*s\n", int(text.size()), text.data());
  }
}

void hide_progress() {
  if (!shown) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  shown = false;
}

void write_note(std::string_view text) {
  if (quiet_on) return;
  hide_progress();
  std::fprintf(stderr, "%.*s\n", int(text.size()), text.data());
}

} // namespace wane::lua
