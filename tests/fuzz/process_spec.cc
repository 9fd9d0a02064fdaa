#include "nspawn/process_spec.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto spec = nspawn::Decode(fuzz::Text(data, size));
  if (!spec.ok()) return 0;
  const std::string encoded = nspawn::Encode(*spec);
  const auto again = nspawn::Decode(encoded);
  fuzz::Require(again.ok(), "what was encoded can be decoded");
  fuzz::Require(nspawn::Encode(*again) == encoded, "encoding loses nothing");
  return 0;
}
