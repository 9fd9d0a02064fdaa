// Finds programs by name.
#pragma once

#include <string>
#include <vector>

namespace cni {

// The path of the executable file `name` in the first of `directories` that has one; empty when none has.
std::string FindExecutable(const std::vector<std::string>& directories, const std::string& name);

}  // namespace cni
