// Strict JSON from files of strangers: exact UTF-8 text, no byte order mark, no duplicate key, bounded depth.
// Errors are Fault::bad_file with the byte. Only .cpp files include this header.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/model/source.h"
#include "runtime/model/stored.h"

namespace wane {

// Feeds `text` to nlohmann's SAX parser and knows how far it has come. `Handler` derives from JsonHandler.
class JsonHandler : public nlohmann::json_sax<nlohmann::json> {
public:
  // `base` is where the text begins in its file: offsets in errors count from the file's start.
  JsonHandler(const std::string& path, uint64_t base) : path_(path), base_(base) {}
  [[noreturn]] void fail(const std::string& what) const;
  bool parse_error(size_t position, const std::string& last,
                   const nlohmann::json::exception& problem) override;
  bool binary(binary_t&) override { fail("holds a binary value"); }
  void scan(std::string_view text); // the whole text, exactly one value

protected:
  uint64_t offset() const { return base_ + uint64_t(seen_ - begin_); }
  const std::string& path_;

private:
  uint64_t base_;
  const char* begin_ = nullptr;
  const char* seen_ = nullptr;
};

// A document as a tree. Depth at most 64.
nlohmann::json parse_json(std::string_view text, const std::string& path);

} // namespace wane
