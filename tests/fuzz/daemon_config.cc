#include <algorithm>
#include <string>
#include <vector>

#include "base/json.h"
#include "cri/config.h"
#include "tests/fuzz/fuzz.h"

namespace {

bool IsPlainPath(const std::string& path) {
  return path.starts_with('/') && path.find('\0') == std::string::npos &&
         (path + "/").find("/../") == std::string::npos && (path + "/").find("/./") == std::string::npos &&
         path.find("//") == std::string::npos;
}

bool ArePlainPaths(const std::vector<std::string>& paths) {
  return std::all_of(paths.begin(), paths.end(), IsPlainPath);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = cri::ParseConfig(fuzz::Text(data, size), "config.toml");
  if (!config.ok()) {
    fuzz::Require(config.error().code() == base::Code::kInvalidArgument, "what is wrong is the file");
    fuzz::Require(config.error().message().find("config.toml") != std::string::npos, "the file is named");
    return 0;
  }
  fuzz::Require(IsPlainPath(config->state_directory) && IsPlainPath(config->runtime_directory) &&
                    IsPlainPath(config->network_namespace_directory) && IsPlainPath(config->socket),
                "the daemon's own paths are plain");
  fuzz::Require(ArePlainPaths(config->cdi_directories) && ArePlainPaths(config->network.plugin_directories),
                "paths in lists are plain");
  fuzz::Require(config->runtime_handlers.count("") == 1, "the default handler is there");
  fuzz::Require(base::ParseJsonObject(cri::ConfigJson(*config)).ok(), "the values in force are an object");
  return 0;
}
