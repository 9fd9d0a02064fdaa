// Signatures of images in the forms that cosign and its kin keep beside them in a registry:
// - simple signing: a JSON payload in a layer of the manifest "sha256-<digest>.sig", its signature in an annotation
//   (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md);
// - sigstore bundles: a DSSE envelope with an in-toto statement, or the signature of the manifest itself
//   (https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto).
// Nothing here checks a key: what a signature claims counts only after PublicKey::Verifies(message, value).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace image {

// Media type of a payload, and the annotation of its layer that holds the signature in base64.
inline constexpr char kSimpleSigningType[] = "application/vnd.dev.cosign.simplesigning.v1+json";
inline constexpr char kSimpleSigningAnnotation[] = "dev.cosignproject.cosign/signature";
// artifactType of such manifests among the referrers of an image.
inline constexpr char kSimpleSigningArtifact[] = "application/vnd.dev.cosign.artifact.sig.v1+json";
// Annotation of a bundle's manifest: the predicateType of its statement; and that of statements that sign, where others
// attest.
inline constexpr char kBundlePredicateAnnotation[] = "dev.sigstore.bundle.predicateType";
inline constexpr char kSignPredicate[] = "https://sigstore.dev/cosign/sign/v1";

// Whether this is a media type of bundles.
bool IsBundleType(std::string_view media_type);

struct Signature {
  enum class Form { kSimpleSigning, kStatement, kManifest };
  Form form = Form::kSimpleSigning;
  std::string message;  // the bytes that are signed; of kManifest empty: it is the manifest with the digest in `body`
  std::string value;    // the signature itself
  std::string body;     // what is claimed: the payload, the statement, or the manifest's digest
};

// One image that a signature speaks of.
struct Claim {
  std::string digest;     // "sha256:…" or "sha512:…", of a manifest or index
  std::string reference;  // as it is written there, not completed; empty when it names none
};

// kDataLoss for what is malformed.
base::Result<Signature> ReadSimpleSigning(std::string payload, std::string_view annotation);
// kUnimplemented for a bundle whose signature is by a certificate and not by a key.
base::Result<Signature> ReadBundle(std::string_view text);

// What the signature claims. At least one claim; kDataLoss for what is malformed or signs no image.
base::Result<std::vector<Claim>> ReadClaims(const Signature& signature);

}  // namespace image
