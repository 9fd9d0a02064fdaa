#include "image/signature_policy.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/files.h"
#include "base/text.h"
#include "image/base64.h"
#include "image/json.h"

namespace image {
namespace {

using base::InvalidArgument;
using base::Result;
using base::Status;

constexpr size_t kMostPolicyBytes = size_t{1} << 20;
constexpr size_t kMostKeyBytes = size_t{64} << 10;
constexpr size_t kMostKeys = 100;  // of one requirement

using Type = SignedIdentity::Type;
constexpr std::array<std::pair<std::string_view, Type>, 6> kIdentityTypes = {
    {{"matchExact", Type::kMatchExact},
     {"matchRepoDigestOrExact", Type::kMatchRepoDigestOrExact},
     {"matchRepository", Type::kMatchRepository},
     {"exactReference", Type::kExactReference},
     {"exactRepository", Type::kExactRepository},
     {"remapIdentity", Type::kRemapIdentity}}};

// Whether a reference is without tag and digest, where completing it would add a tag.
bool IsNameOnly(std::string_view text) {
  if (text.find('@') != std::string_view::npos) return false;
  const size_t colon = text.rfind(':');
  return colon == std::string_view::npos || text.find('/', colon) != std::string_view::npos;
}

// A registry, namespace or repository in its full form.
bool IsPrefix(const std::string& text) {
  const auto below = ParseReference(text + "/below");
  return below.ok() && below->Name() == text + "/below";
}

bool MatchesRepoDigestOrExact(const Reference& wanted, const Reference& signed_reference, bool name_only) {
  if (name_only) return false;
  if (!wanted.digest.empty()) return signed_reference.Name() == wanted.Name();
  return signed_reference.ToString() == wanted.ToString();
}

// Reads one member after the other and notices those that nobody asked for.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  const Json* Take(const char* name) {
    const auto found = object_.find(name);
    if (found == object_.end()) return nullptr;
    ++taken_;
    return &*found;
  }
  // Nothing when there is none.
  Result<std::optional<std::string>> TakeString(const char* name) {
    const Json* member = Take(name);
    if (member == nullptr) return std::optional<std::string>();
    if (!member->is_string() || member->get_ref<const std::string&>().empty()) {
      return InvalidArgument("\"" + std::string(name) + "\" must be a string that is not empty");
    }
    return std::optional<std::string>(member->get<std::string>());
  }
  Result<std::string> TakeRequired(const char* name) {
    ASSIGN_OR_RETURN(auto text, TakeString(name));
    if (!text) return InvalidArgument("\"" + std::string(name) + "\" is missing");
    return *std::move(text);
  }
  // Adds one string or an array of them.
  Status TakeStrings(const char* one, const char* several, std::vector<std::string>& out, int& sources) {
    ASSIGN_OR_RETURN(auto single, TakeString(one));
    if (single) {
      ++sources;
      out.push_back(*std::move(single));
    }
    const Json* array = Take(several);
    if (array == nullptr) return base::Ok();
    ++sources;
    const bool strings = array->is_array() && !array->empty() && array->size() <= kMostKeys &&
                         std::all_of(array->begin(), array->end(), [](const Json& each) { return each.is_string(); });
    if (!strings) {
      return InvalidArgument("\"" + std::string(several) + "\" must be an array of 1 to " + std::to_string(kMostKeys) +
                             " strings");
    }
    for (const Json& each : *array) out.push_back(each.get<std::string>());
    return base::Ok();
  }
  Status NoMore() const {
    if (taken_ == object_.size()) return base::Ok();
    return InvalidArgument("it has a member that is not known");
  }

 private:
  const Json& object_;
  size_t taken_ = 0;
};

Result<SignedIdentity> ReadIdentity(const Json& value) {
  if (!value.is_object()) return InvalidArgument("it must be an object");
  Members members(value);
  ASSIGN_OR_RETURN(const std::string name, members.TakeRequired("type"));
  const auto* type =
      std::find_if(kIdentityTypes.begin(), kIdentityTypes.end(), [&](const auto& each) { return each.first == name; });
  if (type == kIdentityTypes.end()) {
    return InvalidArgument("there is no type \"" + base::Printable(name, 100) + "\"");
  }
  std::string first;
  std::string second;
  if (type->second == Type::kExactReference) {
    ASSIGN_OR_RETURN(first, members.TakeRequired("dockerReference"));
  } else if (type->second == Type::kExactRepository) {
    ASSIGN_OR_RETURN(first, members.TakeRequired("dockerRepository"));
  } else if (type->second == Type::kRemapIdentity) {
    ASSIGN_OR_RETURN(first, members.TakeRequired("prefix"));
    ASSIGN_OR_RETURN(second, members.TakeRequired("signedPrefix"));
  }
  RETURN_IF_ERROR(members.NoMore());
  return SignedIdentity::Make(type->second, std::move(first), std::move(second));
}

Result<SignatureRequirement> ReadSigstoreSigned(Members& members, const SignaturePolicy::ReadKey& read_key) {
  for (const char* name :
       {"fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"}) {
    if (members.Take(name) != nullptr) {
      return InvalidArgument("\"" + std::string(name) + "\" is not supported, only public keys are");
    }
  }
  SignatureRequirement out;
  out.type = SignatureRequirement::Type::kSigned;
  std::vector<std::string> paths;
  std::vector<std::string> data;
  int sources = 0;
  RETURN_IF_ERROR(members.TakeStrings("keyPath", "keyPaths", paths, sources));
  RETURN_IF_ERROR(members.TakeStrings("keyData", "keyDatas", data, sources));
  if (sources != 1) {
    return InvalidArgument("it must have one of \"keyPath\", \"keyPaths\", \"keyData\" and \"keyDatas\"");
  }
  for (const std::string& path : paths) {
    if (!path.starts_with('/')) return InvalidArgument("the path of a key must be absolute");
    ASSIGN_OR_RETURN(const std::string pem, read_key(path));
    ASSIGN_OR_RETURN(PublicKey key, PublicKey::Parse(pem).Wrap("key " + base::Printable(path)));
    out.keys.push_back(std::move(key));
  }
  for (const std::string& text : data) {
    const auto pem = DecodeBase64(text);
    if (!pem) return InvalidArgument("the data of a key must be in base64");
    ASSIGN_OR_RETURN(PublicKey key, PublicKey::Parse(*pem).Wrap("the data of a key"));
    out.keys.push_back(std::move(key));
  }
  if (const Json* identity = members.Take("signedIdentity"); identity != nullptr) {
    ASSIGN_OR_RETURN(out.identity, ReadIdentity(*identity).Wrap("\"signedIdentity\""));
  }
  return out;
}

Result<SignatureRequirement> ReadRequirement(const Json& value, const SignaturePolicy::ReadKey& read_key) {
  if (!value.is_object()) return InvalidArgument("it must be an object");
  Members members(value);
  ASSIGN_OR_RETURN(const std::string type, members.TakeRequired("type"));
  SignatureRequirement out;
  if (type == "insecureAcceptAnything") {
    out.type = SignatureRequirement::Type::kAccept;
  } else if (type == "reject") {
    out.type = SignatureRequirement::Type::kReject;
  } else if (type == "sigstoreSigned") {
    ASSIGN_OR_RETURN(out, ReadSigstoreSigned(members, read_key));
  } else if (type == "signedBy" || type == "signedBaseLayer") {
    return InvalidArgument("\"" + type + "\" is not supported, only \"sigstoreSigned\" is");
  } else {
    return InvalidArgument("there is no type \"" + base::Printable(type, 100) + "\"");
  }
  RETURN_IF_ERROR(members.NoMore());
  return out;
}

Result<SignatureRequirements> ReadRequirements(const Json& value, const std::string& scope,
                                               const SignaturePolicy::ReadKey& read_key) {
  if (!value.is_array() || value.empty()) {
    return InvalidArgument(scope + ": it must be an array of at least one requirement");
  }
  SignatureRequirements out;
  out.scope = scope;
  for (const Json& each : value) {
    ASSIGN_OR_RETURN(
        SignatureRequirement requirement,
        ReadRequirement(each, read_key).Wrap(scope + ", requirement " + std::to_string(out.all.size() + 1)));
    out.all.push_back(std::move(requirement));
  }
  return out;
}

}  // namespace

Result<SignedIdentity> SignedIdentity::Make(Type type, std::string value, std::string signed_prefix) {
  if (type == Type::kExactReference || type == Type::kExactRepository) {
    RETURN_IF_ERROR([&]() -> Status {
      ASSIGN_OR_RETURN([[maybe_unused]] const Reference reference, ParseReference(value));
      return base::Ok();
    }());
    if (type == Type::kExactReference && IsNameOnly(value)) {
      return InvalidArgument("\"dockerReference\" must have a tag or a digest");
    }
  }
  if (type == Type::kRemapIdentity && (!IsPrefix(value) || !IsPrefix(signed_prefix))) {
    return InvalidArgument("\"prefix\" and \"signedPrefix\" must be registries, namespaces or repositories in full");
  }
  SignedIdentity out;
  out.type_ = type;
  out.value_ = std::move(value);
  out.signed_prefix_ = std::move(signed_prefix);
  return out;
}

bool SignedIdentity::Accepts(const Reference& wanted, const std::string& signed_name) const {
  const auto signed_reference = ParseReference(signed_name);
  if (!signed_reference.ok()) return false;
  const bool name_only = IsNameOnly(signed_name);
  switch (type_) {
    case Type::kMatchExact:
      return !name_only && signed_reference->ToString() == wanted.ToString();
    case Type::kMatchRepoDigestOrExact:
      return MatchesRepoDigestOrExact(wanted, *signed_reference, name_only);
    case Type::kMatchRepository:
      return signed_reference->Name() == wanted.Name();
    case Type::kExactReference:
      return !name_only && signed_reference->ToString() == ParseReference(value_)->ToString();
    case Type::kExactRepository:
      return signed_reference->Name() == ParseReference(value_)->Name();
    case Type::kRemapIdentity:
      break;
  }
  const std::string name = wanted.Name();
  if (name != value_ && !name.starts_with(value_ + "/")) {
    return MatchesRepoDigestOrExact(wanted, *signed_reference, name_only);
  }
  const std::string mapped = signed_prefix_ + wanted.ToString().substr(value_.size());
  const auto remapped = ParseReference(mapped);
  return remapped.ok() && remapped->ToString() == mapped &&
         MatchesRepoDigestOrExact(*remapped, *signed_reference, name_only);
}

bool SignatureRequirements::Reject() const {
  return std::any_of(all.begin(), all.end(),
                     [](const auto& each) { return each.type == SignatureRequirement::Type::kReject; });
}

bool SignatureRequirements::NeedSignatures() const {
  return std::any_of(all.begin(), all.end(),
                     [](const auto& each) { return each.type == SignatureRequirement::Type::kSigned; });
}

Result<SignaturePolicy> SignaturePolicy::Load(const std::string& path) {
  const auto load = [&]() -> Result<SignaturePolicy> {
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMostPolicyBytes));
    return Parse(text, [](const std::string& key) { return base::ReadFile(key, kMostKeyBytes); }).Wrap(path);
  };
  auto policy = load();
  if (policy.ok()) return policy;
  return std::move(policy).error().Wrap("the signature policy").WithCode(base::Code::kInvalidArgument);
}

Result<SignaturePolicy> SignaturePolicy::Parse(std::string_view text, const ReadKey& read_key) {
  ASSIGN_OR_RETURN(const Json document, ParseStrictObject(text, "the document"));
  Members members(document);
  SignaturePolicy policy;
  const Json* fallback = members.Take("default");
  if (fallback == nullptr) return InvalidArgument("\"default\" is missing");
  ASSIGN_OR_RETURN(policy.default_, ReadRequirements(*fallback, "\"default\"", read_key));
  const Json* transports = members.Take("transports");
  RETURN_IF_ERROR(members.NoMore());
  if (transports == nullptr) return policy;
  if (!transports->is_object()) return InvalidArgument("\"transports\" must be an object");
  const auto docker = transports->find("docker");
  if (docker == transports->end()) return policy;
  if (!docker->is_object()) return InvalidArgument("\"transports.docker\" must be an object");
  for (const auto& [scope, value] : docker->items()) {
    const std::string name = "scope \"" + base::Printable(scope, 300) + "\"";
    ASSIGN_OR_RETURN(SignatureRequirements requirements, ReadRequirements(value, name, read_key));
    policy.scopes_.emplace(scope, std::move(requirements));
  }
  return policy;
}

const SignatureRequirements& SignaturePolicy::For(const Reference& pulled) const {
  // Another spelling of the host must not lead past the policy.
  Reference reference = pulled;
  for (char& c : reference.domain) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const auto in = [&](const std::string& scope) {
    const auto found = scopes_.find(scope);
    return found == scopes_.end() ? nullptr : &found->second;
  };
  if (const auto* found = in(reference.ToString())) return *found;
  std::string name = reference.Name();
  while (true) {
    if (const auto* found = in(name)) return *found;
    const size_t slash = name.rfind('/');
    if (slash == std::string::npos) break;
    name.resize(slash);
  }
  // "*.example.com" is without a port.
  name.resize(std::min(name.size(), name.find(':')));
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    if (const auto* found = in("*" + name.substr(dot))) return *found;
  }
  if (const auto* found = in("")) return *found;
  return default_;
}

}  // namespace image
