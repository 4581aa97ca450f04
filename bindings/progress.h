// The status line on stderr: one line rewritten in place on a terminal, a plain line now and then elsewhere,
// nothing when quiet. Results on stdout never mix with it.
#pragma once

#include <string_view>

namespace wane::lua {

void set_quiet(bool quiet);
void show_progress(std::string_view text);
void hide_progress();                   // before anything else is written
void write_note(std::string_view text); // a whole line on stderr

} // namespace wane::lua
