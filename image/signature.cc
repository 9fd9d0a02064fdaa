#include "image/signature.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "base/text.h"
#include "image/base64.h"
#include "image/digest.h"
#include "image/json.h"

namespace image {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::string_view kPayloadType = "cosign container image signature";
constexpr std::string_view kStatementPayloadType = "application/vnd.in-toto+json";
constexpr size_t kMostSubjects = 64;

Error Broken(std::string why) {
  return {Code::kDataLoss, std::move(why)};
}

// Like containers/image, which accepts no payload with other members or without one of these.
bool HasExactly(const Json& object, std::initializer_list<const char*> names) {
  return object.size() == names.size() &&
         std::all_of(names.begin(), names.end(), [&](const char* name) { return object.contains(name); });
}

Result<std::vector<Claim>> ReadPayload(const std::string& text) {
  ASSIGN_OR_RETURN(const Json payload, ParseStrictObject(text, "the signed payload"));
  const Json* critical = ObjectAt(payload, "critical");
  if (critical == nullptr || !HasExactly(payload, {"critical", "optional"}) ||
      !HasExactly(*critical, {"type", "image", "identity"})) {
    return Broken("the signed payload does not have the members of simple signing");
  }
  if (const std::string type = StringAt(*critical, "type"); type != kPayloadType) {
    return Broken("the signed payload is of type \"" + base::Printable(type, 100) + "\"");
  }
  const Json* image = ObjectAt(*critical, "image");
  const Json* identity = ObjectAt(*critical, "identity");
  if (image == nullptr || identity == nullptr || !HasExactly(*image, {"docker-manifest-digest"}) ||
      !HasExactly(*identity, {"docker-reference"})) {
    return Broken("the signed payload does not have the members of simple signing");
  }
  Claim claim{StringAt(*image, "docker-manifest-digest"), StringAt(*identity, "docker-reference")};
  if (!IsDigest(claim.digest)) return Broken("the signed payload has no valid digest");
  if (claim.reference.empty()) return Broken("the signed payload names no repository");
  return std::vector<Claim>{std::move(claim)};
}

Result<std::vector<Claim>> ReadStatement(const std::string& text) {
  ASSIGN_OR_RETURN(const Json statement, ParseStrictObject(text, "the signed statement"));
  const std::string type = StringAt(statement, "_type");
  if (type != "https://in-toto.io/Statement/v1" && type != "https://in-toto.io/Statement/v0.1") {
    return Broken("the signed statement is of type \"" + base::Printable(type, 100) + "\"");
  }
  // A key that attests, for example, how an image was built does not say thereby that it may run.
  if (const std::string predicate = StringAt(statement, "predicateType"); predicate != kSignPredicate) {
    return Broken("the signed statement is no signature but of type \"" + base::Printable(predicate, 100) + "\"");
  }
  const Json* subjects = ArrayAt(statement, "subject");
  if (subjects == nullptr || subjects->empty() || subjects->size() > kMostSubjects) {
    return Broken("the signed statement has no subject, or too many");
  }
  std::vector<Claim> claims;
  for (const Json& subject : *subjects) {
    const Json* digests = ObjectAt(subject, "digest");
    if (digests == nullptr) return Broken("a subject of the signed statement has no digest");
    for (const char* algorithm : {"sha256", "sha512"}) {
      const std::string hex = StringAt(*digests, algorithm);
      if (hex.empty()) continue;
      Claim claim{std::string(algorithm) + ":" + hex, StringAt(subject, "name")};
      if (!IsDigest(claim.digest)) return Broken("a subject of the signed statement has no valid digest");
      claims.push_back(std::move(claim));
    }
  }
  if (claims.empty()) return Broken("the subject of the signed statement has no sha256 or sha512 digest");
  return claims;
}

// What an envelope's signature is over (DSSE v1, "pre-authentication encoding").
std::string Preauthenticated(std::string_view type, const std::string& body) {
  std::string out = "DSSEv1 " + std::to_string(type.size()) + " ";
  out.append(type).append(" ").append(std::to_string(body.size())).append(" ").append(body);
  return out;
}

Result<Signature> ReadEnvelope(const Json& envelope) {
  if (const std::string type = StringAt(envelope, "payloadType"); type != kStatementPayloadType) {
    return Broken("its envelope holds \"" + base::Printable(type, 100) + "\" and no in-toto statement");
  }
  const Json* signatures = ArrayAt(envelope, "signatures");
  if (signatures == nullptr || signatures->size() != 1) return Broken("its envelope does not have one signature");
  auto body = DecodeBase64(StringAt(envelope, "payload"));
  auto value = DecodeBase64(StringAt(signatures->front(), "sig"));
  if (!body || !value || body->empty() || value->empty()) return Broken("its envelope is not in base64");
  Signature out;
  out.form = Signature::Form::kStatement;
  out.message = Preauthenticated(kStatementPayloadType, *body);
  out.value = *std::move(value);
  out.body = *std::move(body);
  return out;
}

Result<Signature> ReadMessageSignature(const Json& signed_message) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kHashes = {
      {{"SHA2_256", "sha256:"}, {"SHA2_512", "sha512:"}}};
  const Json* stated = ObjectAt(signed_message, "messageDigest");
  if (stated == nullptr) return Broken("it states no digest of what is signed");
  const std::string algorithm = StringAt(*stated, "algorithm");
  const auto* hash =
      std::find_if(kHashes.begin(), kHashes.end(), [&](const auto& each) { return each.first == algorithm; });
  const auto digest = DecodeBase64(StringAt(*stated, "digest"));
  auto value = DecodeBase64(StringAt(signed_message, "signature"));
  if (hash == kHashes.end() || !digest || !value || value->empty()) {
    return Broken("its message signature is malformed");
  }
  Signature out;
  out.form = Signature::Form::kManifest;
  out.value = *std::move(value);
  out.body = std::string(hash->second) + base::Hex(*digest);
  if (!IsDigest(out.body)) return Broken("its message signature is malformed");
  return out;
}

}  // namespace

bool IsBundleType(std::string_view media_type) {
  constexpr std::array<std::string_view, 4> kTypes = {
      "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3",
      "application/vnd.dev.sigstore.bundle+json;version=0.2", "application/vnd.dev.sigstore.bundle+json;version=0.1"};
  return std::find(kTypes.begin(), kTypes.end(), media_type) != kTypes.end();
}

Result<Signature> ReadSimpleSigning(std::string payload, std::string_view annotation) {
  if (annotation.empty()) return Broken("the annotation \"" + std::string(kSimpleSigningAnnotation) + "\" is missing");
  auto value = DecodeBase64(annotation);
  if (!value) return Broken("its signature is not in base64");
  return Signature{Signature::Form::kSimpleSigning, payload, *std::move(value), std::move(payload)};
}

Result<Signature> ReadBundle(std::string_view text) {
  ASSIGN_OR_RETURN(const Json bundle, ParseStrictObject(text, "the bundle"));
  if (const std::string type = StringAt(bundle, "mediaType"); !IsBundleType(type)) {
    return Broken("the bundle is of type \"" + base::Printable(type, 100) + "\"");
  }
  const Json* material = ObjectAt(bundle, "verificationMaterial");
  if (material == nullptr) return Broken("the bundle does not say what verifies it");
  if (material->contains("certificate") || material->contains("x509CertificateChain")) {
    return Error(Code::kUnimplemented, "it is signed by a certificate, which is not supported, and not by a key");
  }
  const Json* envelope = ObjectAt(bundle, "dsseEnvelope");
  const Json* signed_message = ObjectAt(bundle, "messageSignature");
  if ((envelope == nullptr) == (signed_message == nullptr)) {
    return Broken("the bundle has neither an envelope nor a message signature, or both");
  }
  return envelope != nullptr ? ReadEnvelope(*envelope) : ReadMessageSignature(*signed_message);
}

Result<std::vector<Claim>> ReadClaims(const Signature& signature) {
  switch (signature.form) {
    case Signature::Form::kSimpleSigning:
      return ReadPayload(signature.body);
    case Signature::Form::kStatement:
      return ReadStatement(signature.body);
    case Signature::Form::kManifest:
      break;
  }
  return std::vector<Claim>{{signature.body, ""}};
}

}  // namespace image
