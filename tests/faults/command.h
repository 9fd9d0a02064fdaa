// Runs programs of the node.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace faults {

// The standard output of a program that ends well; standard error goes where ours goes. Thread-safe.
base::Result<std::string> Output(const std::vector<std::string>& command);

// The lines of a text, without empty ones.
std::vector<std::string> Lines(const std::string& text);

}  // namespace faults
