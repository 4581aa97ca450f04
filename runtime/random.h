// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): element i of a draw depends on the run's
// seed, the stream's name, the number of the draw in that stream and i alone. So results do not depend on
// threads, and a draw added to one stream does not move another.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace wane {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

void set_seed(uint64_t seed);
uint64_t seed();
// The key of the next draw of a named stream; each call counts the stream on.
uint64_t next_draw(std::string_view stream);
void reset_streams();

// 32 random bits, and a uniform number in [0, 1) with 53 bits, of element i of a draw.
uint32_t random_bits(uint64_t key, uint64_t i);
double random_uniform(uint64_t key, uint64_t i);

} // namespace wane
