#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include <dlfcn.h>
#include <unistd.h>

#include "runtime/bench/rivals.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/pool.h"

namespace wane::bench {
namespace {

// OpenBLAS, loaded only here. It reads OPENBLAS_* when it is loaded, and a kernel forced by them can be half
// as fast, so they are taken away first; and threads that others chose. A CPU that it does not know gets
// kernels of 2004 (0.3.21 on a Xeon of 2023), a quarter as fast; then it is loaded again with those for the
// CPU's level.
class Lapack {
public:
  using Factor = void (*)(const char* triangle, const int* n, void* x, const int* stride, int* info);
  using Invert = void (*)(const char* triangle, const char* diagonal, const int* n, void* x,
                          const int* stride, int* info);

  static const Lapack& get() {
    static const Lapack loaded;
    return loaded;
  }
  explicit operator bool() const {
    return set_threads && describe && potrf[0] && potrf[1] && trtri[0] && trtri[1];
  }

  void (*set_threads)(int) = nullptr;
  char* (*describe)() = nullptr;
  Factor potrf[2] = {}; // f32, f64
  Invert trtri[2] = {};

private:
  Lapack() {
    std::vector<std::string> names;
    for (char** entry = environ; *entry; ++entry) {
      const std::string_view text = *entry;
      for (std::string_view prefix : {"OPENBLAS_", "GOTO_", "OMP_"})
        if (text.starts_with(prefix)) names.emplace_back(text.substr(0, text.find('=')));
    }
    for (auto& name : names) unsetenv(name.c_str());
    void* library = open();
    if (!library) return;
    char* (*core)() = nullptr;
    find(library, "openblas_get_corename", core);
    if (core && std::string_view(core()) == "Prescott" && isa_level() != IsaLevel::v2) {
      dlclose(library);
      setenv("OPENBLAS_CORETYPE", isa_level() == IsaLevel::v4 ? "SkylakeX" : "Haswell", 1);
      library = open();
    }
    find(library, "openblas_set_num_threads", set_threads);
    find(library, "openblas_get_config", describe);
    find(library, "spotrf_", potrf[0]);
    find(library, "dpotrf_", potrf[1]);
    find(library, "strtri_", trtri[0]);
    find(library, "dtrtri_", trtri[1]);
  }
  static void* open() { return dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL); }
  template <class F> static void find(void* library, const char* name, F& function) {
    function = reinterpret_cast<F>(dlsym(library, name));
  }
};

} // namespace

// By rows or by columns, a symmetric matrix is the same; its lower triangle is OpenBLAS's faster one.
std::optional<Rival> lapack_cholesky(const Tensor& x, bool invert) {
  if (x.rank() != 2 || x.shape()[0] != x.shape()[1] || (x.dtype() != DType::f32 && x.dtype() != DType::f64))
    throw error("lapack_cholesky: a square matrix in f32 or f64").note("matrix", describe(x));
  const Lapack& lapack = Lapack::get();
  if (!lapack) return std::nullopt;
  Tensor from = x.dense(), work = empty(x.shape(), x.dtype());
  const size_t bytes = size_t(x.count()) * size_of(x.dtype());
  lapack.set_threads(thread_count());
  std::string text = fmt::format("{}, {} threads", lapack.describe(), thread_count());
  return Rival{text, [=, &lapack] {
                 const int n = int(from.shape()[0]), type = from.dtype() == DType::f64;
                 int info = 0;
                 std::memcpy(work.bytes(), from.bytes(), bytes);
                 lapack.potrf[type]("L", &n, work.bytes(), &n, &info);
                 if (!info && invert) lapack.trtri[type]("L", "N", &n, work.bytes(), &n, &info);
                 if (info) throw error("lapack_cholesky: LAPACK's info is {}", info);
               }};
}

} // namespace wane::bench
