#include "image/reference.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto reference = image::ParseReference(fuzz::Text(data, size));
  if (!reference.ok()) return 0;
  const auto again = image::ParseReference(reference->ToString());
  fuzz::Require(again.ok(), "a completed reference can be parsed");
  fuzz::Require(again->ToString() == reference->ToString(), "a completed reference stays as it is");
  fuzz::Require(reference->Name().find("..") == std::string::npos || reference->Name().find("/..") == std::string::npos,
                "a name is no path that leads upwards");
  return 0;
}
