// Names of devices in the Container Device Interface (CDI): "vendor.com/class=device".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cri::cdi {

struct DeviceName {
  std::string vendor;
  std::string device_class;
  std::string device;
};

// kInvalidArgument says what is wrong with the name.
base::Result<DeviceName> ParseDeviceName(std::string_view name);

// Whether `text` can be a vendor or a class: letters, digits, '_', '-' and '.', the first a letter, the last a letter
// or digit.
bool IsVendorOrClass(std::string_view text);
// Whether `text` can be a device: as a class, but ':' is allowed and the first may be a digit.
bool IsDevice(std::string_view text);

}  // namespace cri::cdi
