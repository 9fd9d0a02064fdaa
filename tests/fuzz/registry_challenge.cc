#include "image/challenge.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const image::Challenge& challenge : image::ParseChallenges(fuzz::Text(data, size))) {
    fuzz::Require(!challenge.scheme.empty(), "a challenge has a scheme");
  }
  return 0;
}
