#include <dnnl.hpp>

#include <dlfcn.h>

#include <unordered_map>

#include "runtime/bench/rivals.h"
#include "runtime/cpu/pool.h"

namespace wane::bench {
namespace {

using dnnl::memory;

// oneDNN runs on OpenMP's threads; ours are kept at one outside its calls.
void set_openmp_threads(int n) {
  using Set = void (*)(int);
  if (auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set(n);
}

memory::data_type type_of(DType dtype) {
  return dtype == DType::bf16  ? memory::data_type::bf16
         : dtype == DType::f32 ? memory::data_type::f32
                               : memory::data_type::s8;
}

class Direct {
public:
  Direct(const Tensor& x, const Tensor& w, bool packed)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_), x_(x.dense()), w_(w.dense()) {
    using F = memory::format_tag;
    set_openmp_threads(thread_count()); // a primitive is made for the threads there are at its making
    auto type = type_of(x.dtype()),
         sums = x.dtype() == DType::i8 ? memory::data_type::s32 : memory::data_type::f32;
    memory::dims a{x.shape()[0], x.shape()[1]}, b{w.shape()[1], w.shape()[0]}, c{x.shape()[0], w.shape()[0]};
    dnnl::matmul::primitive_desc made(
        dnnl::matmul::desc({a, type, F::ab}, {b, type, packed ? F::any : F::ba}, {c, sums, F::ab}), engine_);
    name = made.impl_info_str();
    memory plain({b, type, F::ba}, engine_, w_.bytes());
    memory kept = packed ? memory(made.weights_desc(), engine_) : plain;
    if (packed) dnnl::reorder(plain, kept).execute(stream_, plain, kept);
    stream_.wait();
    arguments_ = {{DNNL_ARG_SRC, memory(made.src_desc(), engine_, x_.bytes())},
                  {DNNL_ARG_WEIGHTS, kept},
                  {DNNL_ARG_DST, memory(made.dst_desc(), engine_)}};
    primitive_ = dnnl::matmul(made);
    set_openmp_threads(1);
  }
  void run() {
    set_openmp_threads(thread_count());
    primitive_.execute(stream_, arguments_);
    stream_.wait();
    set_openmp_threads(1);
  }
  std::string name;

private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::unordered_map<int, memory> arguments_;
  Tensor x_, w_;
};

} // namespace

Rival direct_matmul(const Tensor& x, const Tensor& w, bool packed) {
  bool fits = x.rank() == 2 && w.rank() == 2 && x.shape()[1] == w.shape()[1] && x.dtype() == w.dtype()
              && (x.dtype() == DType::f32 || x.dtype() == DType::bf16 || x.dtype() == DType::i8);
  if (!fits)
    throw error("direct_matmul: two f32, bf16 or i8 matrices [m, k] and [n, k]")
        .note("x", describe(x))
        .note("w", describe(w));
  auto direct = std::make_shared<Direct>(x, w, packed);
  const dnnl_version_t* version = dnnl_version();
  std::string text = fmt::format("oneDNN {}.{}.{} {}, {} weights, {} threads", version->major, version->minor,
                                 version->patch, direct->name, packed ? "packed" : "plain", thread_count());
  return {text, [direct] { direct->run(); }};
}

} // namespace wane::bench
