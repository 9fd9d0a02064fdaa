// Whether the signatures that a registry has for an image are what a policy requires.
#pragma once

#include <stop_token>
#include <vector>

#include "base/result.h"
#include "image/reference.h"
#include "image/registry.h"
#include "image/signature_policy.h"

namespace image {

struct SignatureVerdict {
  // Why the image may not be pulled; empty when it may.
  std::string refusal;
};

// Looks for signatures of `documents` (see ResolvedImage), beginning with the one that was asked for, until all
// requirements are satisfied: an image is signed when its manifest is or an index by which it was found. Reads what
// cosign writes: the manifest under the tag "sha256-<digest>.sig", then what refers to the document. An error only when
// that could not be read to its end. Everything fetched is bounded in size, number and time.
base::Result<SignatureVerdict> CheckSignatures(const SignatureRequirements& requirements, const Reference& reference,
                                               const std::vector<ManifestBlob>& documents, Registry& registry,
                                               const std::stop_token& stop);

}  // namespace image
