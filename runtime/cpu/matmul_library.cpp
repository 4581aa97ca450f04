// oneDNN on one tile. Primitives, scratchpads and streams belong to a thread: a scratchpad shared by
// concurrent runs gives wrong results, and its OpenMP must not start threads of its own.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>

#include <dlfcn.h>
#include <dnnl.hpp>

#include "runtime/cpu/isa.h"
#include "runtime/cpu/matmul_product.h"

namespace wane {
namespace {

using dnnl::memory;

constexpr size_t kMostPrimitives = 1024; // per thread

const dnnl::engine& library() {
  static const dnnl::engine engine = [] {
    // `all` too is set, so that the library's environment variables do not decide.
    dnnl::set_max_cpu_isa(isa_level() == IsaLevel::v4   ? dnnl::cpu_isa::all
                          : isa_level() == IsaLevel::v3 ? dnnl::cpu_isa::avx2
                                                        : dnnl::cpu_isa::sse41);
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

struct Types {
  memory::data_type a, w, out;
  memory::format_tag layout;
};
Types types_of(DType compute) {
  using D = memory::data_type;
  using F = memory::format_tag;
  switch (compute) {
  case DType::f32: return {D::f32, D::f32, D::f32, F::BA16a64b};
  case DType::bf16: return {D::bf16, D::bf16, D::f32, F::BA16a64b2a};
  case DType::i8: return {D::u8, D::s8, D::s32, F::BA16a64b4a}; // signed rows mean its reference code
  default: throw error(Fault::internal, "matmul: no library kernel for {}", name_of(compute));
  }
}

using Shape = std::tuple<DType, int64_t, int64_t, int64_t>; // compute, rows, k, columns

dnnl::matmul::primitive_desc describe(const Shape& shape) {
  auto [compute, rows, k, columns] = shape;
  Types t = types_of(compute);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  memory::desc a({rows, k}, t.a, memory::format_tag::ab), w({k, columns}, t.w, t.layout);
  memory::desc out({rows, columns}, t.out, memory::format_tag::ab);
  dnnl::matmul::primitive_desc made(dnnl::matmul::desc(a, w, out), attributes, library());
  std::string name = made.impl_info_str();
  if (name.find("ref") != std::string::npos)
    throw error(Fault::internal, "matmul: oneDNN would run [{} x {} x {}] {} with its reference code {}",
                rows, k, columns, name_of(compute), name);
  return made;
}

// A primitive with its four arguments bound once; only the pointers change. Run through the C interface: a
// tile takes some ten microseconds, and the C++ one builds its list of arguments anew each time.
struct Tile {
  dnnl::matmul primitive;
  memory a, w, out, scratchpad;
  size_t scratch_bytes;
  std::array<dnnl_exec_arg_t, 4> arguments;

  explicit Tile(const dnnl::matmul::primitive_desc& d)
      : primitive(d), a(d.src_desc(), library(), nullptr), w(d.weights_desc(), library(), nullptr),
        out(d.dst_desc(), library(), nullptr), scratchpad(d.scratchpad_desc(), library(), nullptr),
        scratch_bytes(std::max<size_t>(d.scratchpad_desc().get_size(), 64)), arguments{
                                                                                 {{DNNL_ARG_SRC, a.get()},
                                                                                  {DNNL_ARG_WEIGHTS, w.get()},
                                                                                  {DNNL_ARG_DST, out.get()},
                                                                                  {DNNL_ARG_SCRATCHPAD,
                                                                                   scratchpad.get()}}} {}

  void run(dnnl_stream_t stream) {
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(primitive.get(), stream, int(arguments.size()), arguments.data()), "a tile");
  }
};

struct ThreadState {
  dnnl::stream stream{library()};
  std::map<Shape, Tile> tiles;
  std::pair<const Shape, Tile>* last = nullptr; // neighbouring tiles have one shape

  ThreadState() {
    using Set = void (*)(int);
    if (auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set(1);
  }

  Tile& tile(const Shape& shape) {
    if (last && last->first == shape) return last->second;
    auto found = tiles.find(shape);
    if (found == tiles.end()) {
      last = nullptr;
      if (tiles.size() >= kMostPrimitives) tiles.clear();
      found = tiles.try_emplace(shape, describe(shape)).first;
    }
    last = &*found;
    return last->second;
  }
};

// oneDNN's exceptions as ours; "out of memory" and the like.
template <class F> auto guarded(F&& body) {
  try {
    return body();
  } catch (const dnnl::error& e) {
    throw error(Fault::internal, "matmul: oneDNN failed: {}", e.message);
  }
}

} // namespace

void* thread_scratch(int slot, size_t bytes) {
  thread_local std::array<BufferPtr, 6> blocks;
  auto& block = blocks[size_t(slot)];
  if (!block || block->bytes() < bytes) {
    block.reset();
    block = allocate(bytes);
  }
  return block->data();
}

bool library_computes(DType compute) {
  if (isa_level() != IsaLevel::v4 || amx_computes(compute)) return false;
  return compute == DType::f32 || (compute == DType::bf16 && native_bf16())
         || (compute == DType::i8 && native_int8());
}

std::string library_implementation(DType compute, int64_t rows, int64_t k, int64_t columns) {
  return guarded([&] { return std::string(describe({compute, rows, k, columns}).impl_info_str()); });
}

void library_tile(DType compute, const void* a, int64_t rows, int64_t k, const void* blocks, int64_t columns,
                  void* out) {
  guarded([&] {
    thread_local std::optional<ThreadState> state;
    if (!state) state.emplace();
    Tile& tile = state->tile({compute, rows, k, columns});
    tile.a.set_data_handle(const_cast<void*>(a));
    tile.w.set_data_handle(const_cast<void*>(blocks));
    tile.out.set_data_handle(out);
    tile.scratchpad.set_data_handle(thread_scratch(0, tile.scratch_bytes));
    tile.run(state->stream.get());
  });
}

} // namespace wane
