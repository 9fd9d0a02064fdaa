#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "image/hosts.h"
#include "tests/fuzz/fuzz.h"

namespace {

// <directory>/localhost:5000/hosts.toml is where each input is put.
class Directory {
 public:
  Directory() {
    char name[] = "/dev/shm/registry_hosts_fuzz.XXXXXX";
    fuzz::Require(::mkdtemp(name) != nullptr, "a temporary directory can be made");
    path_ = name;
    std::filesystem::create_directory(path_ + "/localhost:5000");
  }
  ~Directory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Directory directory;
  std::ofstream(directory.path() + "/localhost:5000/hosts.toml", std::ios::binary | std::ios::trunc)
      << fuzz::Text(data, size);
  const auto hosts = image::LoadRegistryHosts(directory.path(), "localhost:5000");
  if (!hosts.ok()) return 0;
  for (const image::RegistryHost& host : *hosts) {
    for (const std::string& header : host.headers) {
      fuzz::Require(header.find_first_of("\r\n") == std::string::npos, "a header is one line");
    }
  }
  return 0;
}
