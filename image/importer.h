// Imports archives from a folder: what lies there at the start, and what appears later (inotify; no polling).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/result.h"

namespace image {

// An archive is a file, or the directory of an OCI image layout; hidden names are left alone, and a directory that
// appears later must be moved in whole. Which archives were dealt with is remembered by name, time and size, so that a
// restart does not bring back images that were removed meanwhile; a broken archive is reported once and left where it
// is.
class Importer {
 public:
  // Imports one archive.
  using Import = std::function<base::Status(const std::string& path, const std::stop_token& stop)>;

  // `memory` is the file in which the importer remembers.
  Importer(std::string directory, std::string memory, Import import);
  // Ends an import that is under way.
  ~Importer();
  Importer(const Importer&) = delete;
  Importer& operator=(const Importer&) = delete;

  // Makes the folder if it is missing, imports what lies in it, and goes on in a thread of its own. A folder that
  // cannot be used is reported and means that nothing is imported.
  void Start();

 private:
  struct Identity {
    int64_t modified_ns = 0;
    uint64_t size = 0;
    bool operator==(const Identity&) const = default;
  };

  base::Status Watch();
  void ReadMemory();
  void WriteMemory();
  void ImportAll();
  void ImportOne(const std::string& name);
  void Run(const std::stop_token& stop);

  const std::string directory_;
  const std::string memory_;
  const Import import_;
  // Used by Start, and after it by the thread alone.
  std::map<std::string, Identity> done_;
  base::UniqueFd watch_;
  base::UniqueFd wake_;
  std::stop_source stop_;
  std::jthread thread_;
};

}  // namespace image
