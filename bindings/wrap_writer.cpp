// Writing a model folder: planned whole, written tensor by tensor, published at once or not at all.
#include "bindings/host.h"
#include "bindings/lua.h"
#include "runtime/model/safetensors_writer.h"

namespace wane::lua {

struct ModelWriter {
  std::unique_ptr<DirectoryWriter> folder;
  std::unique_ptr<SafetensorsWriter> tensors;
  std::vector<PlannedTensor> plan;
};
template <> struct Class<ModelWriter> { static constexpr const char* name = "writer"; };

namespace {

ModelWriter& writer_of(Args& a) {
  auto& writer = a.object<ModelWriter>("writer");
  if (!writer.folder) throw error("{}: this folder is finished", a.method.label());
  return writer;
}

int make_writer(Args& a) {
  auto& writer = push_object<ModelWriter>(a.L);
  writer.folder = std::make_unique<DirectoryWriter>(std::string(a.string("path")));
  return 1;
}

int plan(Args& a) {
  auto& writer = writer_of(a);
  if (writer.tensors) throw error("plan: writing has begun");
  PlannedTensor tensor;
  tensor.name = a.string("name");
  tensor.dtype = a.dtype("dtype");
  tensor.shape = a.integers("shape");
  writer.plan.push_back(std::move(tensor));
  return 0;
}

int begin(Args& a) {
  auto& writer = writer_of(a);
  if (writer.tensors) throw error("begin: writing has begun");
  Options options = a.options("options", {"shard_bytes"});
  int64_t bytes = options.integer("shard_bytes", int64_t(SafetensorsWriter::kShardBytes));
  if (bytes < 1) throw error("begin: shard_bytes is {}", bytes);
  writer.tensors = std::make_unique<SafetensorsWriter>(*writer.folder, writer.plan, uint64_t(bytes));
  return 0;
}

int write(Args& a) {
  auto& writer = writer_of(a);
  if (!writer.tensors) throw error("write: begin comes first");
  auto name = a.string("name");
  Tensor x = a.tensor("tensor");
  for (auto& planned : writer.plan) {
    if (planned.name != name) continue;
    Shape shape{std::span<const int64_t>(planned.shape)};
    if (planned.dtype != x.dtype() || !(shape == x.shape()))
      throw error("write: '{}' was planned as {} {}", name, to_string(shape), name_of(planned.dtype))
          .note("tensor", describe(x));
  }
  Tensor dense = x.dense();
  writer.tensors->write(name, {dense.bytes(), size_t(dense.count()) * size_of(dense.dtype())});
  return 0;
}

int text(Args& a) {
  auto& writer = writer_of(a);
  auto name = std::string(a.string("name"));
  writer.folder->add_text(name, a.string("text"));
  return 0;
}

int finish(Args& a) { // all tensors are on the disk; the folder is not public yet
  auto& writer = writer_of(a);
  if (writer.tensors) writer.tensors->finish();
  writer.tensors.reset();
  return results(a.L, std::string_view(writer.folder->building()));
}

int commit(Args& a) {
  auto& writer = writer_of(a);
  if (writer.tensors) writer.tensors->finish();
  writer.folder->commit();
  writer.tensors.reset();
  writer.folder.reset();
  return 0;
}

int abandon(Args& a) {
  auto& writer = a.object<ModelWriter>("writer");
  a.take_all();
  writer.tensors.reset();
  writer.folder.reset();
  return 0;
}

Method methods[] = {
    {"plan", plan, "(name, dtype, shape)", "Names a tensor that will be written."},
    {"begin", begin, "({ shard_bytes })", "Lays out the files."},
    {"write", write, "(name, tensor)", "Writes a planned tensor."},
    {"text", text, "(name, text)", "Adds a text file."},
    {"finish", finish, "() -> folder",
     "Completes the tensor files; gives the folder to check before commit."},
    {"commit", commit, "()", "Makes the folder appear under its name."},
    {"abort", abandon, "()", "Drops everything."},
};
Method metamethods[] = {{"__close", abandon, "", "", Kind::plain}};

Method functions[] = {
    {"writer", make_writer, "(path) -> writer", "Writes a model folder, whole or not at all."}};

} // namespace

void open_writer(lua_State* L) {
  make_class<ModelWriter>(L, methods, metamethods);
  set_methods(L, functions, false);
}

} // namespace wane::lua
