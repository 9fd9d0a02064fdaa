#include "cri/cdi/spec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const bool is_yaml = size > 0 && data[0] != '{';
  const auto specification = cri::cdi::ParseSpecificationText(fuzz::Text(data, size), is_yaml);
  if (!specification.ok()) return 0;
  fuzz::Require(!specification->devices.empty(), "a specification has a device");
  for (const auto& [name, edits] : specification->devices) {
    for (const cri::cdi::DeviceNode& node : edits.device_nodes) {
      fuzz::Require(node.path.starts_with('/') && node.path.find("/../") == std::string::npos, "a path is plain");
    }
  }
  return 0;
}
