// Programs that a test run saw, as a file: `wane test` writes those of the Lua tests where WANE_PROGRAMS
// says, and the C++ tests run them on the host.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/program.h"

// The program of Program::key(); an internal Error for bytes that are none.
wane::Program program_of(std::string_view key);

// The programs of a file that CudaProof::save wrote. An Error where it cannot be read or another build, with
// other operations, wrote it.
std::vector<wane::Program> read_programs(const std::string& path);

// Builds the text of all of these and compares it with the CPU back end on random launches (host_launch.h),
// two libraries at a time: what differs, program by program.
std::vector<std::string> host_differences(const std::vector<wane::Program>& programs, bool thorough);
