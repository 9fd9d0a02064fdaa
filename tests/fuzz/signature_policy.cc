#include "image/signature_policy.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto no_file = [](const std::string&) -> base::Result<std::string> { return base::NotFound("not there"); };
  const auto policy = image::SignaturePolicy::Parse(fuzz::Text(data, size), no_file);
  if (!policy.ok()) return 0;
  for (const char* text : {"busybox", "registry.example:5000/team/app:1", "[::1]:5000/app"}) {
    const image::Reference reference = *image::ParseReference(text);
    const image::SignatureRequirements& requirements = policy->For(reference);
    fuzz::Require(!requirements.all.empty(), "every image has a requirement");
    for (const image::SignatureRequirement& each : requirements.all) {
      const bool is_signed = each.type == image::SignatureRequirement::Type::kSigned;
      fuzz::Require(is_signed != each.keys.empty(), "a signature is by a key");
      (void)each.identity.Accepts(reference, text);
      (void)each.identity.Accepts(reference, "registry.example/team/app");
    }
  }
  return 0;
}
