#include "image/manifest.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)image::ParseConfig(fuzz::Text(data, size));
  return 0;
}
