// A bundle, a manifest of signatures, and a payload that a key has signed: whichever the input is taken for.
#include "image/digest.h"
#include "image/manifest.h"
#include "image/signature.h"
#include "tests/fuzz/fuzz.h"

namespace {

void Claims(const image::Signature& signature) {
  const auto claims = image::ReadClaims(signature);
  if (!claims.ok()) return;
  fuzz::Require(!claims->empty(), "a signature claims something");
  for (const image::Claim& claim : *claims) fuzz::Require(image::IsDigest(claim.digest), "a claim has a digest");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::Text(data, size));
  (void)image::ParseReferrers(text);
  if (const auto artifact = image::ParseArtifact(text); artifact.ok()) {
    for (const image::Descriptor& layer : artifact->layers) {
      for (const auto& [name, value] : layer.annotations) (void)image::ReadSimpleSigning("{}", value);
    }
  }
  if (const auto payload = image::ReadSimpleSigning(text, "AAAA"); payload.ok()) Claims(*payload);
  if (const auto bundle = image::ReadBundle(text); bundle.ok()) Claims(*bundle);
  Claims({image::Signature::Form::kStatement, "", "", text});
  return 0;
}
