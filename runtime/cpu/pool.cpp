// The pool behind parallel_parts. A job is one word: generation, an "open" bit and how many workers joined.
// Workers join by compare-and-swap while it is open, take parts from a shared counter, and the caller closes
// the job when the parts run out, so a worker that is still asleep never delays anybody.
#include "runtime/cpu/pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <immintrin.h>
#include <sched.h>

#include "runtime/error.h"

namespace wane {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(70);
constexpr uint64_t kJoinedMask = 0xffff, kOpen = 0x10000, kGeneration = 0x20000;
constexpr unsigned kMxcsrControl = 0xffc0,
                   kMxcsrDefault = 0x1f80; // round to nearest, subnormals kept, all masked

thread_local int this_thread_index = 0;
thread_local bool inside_part = false;

// A job that a container limits to two processors must not start a thread per core of the machine.
int quota_threads() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return kMaxThreads;
  double limit = std::strtod(quota.c_str(), nullptr) / period;
  return limit > 0 ? std::max(1, int(std::ceil(limit))) : kMaxThreads;
}

void check_thread_count(long n, const char* source) {
  if (n < 1 || n > kMaxThreads)
    throw error(Fault::usage, "{}: the number of threads is 1 to {}, not {}", source, kMaxThreads, n);
}

int default_threads() {
  if (const char* text = std::getenv("WANE_THREADS"); text && *text) {
    char* end = nullptr;
    long n = std::strtol(text, &end, 10);
    if (*end) throw error(Fault::usage, "WANE_THREADS: '{}' is not a number", text);
    check_thread_count(n, "WANE_THREADS");
    return int(n);
  }
  cpu_set_t set;
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                          : int(std::thread::hardware_concurrency());
  return std::clamp(std::min(cores, quota_threads()), 1, kMaxThreads);
}

// oneDNN's packaged build runs on OpenMP; inside a worker it has to stay on that worker.
void keep_openmp_single() {
  using Set = void (*)(int);
  static const auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set) set(1);
}

struct Job {
  int64_t parts = 0;
  detail::PartFn fn = nullptr;
  void* context = nullptr;
  std::atomic<int64_t> next{0};
  std::mutex failure_mutex;
  std::exception_ptr failure; // of the lowest part that failed
  int64_t failed_part = 0;

  void fail(int64_t part) {
    std::lock_guard lock(failure_mutex);
    if (!failure || part < failed_part) {
      failure = std::current_exception();
      failed_part = part;
    }
    next.store(parts, std::memory_order_relaxed);
  }

  void work() {
    inside_part = true;
    for (;;) {
      int64_t part = next.fetch_add(1, std::memory_order_relaxed);
      if (part >= parts) break;
      try {
        check_interrupt();
        fn(context, part, this_thread_index);
      } catch (const std::exception&) {
        fail(part);
      }
    }
    inside_part = false;
  }
};

class Pool {
public:
  int threads() {
    int n = count_.load(std::memory_order_relaxed);
    if (n) return n;
    std::lock_guard lock(dispatch_);
    return settled_count();
  }

  void resize(int n) {
    std::lock_guard lock(dispatch_);
    if (n == count_.load()) return;
    stop_workers();
    count_.store(n);
  }

  void run(int64_t parts, detail::PartFn fn, void* context) {
    std::unique_lock lock(dispatch_);
    int helpers = settled_count() - 1;
    if (helpers == 0) {
      lock.unlock();
      return run_alone(parts, fn, context);
    }
    if (workers_.empty()) start_workers(helpers);
    job_.parts = parts;
    job_.fn = fn;
    job_.context = context;
    job_.next.store(0, std::memory_order_relaxed);
    job_.failure = nullptr;
    finished_.store(0, std::memory_order_relaxed);
    uint64_t generation = (state_.load() & ~(kJoinedMask | kOpen)) + kGeneration;
    state_.store(generation | kOpen);
    if (sleepers_.load() > 0) wake();
    job_.work();
    uint64_t joined = state_.fetch_and(~kOpen) & kJoinedMask;
    wait_for(joined);
    if (job_.failure) std::rethrow_exception(std::exchange(job_.failure, nullptr));
  }

  static void run_alone(int64_t parts, detail::PartFn fn, void* context) {
    struct Restore {
      bool before = std::exchange(inside_part, true);
      ~Restore() { inside_part = before; }
    } restore;
    for (int64_t part = 0; part < parts; ++part) {
      check_interrupt();
      fn(context, part, this_thread_index);
    }
  }

private:
  int settled_count() {
    if (!count_.load()) count_.store(default_threads());
    return count_.load();
  }

  void start_workers(int n) {
    stopping_.store(false);
    for (int i = 0; i < n; ++i) workers_.emplace_back([this, i] { serve(i + 1); });
  }

  void stop_workers() {
    stopping_.store(true);
    wake();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
  }

  void wake() {
    std::lock_guard lock(sleep_mutex_);
    wake_.notify_all();
  }

  void wait_for(uint64_t joined) {
    for (int spins = 0; finished_.load(std::memory_order_acquire) != joined; ++spins) {
      if (spins < 4000)
        _mm_pause();
      else
        sched_yield(); // the worker's core may be busy with somebody else's process
    }
  }

  bool has_work(uint64_t state, uint64_t seen) const {
    return (state & kOpen) && (state | kJoinedMask) != seen;
  }

  // Returns the state of a job not yet seen, or 0 when the pool stops.
  uint64_t next_job(uint64_t seen) {
    auto deadline = Clock::now() + kSpin;
    do {
      for (int i = 0; i < 32; ++i) {
        uint64_t state = state_.load(std::memory_order_acquire);
        if (has_work(state, seen)) return state;
        if (stopping_.load(std::memory_order_relaxed)) return 0;
        _mm_pause();
      }
    } while (Clock::now() < deadline);
    std::unique_lock lock(sleep_mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return stopping_.load() || has_work(state_.load(), seen); });
    sleepers_.fetch_sub(1);
    return stopping_.load() ? 0 : state_.load();
  }

  void serve(int index) {
    this_thread_index = index;
    _mm_setcsr(kMxcsrDefault); // a library may have changed the mode of the thread that started this one
    keep_openmp_single();
    uint64_t seen = 0;
    while (uint64_t state = next_job(seen)) {
      while ((state & kOpen) && !state_.compare_exchange_weak(state, state + 1)) {
      }
      if (!(state & kOpen)) continue;
      seen = state | kJoinedMask;
      job_.work();
      finished_.fetch_add(1, std::memory_order_release);
    }
  }

  std::mutex dispatch_; // held by the one caller whose job runs
  std::atomic<int> count_{0};
  std::vector<std::thread> workers_;
  Job job_;
  std::atomic<uint64_t> state_{0}, finished_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
};

Pool& pool() {
  static Pool* instance = new Pool; // never destroyed: workers may outlive every static
  return *instance;
}

} // namespace

int thread_count() { return pool().threads(); }

void set_thread_count(int n) {
  check_thread_count(n, "set_thread_count");
  if (inside_part) throw error(Fault::internal, "set_thread_count: called from inside a part");
  pool().resize(n);
}

namespace detail {

void run_parts(int64_t parts, PartFn fn, void* context) {
  if (parts <= 0) return;
  if ((_mm_getcsr() & kMxcsrControl) != kMxcsrDefault)
    throw error(Fault::internal, "parallel_parts: the thread's floating-point mode is {:#x}, expected {:#x}",
                _mm_getcsr() & kMxcsrControl, kMxcsrDefault);
  if (parts == 1 || inside_part) return Pool::run_alone(parts, fn, context);
  pool().run(parts, fn, context);
}

} // namespace detail
} // namespace wane
