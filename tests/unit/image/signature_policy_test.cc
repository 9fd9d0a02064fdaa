#include "image/signature_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "image/base64.h"
#include "test_key.h"

namespace image {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kAccept = R"([{"type":"insecureAcceptAnything"}])";
const std::string kReject = R"([{"type":"reject"}])";

base::Result<std::string> NoFile(const std::string& path) {
  return base::NotFound(path + " is not there");
}

Reference Parsed(const std::string& text) {
  return *ParseReference(text);
}

// The scope that an image is under.
std::string ScopeOf(const SignaturePolicy& policy, const std::string& reference) {
  return policy.For(Parsed(reference)).scope;
}

std::string WhyNot(const std::string& text) {
  const auto policy = SignaturePolicy::Parse(text, NoFile);
  return policy.ok() ? "accepted" : policy.error().message();
}

// With one requirement of which this is the rest.
std::string WhyNotSigned(const std::string& members) {
  return WhyNot(R"({"default":[{"type":"sigstoreSigned",)" + members + "}]}");
}

TEST(SignaturePolicy, TheNarrowestScopeCounts) {
  std::string scopes;
  for (const char* scope : {"", "docker.io", "docker.io/library", "docker.io/library/busybox",
                            "docker.io/library/busybox:1", "*.example.com", "*.b.example.com", "c.example.com:5000"}) {
    scopes += (scopes.empty() ? "\"" : ",\"") + std::string(scope) + "\":" + kAccept;
  }
  const auto policy =
      SignaturePolicy::Parse(R"({"default":)" + kReject + R"(,"transports":{"docker":{)" + scopes + "}}}", NoFile);
  ASSERT_TRUE(policy.ok()) << policy.error().message();
  EXPECT_EQ(ScopeOf(*policy, "busybox:1"), "scope \"docker.io/library/busybox:1\"");
  EXPECT_EQ(ScopeOf(*policy, "busybox:2"), "scope \"docker.io/library/busybox\"");
  EXPECT_EQ(ScopeOf(*policy, "busybox@sha256:" + std::string(64, 'a')), "scope \"docker.io/library/busybox\"");
  EXPECT_EQ(ScopeOf(*policy, "busybox-more"), "scope \"docker.io/library\"");
  EXPECT_EQ(ScopeOf(*policy, "some/image"), "scope \"docker.io\"");
  EXPECT_EQ(ScopeOf(*policy, "a.example.com/x"), "scope \"*.example.com\"");
  EXPECT_EQ(ScopeOf(*policy, "a.example.com:99/x/y"), "scope \"*.example.com\"");
  EXPECT_EQ(ScopeOf(*policy, "a.b.example.com/x"), "scope \"*.b.example.com\"");
  EXPECT_EQ(ScopeOf(*policy, "b.example.com/x"), "scope \"*.example.com\"");
  EXPECT_EQ(ScopeOf(*policy, "c.example.com:5000/x"), "scope \"c.example.com:5000\"");
  EXPECT_EQ(ScopeOf(*policy, "C.Example.COM:5000/x"), "scope \"c.example.com:5000\"");
  EXPECT_EQ(ScopeOf(*policy, "example.com/x"), "scope \"\"");
}

TEST(SignaturePolicy, TheDefaultIsForWhatNoScopeHas) {
  const auto policy = SignaturePolicy::Parse(R"({"default":)" + kReject + R"(,"transports":{"docker":{"r.example":)" +
                                                 kAccept + R"(},"dir":{"":[{"type":"signedBy"}]}}})",
                                             NoFile);
  ASSERT_TRUE(policy.ok()) << policy.error().message();
  EXPECT_TRUE(policy->For(Parsed("busybox")).Reject());
  EXPECT_FALSE(policy->For(Parsed("r.example/app")).Reject());
  EXPECT_FALSE(policy->For(Parsed("r.example/app")).NeedSignatures());
}

TEST(SignaturePolicy, ReadsKeysFromFilesAndFromItself) {
  std::string pattern = testing::TempDir() + "/policy-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const std::string key = pattern + "/cosign.pub";
  const std::string file = pattern + "/policy.json";
  ASSERT_TRUE(base::WriteFileAtomic(key, TestKey().Public()).ok());
  for (const std::string& keys : {R"("keyPath":")" + key + '"', R"("keyPaths":[")" + key + "\"]",
                                  R"("keyData":")" + EncodeBase64(TestKey().Public()) + '"',
                                  R"("keyDatas":[")" + EncodeBase64(TestKey(TestKey::Kind::kRsa).Public()) + "\"]"}) {
    ASSERT_TRUE(base::WriteFileAtomic(file, R"({"default":[{"type":"sigstoreSigned",)" + keys + "}]}").ok());
    const auto policy = SignaturePolicy::Load(file);
    ASSERT_TRUE(policy.ok()) << policy.error().message();
    EXPECT_EQ(policy->For(Parsed("busybox")).all.front().keys.size(), 1u);
    EXPECT_TRUE(policy->For(Parsed("busybox")).NeedSignatures());
  }
  ASSERT_TRUE(base::WriteFileAtomic(key, "no key").ok());
  ASSERT_TRUE(base::WriteFileAtomic(file, R"({"default":[{"type":"sigstoreSigned","keyPath":")" + key + "\"}]}").ok());
  const auto broken = SignaturePolicy::Load(file);
  EXPECT_EQ(broken.error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(broken.error().message(), AllOf(HasSubstr(file), HasSubstr(key), HasSubstr("no PEM file")));
  std::filesystem::remove_all(pattern);
  const auto missing = SignaturePolicy::Load(file);
  EXPECT_EQ(missing.error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(missing.error().message(), HasSubstr(file));
}

TEST(SignaturePolicy, WhatIsNotSupportedIsRefusedByName) {
  EXPECT_THAT(WhyNot(R"({"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]})"),
              HasSubstr("\"signedBy\" is not supported"));
  EXPECT_THAT(WhyNot(R"({"default":[{"type":"signedBaseLayer"}]})"), HasSubstr("not supported"));
  EXPECT_THAT(WhyNot(R"({"default":)" + kReject + R"(,"transports":{"docker":{"r.example":[{"type":"signedBy"}]}}})"),
              HasSubstr("scope \"r.example\", requirement 1: \"signedBy\" is not supported"));
  EXPECT_THAT(WhyNotSigned(R"("fulcio":{})"), HasSubstr("\"fulcio\" is not supported"));
  EXPECT_THAT(WhyNotSigned(R"("pki":{})"), HasSubstr("\"pki\" is not supported"));
  for (const char* rekor : {"rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"}) {
    EXPECT_THAT(WhyNotSigned(R"("keyPath":"/k",")" + std::string(rekor) + R"(":"/r")"),
                HasSubstr("\"" + std::string(rekor) + "\" is not supported"));
  }
}

TEST(SignaturePolicy, WhatIsNotInTheFormatIsRefused) {
  EXPECT_THAT(WhyNot("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(WhyNot("{}"), HasSubstr("\"default\" is missing"));
  EXPECT_THAT(WhyNot(R"({"default":[]})"), HasSubstr("at least one requirement"));
  EXPECT_THAT(WhyNot(R"({"default":)" + kReject + R"(,"default":)" + kAccept + "}"), HasSubstr("\"default\" twice"));
  EXPECT_THAT(WhyNot(R"({"default":)" + kReject + R"(,"transport":{}})"), HasSubstr("not known"));
  EXPECT_THAT(WhyNot(R"({"default":)" + kReject + R"(,"transports":[]})"), HasSubstr("\"transports\" must be"));
  EXPECT_THAT(WhyNot(R"({"default":)" + kReject + R"(,"transports":{"docker":[]}})"), HasSubstr("transports.docker"));
  EXPECT_THAT(WhyNot(R"({"default":[{"type":"accept"}]})"), HasSubstr("no type \"accept\""));
  EXPECT_THAT(WhyNot(R"({"default":[{}]})"), HasSubstr("\"type\" is missing"));
  EXPECT_THAT(WhyNot(R"({"default":[1]})"), HasSubstr("must be an object"));
  EXPECT_THAT(WhyNot(R"({"default":[{"type":"reject","more":1}]})"), HasSubstr("not known"));
  EXPECT_THAT(WhyNotSigned(R"("signedIdentity":{"type":"matchExact"})"), HasSubstr("must have one of"));
  EXPECT_THAT(WhyNotSigned(R"("keyPath":"/k","keyData":"AAAA")"), HasSubstr("must have one of"));
  EXPECT_THAT(WhyNotSigned(R"("keyPaths":[])"), HasSubstr("1 to 100 strings"));
  EXPECT_THAT(WhyNotSigned(R"("keyPaths":[1])"), HasSubstr("1 to 100 strings"));
  EXPECT_THAT(WhyNotSigned(R"("keyPath":"relative")"), HasSubstr("must be absolute"));
  EXPECT_THAT(WhyNotSigned(R"("keyPath":"")"), HasSubstr("not empty"));
  EXPECT_THAT(WhyNotSigned(R"("keyPath":"/k")"), HasSubstr("/k is not there"));
  EXPECT_THAT(WhyNotSigned(R"("keyData":"***")"), HasSubstr("base64"));
  const std::string key = R"("keyData":")" + EncodeBase64(TestKey().Public()) + R"(","signedIdentity":)";
  ASSERT_EQ(WhyNotSigned(key + R"({"type":"matchRepository"})"), "accepted");
  EXPECT_THAT(WhyNotSigned(key + "1"), HasSubstr("must be an object"));
  EXPECT_THAT(WhyNotSigned(key + R"({"type":"matchAnything"})"), HasSubstr("no type \"matchAnything\""));
  EXPECT_THAT(WhyNotSigned(key + R"({"type":"matchExact","more":""})"), HasSubstr("not known"));
  EXPECT_THAT(WhyNotSigned(key + R"({"type":"exactReference"})"), HasSubstr("\"dockerReference\" is missing"));
  EXPECT_THAT(WhyNotSigned(key + R"({"type":"exactReference","dockerReference":"r.example/a"})"),
              HasSubstr("a tag or a digest"));
  EXPECT_THAT(WhyNotSigned(key + R"({"type":"exactRepository","dockerRepository":"UPPER"})"), HasSubstr("lower case"));
  EXPECT_THAT(WhyNotSigned(key + R"({"type":"remapIdentity","prefix":"busybox","signedPrefix":"r.example"})"),
              HasSubstr("in full"));
  EXPECT_THAT(WhyNotSigned(key + R"({"type":"remapIdentity","prefix":"r.example/a:1","signedPrefix":"r.example"})"),
              HasSubstr("in full"));
}

TEST(SignedIdentity, MatchesAsTheFormatSays) {
  using Type = SignedIdentity::Type;
  const std::string digest = "@sha256:" + std::string(64, 'a');
  const auto accepts = [](Type type, const std::string& wanted, const std::string& name, const std::string& value = "",
                          const std::string& signed_prefix = "") {
    const auto identity = SignedIdentity::Make(type, value, signed_prefix);
    EXPECT_TRUE(identity.ok());
    return identity.ok() && identity->Accepts(Parsed(wanted), name);
  };
  const std::string app = "r.example/app";

  EXPECT_TRUE(accepts(Type::kMatchExact, app + ":1", app + ":1"));
  EXPECT_FALSE(accepts(Type::kMatchExact, app + ":1", app + ":2"));
  EXPECT_FALSE(accepts(Type::kMatchExact, app + ":latest", app));
  EXPECT_FALSE(accepts(Type::kMatchExact, app + digest, app + ":1"));
  EXPECT_TRUE(accepts(Type::kMatchExact, app + digest, app + digest));

  EXPECT_TRUE(accepts(Type::kMatchRepoDigestOrExact, app + ":1", app + ":1"));
  EXPECT_FALSE(accepts(Type::kMatchRepoDigestOrExact, app + ":1", app + ":2"));
  EXPECT_FALSE(accepts(Type::kMatchRepoDigestOrExact, app + ":latest", app));
  EXPECT_TRUE(accepts(Type::kMatchRepoDigestOrExact, app + digest, app + ":7"));
  EXPECT_FALSE(accepts(Type::kMatchRepoDigestOrExact, app + digest, app));
  EXPECT_FALSE(accepts(Type::kMatchRepoDigestOrExact, app + digest, "r.example/other:7"));

  EXPECT_TRUE(accepts(Type::kMatchRepository, app + ":1", app));
  EXPECT_TRUE(accepts(Type::kMatchRepository, app + ":1", app + ":2"));
  EXPECT_TRUE(accepts(Type::kMatchRepository, "docker.io/library/busybox:1", "index.docker.io/library/busybox"));
  EXPECT_FALSE(accepts(Type::kMatchRepository, app + ":1", "r.example/app2"));
  EXPECT_FALSE(accepts(Type::kMatchRepository, app + ":1", "other.example/app"));
  EXPECT_FALSE(accepts(Type::kMatchRepository, app + ":1", "not a reference"));

  EXPECT_TRUE(accepts(Type::kExactReference, "mirror.example/x:3", app + ":1", app + ":1"));
  EXPECT_FALSE(accepts(Type::kExactReference, "mirror.example/x:3", app + ":2", app + ":1"));
  EXPECT_FALSE(accepts(Type::kExactReference, "mirror.example/x:3", app, app + ":latest"));
  EXPECT_TRUE(accepts(Type::kExactRepository, "mirror.example/x:3", app + ":2", app));
  EXPECT_TRUE(accepts(Type::kExactRepository, "mirror.example/x:3", app, app));
  EXPECT_FALSE(accepts(Type::kExactRepository, "mirror.example/x:3", "mirror.example/x:3", app));

  const auto remapped = [&](const std::string& wanted, const std::string& name) {
    return accepts(Type::kRemapIdentity, wanted, name, "mirror.example:5000/of", "r.example");
  };
  EXPECT_TRUE(remapped("mirror.example:5000/of/app:1", app + ":1"));
  EXPECT_FALSE(remapped("mirror.example:5000/of/app:1", "mirror.example:5000/of/app:1"));
  EXPECT_FALSE(remapped("mirror.example:5000/of/app:1", app + ":2"));
  EXPECT_FALSE(remapped("mirror.example:5000/of/app:1", app));
  EXPECT_TRUE(remapped("mirror.example:5000/of/app" + digest, app + ":2"));
  EXPECT_TRUE(remapped("mirror.example:5000/often/app:1", "mirror.example:5000/often/app:1"));
}

TEST(SignedIdentity, MayNameNothingOnlyWhereTheRepositoryIsEnough) {
  using Type = SignedIdentity::Type;
  EXPECT_FALSE(SignedIdentity().AcceptsNone());
  EXPECT_TRUE(SignedIdentity::Make(Type::kMatchRepository, "", "")->AcceptsNone());
  EXPECT_FALSE(SignedIdentity::Make(Type::kExactRepository, "r.example/app", "")->AcceptsNone());
}

}  // namespace
}  // namespace image
