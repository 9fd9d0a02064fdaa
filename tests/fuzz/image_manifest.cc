#include "image/manifest.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)image::ParseManifest(fuzz::Text(data, size), "application/vnd.oci.image.manifest.v1+json");
  return 0;
}
