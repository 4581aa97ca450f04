// Built for the machine (-march=native), so that the read loop is as fast as it can be.
// Our matmul against oneDNN called directly with its defaults, and few rows against a read loop. Run pairs
// are interleaved, buffers warmed, the best of several counts: what matters is the ratio, not the figure.
//   bench_matmul [size] [threads]
// Expect: packed at 0.9 of the library or more, plain operands at 0.85, few rows at 0.9 of the read loop.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <dnnl.hpp>

#include "runtime/cpu/isa.h"
#include "runtime/cpu/matmul.h"
#include "runtime/cpu/pool.h"

using namespace wane;
using dnnl::memory;

namespace {

constexpr int kRounds = 7;

// Of one thread the time it had a processor, so that neighbours on a shared machine count less; of several,
// by the wall clock.
double now() {
  timespec time;
  clock_gettime(thread_count() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}
double seconds(const std::function<void()>& body) {
  double start = now();
  body();
  return now() - start;
}

// The best times of several bodies, taken in turn; a pause lets the threads of the one before fall asleep.
std::vector<double> best_times(const std::vector<std::function<void()>>& bodies, int repeats) {
  std::vector<double> best(bodies.size(), 1e9);
  for (int round = 0; round <= kRounds; ++round)
    for (size_t i = 0; i < bodies.size(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
      double time = seconds([&] {
        for (int r = 0; r < repeats; ++r) bodies[i]();
      });
      if (round) best[i] = std::min(best[i], time / repeats);
    }
  return best;
}

BufferPtr random_numbers(DType type, int64_t count) {
  auto buffer = allocate(size_t(count) * size_of(type));
  std::minstd_rand random(7);
  for (int64_t i = 0; i < count; ++i) {
    float value = float(int(random() % 2001) - 1000) / 1000.0f;
    std::byte* at = buffer->data() + size_t(i) * size_of(type);
    if (type == DType::f32) std::memcpy(at, &value, 4);
    if (type == DType::bf16) std::memcpy(at, reinterpret_cast<std::byte*>(&value) + 2, 2);
    if (type == DType::i8) *at = std::byte(random() & 0xff);
  }
  return buffer;
}

// oneDNN as one would call it: whole matrices, its own threads, weights as it likes them or as they come ([n,
// k]).
class Direct {
public:
  Direct(DType type, int64_t size, bool packed, const void* a, const void* w)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using D = memory::data_type;
    using F = memory::format_tag;
    D in = type == DType::f32    ? D::f32
           : type == DType::bf16 ? D::bf16
                                 : D::u8,
      weights = type == DType::i8 ? D::s8 : in;
    D out = type == DType::i8 ? D::s32 : D::f32;
    memory::dims dims{size, size};
    dnnl::matmul::primitive_desc made(
        dnnl::matmul::desc({dims, in, F::ab}, {dims, weights, packed ? F::any : F::ba}, {dims, out, F::ab}),
        engine_);
    name = made.impl_info_str();
    memory from({dims, weights, F::ba}, engine_, const_cast<void*>(w));
    memory kept = packed ? memory(made.weights_desc(), engine_) : from;
    if (packed) dnnl::reorder(from, kept).execute(stream_, from, kept);
    stream_.wait();
    arguments_ = {{DNNL_ARG_SRC, memory(made.src_desc(), engine_, const_cast<void*>(a))},
                  {DNNL_ARG_WEIGHTS, kept},
                  {DNNL_ARG_DST, memory(made.dst_desc(), engine_)}};
    primitive_ = dnnl::matmul(made);
  }
  void run() {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }
  std::string name;

private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::unordered_map<int, memory> arguments_;
};

void set_openmp_threads(int n) {
  using Set = void (*)(int);
  if (auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set(n);
}

void compare(DType type, int64_t size) {
  auto a = random_numbers(type, size * size), w = random_numbers(type, size * size);
  DType out_type = type == DType::i8 ? DType::i32 : DType::f32;
  auto out = allocate(size_t(size * size) * 4);
  std::memset(out->data(), 0, out->bytes());
  set_openmp_threads(thread_count()); // a primitive is made for the threads there are at its making
  Direct packed(type, size, true, a->data(), w->data()), plain(type, size, false, a->data(), w->data());
  auto weights = pack_weights(type, type, w->data(), size, size, size, 1);
  int threads = thread_count();
  auto times =
      best_times({[&] { matmul_packed(type, a->data(), size, size, *weights, out->data(), out_type, size); },
                  [&] {
                    set_openmp_threads(threads);
                    packed.run();
                    set_openmp_threads(1);
                  },
                  [&] {
                    matmul_plain(type, a->data(), size, size, w->data(), 1, size, size, size, out->data(),
                                 out_type, size);
                  },
                  [&] {
                    set_openmp_threads(threads);
                    plain.run();
                    set_openmp_threads(1);
                  },
                  [&] { pack_weights(type, type, w->data(), size, size, size, 1); }},
                 1);
  double flop = 2e-9 * double(size) * double(size) * double(size);
  std::printf("%-4s %lld^3, %d threads: packed %.0f GF/s, oneDNN %.0f: ratio %.3f; plain %.0f, oneDNN %.0f: "
              "ratio %.3f "
              "(%s); packing %.1f GB/s\n",
              std::string(name_of(type)).c_str(), static_cast<long long>(size), threads, flop / times[0],
              flop / times[1], times[1] / times[0], flop / times[2], flop / times[3], times[3] / times[2],
              packed.name.c_str(), 1e-9 * double(w->bytes()) / times[4]);
}

// Sums 64-byte vectors, in parts like the product's: the simplest thing that reads.
double read_loop(const std::byte* data, size_t bytes) {
  using Line = int64_t __attribute__((vector_size(64)));
  static double sink;
  constexpr size_t kPart = 96 << 10;
  parallel_parts(int64_t((bytes + kPart - 1) / kPart), [&](int64_t part, int) {
    auto* at = reinterpret_cast<const Line*>(data + size_t(part) * kPart);
    size_t count = std::min(kPart, bytes - size_t(part) * kPart) / 64;
    Line s0{}, s1{}, s2{}, s3{};
    for (size_t i = 0; i + 4 <= count; i += 4) {
      s0 += at[i];
      s1 += at[i + 1];
      s2 += at[i + 2];
      s3 += at[i + 3];
    }
    s0 += s1 + s2 + s3;
    if (s0[0] == 42) sink = 1;
  });
  return sink;
}

// Weights of one layer after the other, past the caches.
void few_rows(DType type, int64_t m, int64_t n, int64_t k) {
  size_t layer_bytes = size_t(n * k) * size_of(type);
  size_t layers = std::max<size_t>(2, (size_t{600} << 20) / layer_bytes);
  auto w = random_numbers(type, n * k), a = random_numbers(type, m * k);
  std::vector<PackedWeightsPtr> packed;
  for (size_t i = 0; i < layers; ++i) packed.push_back(pack_weights(type, type, w->data(), n, k, k, 1));
  DType out_type = type == DType::i8 ? DType::i32 : DType::f32;
  auto out = allocate(size_t(m * n) * 4);
  double bytes = 0;
  for (auto& p : packed) bytes += double(p->block_bytes()) * double(p->blocks());
  auto times = best_times({[&] {
                             for (auto& p : packed)
                               matmul_packed(type, a->data(), m, k, *p, out->data(), out_type, n);
                           },
                           [&] {
                             for (auto& p : packed)
                               read_loop(p->block(0), p->block_bytes() * size_t(p->blocks()));
                           }},
                          1);
  std::printf("%-4s rows %lld, n %lld, k %lld: %.1f GB/s, read loop %.1f: ratio %.3f\n",
              std::string(name_of(type)).c_str(), static_cast<long long>(m), static_cast<long long>(n),
              static_cast<long long>(k), 1e-9 * bytes / times[0], 1e-9 * bytes / times[1],
              times[1] / times[0]);
}

} // namespace

int main(int argc, char** argv) {
  int64_t size = argc > 1 ? std::atoll(argv[1]) : 2048;
  if (argc > 2) set_thread_count(std::atoi(argv[2]));
  const MatmulClass& c = matmul_class();
  std::printf("%s, %s, probe %s\n", cpu_model_name().c_str(), c.isa.c_str(), c.probe_hash.c_str());
  for (auto& name : c.implementations) std::printf("  %s\n", name.c_str());
  for (auto& note : c.notes) std::printf("  note: %s\n", note.c_str());
  std::vector<DType> types{DType::f32, DType::i8};
  if (native_bf16()) types.insert(types.begin() + 1, DType::bf16);
  for (DType type : types) compare(type, size);
  for (DType type : types)
    for (auto [n, k] : {std::pair<int64_t, int64_t>{1536, 576}, {576, 1536}, {49152, 576}, {4096, 4096}})
      for (int64_t m : {1, 2, 4, 8}) few_rows(type, m, n, k);
}
