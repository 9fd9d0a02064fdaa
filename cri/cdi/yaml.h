// YAML documents of outside origin, as the JSON that they stand for.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace cri::cdi {

// The first document of a text. Plain scalars are null, booleans and whole numbers as YAML 1.2 and the Go libraries
// that CDI's tools use read them ("0666" is octal); all else is text. The size that aliases make it grow to and its
// depth are bounded. kInvalidArgument says what is wrong.
base::Result<base::Json> ParseYaml(std::string_view text);

}  // namespace cri::cdi
