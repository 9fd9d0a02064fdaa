// Which images may be pulled, in the format that CRI-O, podman and skopeo share: containers-policy.json(5),
// https://github.com/containers/image/blob/main/docs/containers-policy.json.5.md.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/public_key.h"
#include "image/reference.h"

namespace image {

// What the name in a signature must be, beside the image that is pulled ("signedIdentity").
class SignedIdentity {
 public:
  enum class Type {
    kMatchExact,
    kMatchRepoDigestOrExact,  // the default of the format
    kMatchRepository,
    kExactReference,
    kExactRepository,
    kRemapIdentity
  };

  SignedIdentity() = default;
  // `value` is the reference, the repository or the prefix that the type has; `signed_prefix` is for kRemapIdentity.
  // kInvalidArgument where they are not what they must be.
  static base::Result<SignedIdentity> Make(Type type, std::string value, std::string signed_prefix);

  // Whether a signature with the name `signed_name` is one for an image that is pulled as `wanted`.
  bool Accepts(const Reference& wanted, const std::string& signed_name) const;
  // Whether it may name nothing, as sigstore bundles do: they are bound to the image's content alone. True for
  // kMatchRepository, the loosest: a bundle does lie in the image's repository, but the signature does not say so.
  bool AcceptsNone() const { return type_ == Type::kMatchRepository; }

 private:
  Type type_ = Type::kMatchRepoDigestOrExact;
  std::string value_;
  std::string signed_prefix_;
};

struct SignatureRequirement {
  enum class Type { kAccept, kReject, kSigned };
  Type type = Type::kReject;
  // Of kSigned: a signature of any of these keys satisfies it.
  std::vector<PublicKey> keys;
  SignedIdentity identity;
};

// All of them must be satisfied.
struct SignatureRequirements {
  std::string scope;  // for messages: where in the policy they are
  std::vector<SignatureRequirement> all;

  // Whether no signature could help.
  bool Reject() const;
  // Whether signatures are needed at all.
  bool NeedSignatures() const;
};

// Immutable.
class SignaturePolicy {
 public:
  using ReadKey = std::function<base::Result<std::string>(const std::string& path)>;

  // Reads a policy with the keys that it names. kInvalidArgument, naming the file, for one that is broken or asks for
  // what is not supported: signedBy, signedBaseLayer, and fulcio, pki and rekor keys of sigstoreSigned. Transports
  // other than "docker" do not concern registries and are passed over.
  static base::Result<SignaturePolicy> Load(const std::string& path);
  // The same for a text; `read_key` reads the files of keys.
  static base::Result<SignaturePolicy> Parse(std::string_view text, const ReadKey& read_key);

  // What an image must satisfy that is pulled as `pulled`: of the narrowest scope that has it.
  const SignatureRequirements& For(const Reference& pulled) const;

 private:
  std::map<std::string, SignatureRequirements> scopes_;  // of transports.docker
  SignatureRequirements default_;
};

}  // namespace image
