// Reads the addresses out of a plugin's result.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cni {

struct InterfaceAddress {
  std::string address;         // IPv4 or IPv6
  unsigned prefix_length = 0;  // bits
};

// The addresses that a result (section 5, versions 0.1.0 to 1.1.0) assigns to the pod's interface `interface`, in the
// result's order. An address that names no interface counts as one of them. kInvalidArgument when the result is
// malformed.
base::Result<std::vector<InterfaceAddress>> InterfaceAddressesOf(const base::Json& result,
                                                                 const std::string& interface);

// The same without prefix lengths.
base::Result<std::vector<std::string>> AddressesOf(const base::Json& result, const std::string& interface);

// Whether `text` is an IPv4 or IPv6 address in numbers.
bool IsAddress(const std::string& text);

}  // namespace cni
