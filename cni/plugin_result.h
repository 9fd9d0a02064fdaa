// Reads the addresses out of a plugin's result.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cni {

// The addresses that a result (section 5, versions 0.1.0 to 1.1.0) assigns to the pod's interface `interface`, without
// prefix length, in the result's order. An address that names no interface counts as one of them. kInvalidArgument when
// the result is malformed.
base::Result<std::vector<std::string>> AddressesOf(const base::Json& result, const std::string& interface);

// The same of an interface that the result says is in a namespace; none where it says nothing of the interface, or is
// malformed.
std::vector<std::string> AddressesInNamespace(const base::Json& result, const std::string& interface);

// Whether `text` is an IPv4 or IPv6 address in numbers.
bool IsAddress(const std::string& text);

}  // namespace cni
