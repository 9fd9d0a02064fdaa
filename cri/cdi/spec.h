// CDI specification files (https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md), versions 0.3.0
// to 1.1.0.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cri::cdi {

// A device node to be made in the container. What is left open is taken from the host's node.
struct DeviceNode {
  std::string path;       // in the container
  std::string host_path;  // empty: `path`
  char type = 0;          // 'b' or 'c' ('u' is read as 'c'), 'p' for a FIFO, 0 for the host's
  uint32_t major = 0;     // 0: the host's numbers
  uint32_t minor = 0;
  std::optional<uint32_t> mode;  // permission bits
  std::string permissions;       // of "rwm"; "none" for no access; empty for all
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

struct MountEdit {
  std::string host_path;
  std::string container_path;
  std::string type;  // empty or "bind"
  std::vector<std::string> options;
};

struct ContainerEdits {
  std::vector<std::string> environment;  // NAME=value
  std::vector<DeviceNode> device_nodes;
  std::vector<MountEdit> mounts;
  std::vector<uint32_t> additional_groups;
  // What stands in the file and is not supported ("hooks", "intelRdt", "netDevices"): a device with any is refused.
  std::vector<std::string> unsupported;
};

struct Specification {
  std::string kind;  // "vendor.com/class"
  ContainerEdits edits;
  std::vector<std::pair<std::string, ContainerEdits>> devices;  // by name
};

// The largest file that is read.
inline constexpr size_t kMostSpecificationBytes = size_t{4} << 20;

// Reads a document. kInvalidArgument says what is wrong: an unknown version or member, a bad name, a wrong type.
base::Result<Specification> ParseSpecification(const base::Json& document);

// Reads the text of a file: JSON, or YAML when `is_yaml`.
base::Result<Specification> ParseSpecificationText(std::string_view text, bool is_yaml);

}  // namespace cri::cdi
