// What ran, and why then: one record for every program and every call, while somebody listens. With nobody
// listening a span is one branch. Seconds are those of a span without the spans inside it, so that sums count
// nothing twice.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/tensor.h"

namespace wane {

// Why a pending tree was computed when it was.
enum class FlushCause : uint8_t {
  none,  // a call, not a program
  asked, // by the standard library: the end of a block
  view,  // a view or a copy of it was taken
  call,  // a call reads it
  value, // a number of it was asked for
  ops,   // the limits of flush.h
  inputs,
  height,
  reductions,
  retained,
  rows,    // its rows are not those of what it goes into
  shared,  // its second reader gets it stored
  unfused, // WANE_FUSE=0
};
std::string_view name_of(FlushCause cause); // in words: "limit of 64 ops"

struct WorkRecord {
  std::string_view name; // "matmul"; of a program its first few operations
  FlushCause cause = FlushCause::none;
  Origin origin; // the script's line that wrote it
  int ops = 1;
  double seconds = 0;
  double bytes = 0;     // read and written, each operand once
  double flops = 0;     // of a product 2 m n k; of a program one per map or reduction and element
  bool product = false; // its flops are those of matmul, to be held against the compute floor
};
using WorkListener = void (*)(const WorkRecord&);
void set_work_listener(WorkListener listener); // null: nobody

namespace detail {
extern std::atomic<bool> profiling;
}
inline bool profiling() { return detail::profiling.load(std::memory_order_relaxed); }

// A call, from its construction to its end. On the thread of the script only.
class WorkSpan {
public:
  explicit WorkSpan(const char* name) {
    if (profiling()) begin(name);
  }
  ~WorkSpan() {
    if (open_) end();
  }
  WorkSpan(const WorkSpan&) = delete;

  bool on() const { return open_ != nullptr; }
  template <class... T> void moves(const T&... tensors) { // what it reads and writes
    if (open_) (add(tensors), ...);
  }
  void bytes(double count) {
    if (open_) add_bytes(count);
  }
  void product(double flops) {
    if (open_) add_product(flops);
  }
  // A program: what it is called is only made up while somebody listens.
  void program(std::string name, FlushCause cause, Origin origin, int ops, double bytes, double flops);

private:
  struct Open;
  void begin(const char* name);
  void end();
  void add(const Tensor& x);
  void add_bytes(double count);
  void add_product(double flops);

  static thread_local Open* innermost_;
  Open* open_ = nullptr; // null while nobody listens
};

// What a flush inside this scope is put down to, where no limit is the cause.
class CauseScope {
public:
  explicit CauseScope(FlushCause cause);
  ~CauseScope();
  CauseScope(const CauseScope&) = delete;

private:
  FlushCause before_;
};
FlushCause current_cause();

// What this machine can do at most, measured once by `measure_floors` in about a fifth of a second: a loop
// that reads 64 MiB with all threads, and a product of 1024 x 1024 x 1024 in the fastest float type (best of
// three each).
struct Floors {
  double bytes_per_second = 0, flops_per_second = 0;
  std::string product; // "bf16 matmul 1024^3"
};
Floors measure_floors();

} // namespace wane
