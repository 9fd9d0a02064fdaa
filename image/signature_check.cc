#include "image/signature_check.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "base/text.h"
#include "image/digest.h"
#include "image/pull.h"
#include "image/signature.h"

namespace image {
namespace {

using base::Code;
using base::Error;
using base::Status;
using Clock = std::chrono::steady_clock;

constexpr size_t kMostPayloadBytes = size_t{64} << 10;
constexpr size_t kMostBundleBytes = size_t{256} << 10;
// Of one check: signatures that are looked at, artifacts whose manifests are fetched.
constexpr size_t kMostSignatures = 128;
constexpr size_t kMostArtifacts = 64;
// After this, nothing more is fetched.
constexpr std::chrono::seconds kMostTime{120};
// That a refusal tells.
constexpr size_t kMostReasons = 5;

std::string Annotation(const std::vector<std::pair<std::string, std::string>>& annotations, std::string_view name) {
  const auto found =
      std::find_if(annotations.begin(), annotations.end(), [&](const auto& each) { return each.first == name; });
  return found == annotations.end() ? "" : found->second;
}

// That what could be read was bad, and not that it could not be read.
bool IsBadContent(const Error& error) {
  return error.code() == Code::kDataLoss || error.code() == Code::kResourceExhausted ||
         error.code() == Code::kUnimplemented || error.code() == Code::kInvalidArgument;
}

class Check {
 public:
  Check(const SignatureRequirements& requirements, const Reference& reference,
        const std::vector<ManifestBlob>& documents, Registry& registry, const std::stop_token& stop)
      : reference_(reference), registry_(registry), stop_(stop) {
    for (const SignatureRequirement& each : requirements.all) {
      if (each.type == SignatureRequirement::Type::kSigned) unmet_.push_back(&each);
    }
    for (const ManifestBlob& each : documents) {
      // The names of signatures have SHA-256, whatever the document was asked for by.
      order_.push_back(DigestAlgorithm(each.digest) == "sha256" ? each.digest : Sha256(each.content));
      documents_.emplace(order_.back(), &each);
      documents_.emplace(each.digest, &each);
    }
  }

  base::Result<SignatureVerdict> Run() {
    for (const std::string& digest : order_) {
      if (!unmet_.empty()) RETURN_IF_ERROR(LookAtTag(digest));
    }
    for (const std::string& digest : order_) {
      if (!unmet_.empty()) RETURN_IF_ERROR(LookAtReferrers(digest));
    }
    if (unmet_.empty()) return SignatureVerdict();
    if (reasons_.empty()) return SignatureVerdict{"a signature is required, but there is none"};
    std::string why = "none of its signatures is one that is required";
    if (found_ >= kMostSignatures || artifacts_ > kMostArtifacts) why += " (there are more than are looked at)";
    for (const std::string& reason : reasons_) why += (&reason == &reasons_.front() ? ": " : "; ") + reason;
    return SignatureVerdict{why};
  }

 private:
  bool Done() const { return unmet_.empty() || found_ >= kMostSignatures; }

  Status InTime() const {
    if (Clock::now() - begin_ < kMostTime) return base::Ok();
    return Error(Code::kUnavailable,
                 "the signatures took longer than " + std::to_string(kMostTime.count()) + " seconds to come");
  }

  void Refuse(std::string_view why) {
    std::string reason = base::Printable(why, 300);
    const bool known = std::find(reasons_.begin(), reasons_.end(), reason) != reasons_.end();
    if (!known && reasons_.size() < kMostReasons) reasons_.push_back(std::move(reason));
  }

  Status LookAtTag(const std::string& digest) {
    std::string tag = digest + ".sig";
    std::replace(tag.begin(), tag.end(), ':', '-');
    RETURN_IF_ERROR(InTime());
    auto manifest = registry_.FetchManifest(tag, stop_);
    if (!manifest.ok()) {
      if (manifest.error().code() == Code::kNotFound) return base::Ok();
      return std::move(manifest).error().Wrap("signatures " + tag);
    }
    return LookAtManifest(*manifest).Wrap("signatures " + tag);
  }

  Status LookAtReferrers(const std::string& digest) {
    RETURN_IF_ERROR(InTime());
    const auto index = registry_.FetchReferrers(digest, stop_);
    if (!index.ok()) {
      if (!IsBadContent(index.error())) return base::Error(index.error()).Wrap("referrers of " + digest);
      Refuse(index.error().message());
      return base::Ok();
    }
    for (const Descriptor& artifact : index->manifests) {
      const bool simple = artifact.artifact_type == kSimpleSigningArtifact;
      if (!simple && !IsBundleType(artifact.artifact_type)) continue;
      // Saves fetching an attestation where the registry passes the annotation on.
      const std::string predicate = Annotation(artifact.annotations, kBundlePredicateAnnotation);
      if (!predicate.empty() && predicate != kSignPredicate) continue;
      if (Done() || ++artifacts_ > kMostArtifacts) break;
      RETURN_IF_ERROR(InTime());
      const auto manifest = registry_.FetchManifest(artifact.digest, stop_);
      if (!manifest.ok()) {
        if (!IsBadContent(manifest.error()) && manifest.error().code() != Code::kNotFound) {
          return base::Error(manifest.error()).Wrap("signature " + artifact.digest);
        }
        Refuse(manifest.error().message());
        continue;
      }
      RETURN_IF_ERROR(LookAtManifest(*manifest).Wrap("signature " + artifact.digest));
    }
    return base::Ok();
  }

  Status LookAtManifest(const ManifestBlob& manifest) {
    const auto artifact = ParseArtifact(manifest.content);
    if (!artifact.ok()) {
      Refuse(artifact.error().message());
      return base::Ok();
    }
    const std::string predicate = Annotation(artifact->annotations, kBundlePredicateAnnotation);
    if (!predicate.empty() && predicate != kSignPredicate) return base::Ok();
    for (const Descriptor& layer : artifact->layers) {
      const bool simple = layer.media_type == kSimpleSigningType;
      if (!simple && !IsBundleType(layer.media_type)) continue;
      if (Done()) break;
      ++found_;
      auto content = Content(layer, simple ? kMostPayloadBytes : kMostBundleBytes);
      if (!content.ok()) {
        if (!IsBadContent(content.error()) && content.error().code() != Code::kNotFound) return content.error();
        Refuse(content.error().message());
        continue;
      }
      auto signature =
          simple ? ReadSimpleSigning(*std::move(content), Annotation(layer.annotations, kSimpleSigningAnnotation))
                 : ReadBundle(*content);
      if (!signature.ok()) {
        Refuse(signature.error().message());
        continue;
      }
      LookAt(*std::move(signature));
    }
    return base::Ok();
  }

  // Several signatures, each with its own annotation, often have one payload.
  base::Result<std::string> Content(const Descriptor& layer, size_t most) {
    if (layer.digest == last_digest_) return last_content_;
    RETURN_IF_ERROR(InTime());
    ASSIGN_OR_RETURN(last_content_, FetchDocument(registry_, layer, most, stop_));
    last_digest_ = layer.digest;
    return last_content_;
  }

  void LookAt(Signature signature) {
    if (signature.form == Signature::Form::kManifest) {
      const auto document = documents_.find(signature.body);
      if (document == documents_.end()) return Refuse("it is for another digest, " + signature.body);
      signature.message = document->second->content;
    }
    std::erase_if(unmet_, [&](const SignatureRequirement* requirement) {
      const Status satisfied = Satisfies(signature, *requirement);
      if (!satisfied.ok()) Refuse(satisfied.error().message());
      return satisfied.ok();
    });
  }

  Status Satisfies(const Signature& signature, const SignatureRequirement& requirement) const {
    const auto& keys = requirement.keys;
    if (std::none_of(keys.begin(), keys.end(),
                     [&](const PublicKey& key) { return key.Verifies(signature.message, signature.value); })) {
      return Error(Code::kPermissionDenied, "it is not by a key that is trusted");
    }
    ASSIGN_OR_RETURN(const std::vector<Claim> claims, ReadClaims(signature));
    std::string why;
    for (const Claim& claim : claims) {
      if (!documents_.contains(claim.digest)) {
        why = "it is for another digest, " + claim.digest;
      } else if (claim.reference.empty()) {
        if (requirement.identity.AcceptsNone()) return base::Ok();
        why = "it names no repository, which \"signedIdentity\" accepts only as \"matchRepository\"";
      } else if (requirement.identity.Accepts(reference_, claim.reference)) {
        return base::Ok();
      } else {
        why = "it is for \"" + claim.reference + "\", which \"signedIdentity\" does not accept here";
        const auto named = ParseReference(claim.reference);
        const bool only_tag_differs = named.ok() && named->Name() == reference_.Name();
        if (only_tag_differs) why += " (a name without a tag needs \"matchRepository\")";
      }
    }
    return Error(Code::kPermissionDenied, why);
  }

  const Reference& reference_;
  Registry& registry_;
  const std::stop_token stop_;
  const Clock::time_point begin_ = Clock::now();
  std::map<std::string, const ManifestBlob*> documents_;  // by each digest that is known of them
  std::vector<std::string> order_;                        // of their SHA-256 digests
  std::vector<const SignatureRequirement*> unmet_;
  std::vector<std::string> reasons_;
  size_t found_ = 0;
  size_t artifacts_ = 0;
  std::string last_digest_;
  std::string last_content_;
};

}  // namespace

base::Result<SignatureVerdict> CheckSignatures(const SignatureRequirements& requirements, const Reference& reference,
                                               const std::vector<ManifestBlob>& documents, Registry& registry,
                                               const std::stop_token& stop) {
  return Check(requirements, reference, documents, registry, stop).Run();
}

}  // namespace image
