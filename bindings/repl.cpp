// The REPL: lines by libedit (history, completion), results by stdlib/repl.lua.
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <filesystem>
#include <histedit.h>
#include <unistd.h>

#include "bindings/failure.h"
#include "bindings/interrupt.h"
#include "bindings/progress.h"
#include "bindings/run.h"
#include "bindings/version.h"

namespace wane::lua {
namespace fs = std::filesystem;
namespace {

constexpr int kHistory = 2000;

std::string history_path() {
  const char* set = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  fs::path state =
      set && *set == '/' ? fs::path(set) : fs::path(home && *home ? home : "/tmp") / ".local/state";
  std::error_code ignored;
  fs::create_directories(state / "wane", ignored);
  return (state / "wane" / "history").string();
}

// -- where lines come from
// ------------------------------------------------------------------------------------
class Lines {
public:
  virtual ~Lines() = default;
  // The next line without its end; nothing at the end of input or after Ctrl-C.
  virtual std::optional<std::string> next(bool continued) = 0;
  virtual void remember(const std::string&) {}
};

class PipedLines : public Lines {
public:
  std::optional<std::string> next(bool) override {
    std::string line;
    for (int c; (c = std::getchar()) != EOF;) {
      if (c == '\n') return line;
      line += char(c);
    }
    if (line.empty()) return std::nullopt;
    return line;
  }
};

class EditedLines : public Lines {
public:
  explicit EditedLines(lua_State* L) : L_(L), path_(history_path()) {
    std::setlocale(LC_CTYPE, "");
    edit_ = el_init("wane", stdin, stdout, stderr);
    history_ = history_init();
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistory);
    history(history_, &event, H_SETUNIQUE, 1);
    history(history_, &event, H_LOAD, path_.c_str());
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_PROMPT, prompt);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_GETCFN, read_character);
    el_set(edit_, EL_ADDFN, "wane-complete", "complete a name", complete);
    el_set(edit_, EL_BIND, "^I", "wane-complete", nullptr);
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_source(edit_, nullptr); // ~/.editrc
  }
  ~EditedLines() override {
    history_end(history_);
    el_end(edit_);
  }
  EditedLines(const EditedLines&) = delete;

  std::optional<std::string> next(bool continued) override {
    continued_ = continued;
    int count = 0;
    const char* text = el_gets(edit_, &count);
    if (!text || count <= 0) return std::nullopt;
    std::string line(text, size_t(count));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    return line;
  }
  void remember(const std::string& text) override {
    HistEvent event;
    history(history_, &event, H_ENTER, text.c_str());
    history(history_, &event, H_SAVE, path_.c_str());
  }

private:
  static EditedLines& self(EditLine* edit) {
    void* data = nullptr;
    el_get(edit, EL_CLIENTDATA, &data);
    return *static_cast<EditedLines*>(data);
  }
  static char* prompt(EditLine* edit) {
    static char first[] = "> ", more[] = ">> ";
    return self(edit).continued_ ? more : first;
  }

  // Reads one character; Ctrl-C gives the line up.
  static int read_character(EditLine*, wchar_t* out) {
    std::mbstate_t state{};
    for (;;) {
      char byte;
      ssize_t n = ::read(STDIN_FILENO, &byte, 1);
      if (n < 0 && errno == EINTR) {
        if (interrupt_requested()) return 0;
        continue; // a window that changed its size
      }
      if (n <= 0) return int(n);
      size_t used = std::mbrtowc(out, &byte, 1, &state);
      if (used == size_t(-2)) continue;
      if (used == size_t(-1))
        state = {};
      else
        return 1;
    }
  }

  static unsigned char complete(EditLine* edit, int) { return self(edit).complete_word(); }

  unsigned char complete_word() {
    const LineInfo* line = el_line(edit_);
    std::string before(line->buffer, size_t(line->cursor - line->buffer));
    size_t start = 0;
    auto found = candidates(before, start);
    if (found.empty()) return CC_REFRESH_BEEP;
    std::string common = found[0];
    for (auto& each : found) {
      size_t same = 0;
      while (same < common.size() && same < each.size() && common[same] == each[same]) ++same;
      common.resize(same);
    }
    size_t typed = before.size() - start;
    if (common.size() > typed) {
      el_insertstr(edit_, common.c_str() + typed);
      return CC_REFRESH;
    }
    if (found.size() > 1) {
      list(found);
      return CC_REDISPLAY;
    }
    return CC_REFRESH_BEEP;
  }
  static void list(const std::vector<std::string>& found) {
    std::fputc('\n', stdout);
    size_t width = 0, column = 0;
    for (auto& each : found) width = std::max(width, each.size() + 2);
    for (auto& each : found) {
      std::printf("%-*s", int(width), each.c_str());
      if ((column += width) + width > 100) column = 0, std::fputc('\n', stdout);
    }
    if (column) std::fputc('\n', stdout);
  }

  std::vector<std::string> candidates(const std::string& before, size_t& start) {
    std::vector<std::string> found;
    int top = lua_gettop(L_);
    lua_getfield(L_, LUA_REGISTRYINDEX, "wane.repl");
    lua_getfield(L_, -1, "complete");
    push(L_, std::string_view(before));
    if (!call(L_, 1, 2) && lua_isinteger(L_, -2) && lua_istable(L_, -1)) {
      start = size_t(lua_tointeger(L_, -2));
      for (lua_Integer i = 1; lua_rawgeti(L_, -1, i) == LUA_TSTRING; ++i) {
        found.emplace_back(lua_tostring(L_, -1));
        lua_pop(L_, 1);
      }
    }
    lua_settop(L_, top);
    return found;
  }

  lua_State* L_;
  std::string path_;
  EditLine* edit_;
  History* history_;
  bool continued_ = false;
};

// -- the session
// ----------------------------------------------------------------------------------------------
class Session {
public:
  Session(lua_State* L, Lines& lines, bool interactive) : L_(L), lines_(lines), interactive_(interactive) {}

  int run() {
    for (;;) {
      clear_interrupts(L_);
      auto line = lines_.next(false);
      if (!line) {
        if (interactive_ && interrupt_requested()) {
          std::printf("^C\n");
          continue;
        }
        break;
      }
      if (line->find_first_not_of(" \t") == std::string::npos) continue;
      statement(*line);
      lua_settop(L_, 0);
    }
    if (interactive_) std::printf("\n");
    return interactive_ ? 0 : code_;
  }

private:
  enum class Load { ok, incomplete, wrong };

  Load load(const std::string& text, std::string& problem) {
    if (luaL_loadbufferx(L_, text.data(), text.size(), "=stdin", "t") == LUA_OK) return Load::ok;
    problem = lua_tostring(L_, -1) ? lua_tostring(L_, -1) : "no message";
    lua_pop(L_, 1);
    bool open = problem.size() >= 5 && problem.compare(problem.size() - 5, 5, "<eof>") == 0;
    return open ? Load::incomplete : Load::wrong;
  }

  // Reads on until the text is whole: an expression, or statements.
  void statement(std::string text) {
    std::string problem;
    for (;;) {
      bool silent = ends_in_semicolon(text);
      std::string expression = "return " + (silent ? text.substr(0, text.find_last_of(';')) : text);
      std::string of_expression;
      Load state = load(expression, of_expression);
      if (state != Load::ok) {
        bool open = state == Load::incomplete;
        state = load(text, problem);
        if (state == Load::wrong && open) state = Load::incomplete, problem = of_expression;
        silent = true;
      }
      if (state == Load::ok) return execute(text, silent);
      auto more = state == Load::incomplete ? lines_.next(true) : std::nullopt;
      if (!more) break;
      text += "\n" + *more;
    }
    lines_.remember(text);
    if (interactive_ && interrupt_requested())
      std::printf("^C\n");
    else
      complain(problem, int(Fault::recipe));
  }

  static bool ends_in_semicolon(const std::string& text) {
    size_t last = text.find_last_not_of(" \t\n");
    return last != std::string::npos && text[last] == ';';
  }

  void execute(const std::string& text, bool silent) {
    lines_.remember(text);
    if (!hinted_ && interactive_ && text.compare(0, 6, "local ") == 0) {
      hinted_ = true;
      std::printf("a local lives for its line only; leave out 'local' to keep it\n");
    }
    int base = lua_gettop(L_) - 1;
    auto failure = call(L_, 0, LUA_MULTRET);
    hide_progress();
    if (failure && interactive_ && failure->fault == Fault::interrupted)
      return void(std::printf("\ninterrupted\n"));
    if (failure) return complain(failure->text, int(failure->fault));
    int count = lua_gettop(L_) - base;
    if (count == 0) return;
    lua_pushvalue(L_, base + 1);
    lua_setglobal(L_, "_");
    if (!silent) show(base + 1, count);
    std::fflush(stdout);
  }

  void show(int first, int count) {
    if (count == 1 && lua_isnil(L_, first)) return;
    for (int i = first; i < first + count; ++i) {
      lua_getfield(L_, LUA_REGISTRYINDEX, "wane.repl");
      lua_getfield(L_, -1, "show");
      lua_pushvalue(L_, i);
      if (auto failure = call(L_, 1, 1)) return complain(failure->text, int(failure->fault));
      std::printf("%s\n", lua_tostring(L_, -1));
      lua_pop(L_, 2);
    }
  }

  void complain(const std::string& text, int code) {
    code_ = code;
    std::fflush(stdout);
    // "stdin:1: " says nothing that the line above does not show.
    auto shown = text.compare(0, 8, "stdin:1:") == 0 ? text.substr(9) : text;
    size_t caller = shown.find("\n  called from stdin:");
    if (caller != std::string::npos && interactive_) shown.resize(caller);
    std::fprintf(interactive_ ? stdout : stderr, "%s\n", shown.c_str());
    std::fflush(stdout);
  }

  lua_State* L_;
  Lines& lines_;
  bool interactive_, hinted_ = false;
  int code_ = 0;
};

} // namespace

int repl(const std::string& model, HostOptions options) {
  bool interactive = isatty(STDIN_FILENO);
  State state(open_state(std::move(options)));
  lua_State* L = state.get();
  install_interrupts(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "wane.repl");
  std::optional<Failure> failure = call(L, 1, 1);
  if (!failure) {
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "wane.repl");
    lua_getfield(L, -1, "start");
    if (model.empty())
      lua_pushnil(L);
    else
      push(L, std::string_view(model));
    failure = call(L, 1, 0);
  }
  if (failure) {
    std::fprintf(stderr, "%s\n", failure->text.c_str());
    return int(failure->fault);
  }
  lua_settop(L, 0);
  if (!interactive) {
    PipedLines lines;
    return Session(L, lines, false).run();
  }
  std::printf("wane %s  %s  help() for help, Tab to complete\n", version_text().c_str(),
              machine_text().c_str());
  EditedLines lines(L);
  return Session(L, lines, true).run();
}

} // namespace wane::lua
