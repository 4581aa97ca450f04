#include "runtime/profile.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>

#include "runtime/cpu/matmul.h"
#include "runtime/cpu/pool.h"
#include "runtime/flush.h"

namespace wane {

std::atomic<bool> detail::profiling{false};

struct WorkSpan::Open {
  Open* outer = nullptr;
  FlushCause outer_cause{};
  std::string name;
  WorkRecord record;
  std::chrono::steady_clock::time_point start;
  double inside = 0; // seconds of the spans inside
};
thread_local WorkSpan::Open* WorkSpan::innermost_ = nullptr;

namespace {

using Clock = std::chrono::steady_clock;

std::atomic<WorkListener> listener{nullptr};
thread_local FlushCause cause_now = FlushCause::view;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class F> double best_of_three(F&& body) {
  double best = 1e30;
  for (int i = 0; i < 4; ++i) { // the first one warms
    auto start = Clock::now();
    body();
    if (i > 0) best = std::min(best, seconds_since(start));
  }
  return best;
}

double read_speed() {
  constexpr int64_t kBytes = int64_t(64) << 20, kPart = int64_t(1) << 20;
  BufferPtr data = allocate(size_t(kBytes));
  std::fill_n(data->as<uint64_t>(), kBytes / 8, uint64_t(1));
  std::array<std::atomic<uint64_t>, 64> sums{}; // read, so that the loop cannot be left out
  double seconds = best_of_three([&] {
    parallel_parts(kBytes / kPart, [&](int64_t part, int) {
      const uint64_t* x = data->as<uint64_t>() + part * (kPart / 8);
      uint64_t lanes[8] = {};
      for (int64_t i = 0; i < kPart / 8; i += 8)
        for (int lane = 0; lane < 8; ++lane) lanes[lane] += x[i + lane];
      uint64_t sum = 0;
      for (uint64_t lane : lanes) sum += lane;
      sums[size_t(part % 64)].fetch_add(sum, std::memory_order_relaxed);
    });
  });
  uint64_t total = 0;
  for (auto& sum : sums) total += sum.load();
  if (total != uint64_t(kBytes / 8) * 4)
    throw error(Fault::internal, "profile: the read loop saw {} of {} words", total, kBytes / 8 * 4);
  return double(kBytes) / seconds;
}

double product_speed(DType dtype, int64_t n) {
  size_t bytes = size_t(n * n) * size_of(dtype);
  BufferPtr a = allocate(bytes), w = allocate(bytes), out = allocate(size_t(n * n) * 4);
  std::fill_n(a->data(), bytes, std::byte{0});
  std::fill_n(w->data(), bytes, std::byte{0});
  auto packed = pack_weights(dtype, dtype, w->data(), n, n, n, 1);
  double seconds =
      best_of_three([&] { matmul_packed(dtype, a->data(), n, n, *packed, out->data(), DType::f32, n); });
  return 2.0 * double(n) * double(n) * double(n) / seconds;
}

} // namespace

std::string_view name_of(FlushCause cause) {
  static const auto* limits = new std::array<std::string, 3>{
      fmt::format("limit of {} ops", kMaxOps), fmt::format("limit of {} inputs", kMaxInputs),
      fmt::format("limit of {} reductions", kMaxReductions)};
  static const auto* height = new std::string(fmt::format("limit of height {}", kMaxHeight));
  switch (cause) {
  case FlushCause::none: return "";
  case FlushCause::asked: return "end of a block";
  case FlushCause::view: return "a view of it";
  case FlushCause::call: return "a call reads it";
  case FlushCause::value: return "a value asked for";
  case FlushCause::ops: return (*limits)[0];
  case FlushCause::inputs: return (*limits)[1];
  case FlushCause::reductions: return (*limits)[2];
  case FlushCause::height: return *height;
  case FlushCause::retained: return "limit of retained bytes";
  case FlushCause::rows: return "other rows";
  case FlushCause::shared: return "a second reader";
  case FlushCause::unfused: return "WANE_FUSE=0";
  }
  return "";
}

void set_work_listener(WorkListener l) {
  listener.store(l);
  detail::profiling.store(l != nullptr);
}

void WorkSpan::begin(const char* name) {
  open_ = new Open;
  open_->name = name;
  open_->record.origin = current_origin();
  open_->outer = std::exchange(innermost_, open_);
  open_->outer_cause = std::exchange(cause_now, FlushCause::call);
  open_->start = Clock::now();
}

void WorkSpan::end() {
  std::unique_ptr<Open> open(open_);
  double elapsed = seconds_since(open->start);
  innermost_ = open->outer;
  cause_now = open->outer_cause;
  if (open->outer) open->outer->inside += elapsed;
  open->record.seconds = std::max(elapsed - open->inside, 0.0);
  open->record.name = open->name;
  if (auto hear = listener.load()) hear(open->record);
}

void WorkSpan::add(const Tensor& x) {
  if (x) open_->record.bytes += double(x.count()) * double(size_of(x.dtype()));
}
void WorkSpan::add_bytes(double count) { open_->record.bytes += count; }
void WorkSpan::add_product(double flops) {
  open_->record.flops += flops;
  open_->record.product = true;
}

void WorkSpan::program(std::string name, FlushCause cause, Origin origin, int ops, double bytes,
                       double flops) {
  open_->name = std::move(name);
  WorkRecord& record = open_->record;
  record.cause = cause;
  record.origin = origin;
  record.ops = ops;
  record.bytes = bytes;
  record.flops = flops;
}

CauseScope::CauseScope(FlushCause cause) : before_(std::exchange(cause_now, cause)) {}
CauseScope::~CauseScope() { cause_now = before_; }
FlushCause current_cause() { return cause_now; }

Floors measure_floors() {
  DType dtype = native_bf16() ? DType::bf16 : DType::f32;
  constexpr int64_t kSize = 1024;
  return {read_speed(), product_speed(dtype, kSize), fmt::format("{} matmul {}^3", name_of(dtype), kSize)};
}

} // namespace wane
