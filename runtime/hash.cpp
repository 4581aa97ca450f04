#include "runtime/hash.h"

#include <openssl/evp.h>

#include "runtime/error.h"

namespace wane {
namespace {

EVP_MD_CTX* as_context(void* context) { return static_cast<EVP_MD_CTX*>(context); }

void check(int result, const char* step) {
  if (result != 1) throw error(Fault::internal, "sha256: libcrypto refused to {}", step);
}

} // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  check(context_ != nullptr, "allocate a context");
  if (EVP_DigestInit_ex(as_context(context_), EVP_sha256(), nullptr) != 1) {
    EVP_MD_CTX_free(as_context(context_));
    check(0, "start a digest");
  }
}

Sha256::~Sha256() { EVP_MD_CTX_free(as_context(context_)); }

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(as_context(context_), bytes.data(), bytes.size()), "add bytes to a digest");
  return *this;
}

Sha256& Sha256::update(std::string_view text) { return update(std::as_bytes(std::span(text))); }

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  check(EVP_DigestFinal_ex(as_context(context_), digest, &length), "finish a digest");
  std::string out;
  for (unsigned int i = 0; i < length; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

std::string sha256_hex(std::span<const std::byte> bytes) { return Sha256().update(bytes).hex(); }
std::string sha256_hex(std::string_view text) { return Sha256().update(text).hex(); }

} // namespace wane
