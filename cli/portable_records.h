// What is recorded about each portable service that was made of an image.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cri/config.h"
#include "image/store.h"

namespace cli {

struct PortableRecord {
  std::string name;       // of the service, without ".service"
  std::string reference;  // what is pulled for it
  std::string image;      // id of the image that it runs
  // While it is being moved to another image: the one that it is to return to if that fails. Empty otherwise.
  std::string previous;
  // An image that did not start; it is not tried again.
  std::string failed;
  bool auto_update = false;
  // Of "attach", kept for updates.
  std::vector<std::string> volumes;      // "HOST:CONTAINER[:ro]"
  std::vector<std::string> environment;  // "NAME=value"
  std::vector<std::string> command;      // in the place of the image's command
};

std::string PortableStoreRoot(const cri::Config& config);
std::string PortableServicesDirectory(const cri::Config& config);
std::string PortableRecordsDirectory(const cri::Config& config);

// `directory` need not exist for reading.
base::Result<std::vector<PortableRecord>> LoadPortableRecords(const std::string& directory);
base::Result<std::optional<PortableRecord>> FindPortableRecord(const std::string& directory, const std::string& name);
// Durable when it returns.
base::Status WritePortableRecord(const std::string& directory, const PortableRecord& record);
base::Status RemovePortableRecord(const std::string& directory, const std::string& name);

// Has every service hold its images in their store.
base::Status HoldForServices(const std::string& directory, image::Store& store);

// The text of a record's file, and back; kDataLoss for anything else.
std::string Serialize(const PortableRecord& record);
base::Result<PortableRecord> ParsePortableRecord(const std::string& text);

}  // namespace cli
