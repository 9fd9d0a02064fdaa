// Pulls under a signature policy, against a registry on 127.0.0.1.
#include "image/signature_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "image/digest.h"
#include "image/signature.h"
#include "image/store.h"
#include "test_key.h"
#include "test_registry.h"

namespace image {
namespace {

using base::Code;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";
const char kIndexType[] = "application/vnd.oci.image.index.v1+json";
const char kBundle[] = "application/vnd.dev.sigstore.bundle.v0.3+json";

std::string TagOf(const std::string& digest, const std::string& suffix) {
  return "sha256-" + digest.substr(7) + suffix;
}

class SignedPull : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "unpacking layers needs root";
    std::string pattern = testing::TempDir() + "/signed-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    registry_.AllowPlainHttp(root_ + "/hosts");
    ASSERT_TRUE(base::WriteFileAtomic(root_ + "/key.pub", key_.Public()).ok());
    ASSERT_TRUE(base::WriteFileAtomic(root_ + "/other.pub", other_key_.Public()).ok());
    registry_.Push("app", "1", image_);
  }
  void TearDown() override {
    store_.reset();
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }

  // A requirement of a signature by the key.
  json Signed(const std::string& identity = "matchRepository", const std::string& key = "key.pub") const {
    return {{"type", "sigstoreSigned"}, {"keyPath", root_ + "/" + key}, {"signedIdentity", {{"type", identity}}}};
  }
  // Opens the store with these requirements for the registry; what else there is, is rejected.
  void OpenStore(const std::vector<json>& requirements, const json& more_scopes = json::object()) {
    json scopes = more_scopes;
    scopes[registry_.authority()] = requirements;
    const json policy = {{"default", {{{"type", "reject"}}}}, {"transports", {{"docker", scopes}}}};
    ASSERT_TRUE(base::WriteFileAtomic(root_ + "/policy.json", policy.dump()).ok());
    Open(root_ + "/policy.json");
  }
  void Open(const std::string& policy) {
    store_.reset();
    StoreOptions options;
    options.root = root_ + "/images";
    options.hosts_directory = root_ + "/hosts";
    options.signature_policy = policy;
    options.idle_timeout = std::chrono::seconds(5);
    auto store = Store::Open(options);
    ASSERT_TRUE(store.ok()) << store.error().message();
    store_ = *std::move(store);
  }

  std::string Name() const { return registry_.authority() + "/app"; }

  // Signs as `cosign sign --key` does.
  void Sign(const TestKey& key, const std::string& digest, const std::string& name,
            const std::string& repository = "app") {
    const std::string payload = SimpleSigning(digest, name);
    PutSignatures(digest, {{payload, key.Sign(payload)}}, repository);
  }
  void PutSignatures(const std::string& digest, const std::vector<SignedPayload>& payloads,
                     const std::string& repository = "app") {
    registry_.PutManifest(repository, TagOf(digest, ".sig"), kManifestType, SignatureManifest(payloads));
    for (const SignedPayload& each : payloads) registry_.PutBlob(Sha256(each.payload), each.payload);
  }
  // Puts a bundle there and gives its descriptor among the referrers.
  json PutBundle(const json& bundle, const std::string& predicate = kSignPredicate) {
    const std::string text = bundle.dump();
    registry_.PutBlob(Sha256(text), text);
    const json manifest = {
        {"schemaVersion", 2},
        {"mediaType", kManifestType},
        {"config", {{"mediaType", "application/vnd.oci.empty.v1+json"}, {"digest", Sha256("{}")}, {"size", 2}}},
        {"layers", {{{"mediaType", kBundle}, {"digest", Sha256(text)}, {"size", text.size()}}}},
        {"annotations", {{kBundlePredicateAnnotation, predicate}}}};
    registry_.PutManifest("app", Sha256(manifest.dump()), kManifestType, manifest.dump());
    return {{"mediaType", kManifestType},
            {"digest", Sha256(manifest.dump())},
            {"size", manifest.dump().size()},
            {"artifactType", kBundle}};
  }
  // Where there is no referrers API.
  void PutReferrersTag(const std::string& digest, const std::vector<json>& descriptors) {
    const json index = {{"schemaVersion", 2}, {"mediaType", kIndexType}, {"manifests", descriptors}};
    registry_.PutManifest("app", TagOf(digest, ""), kIndexType, index.dump());
  }

  base::Result<std::string> PullReference(const std::string& reference) { return store_->Pull(reference, {}, {}); }
  void ExpectPulled(const std::string& reference) {
    const auto id = PullReference(reference);
    ASSERT_TRUE(id.ok()) << id.error().message();
    EXPECT_EQ(*id, image_.config_digest);
    ASSERT_TRUE(store_->Remove(*id).ok());
  }
  // Pulls and expects a refusal that a kubelet understands, with no layer asked for and nothing left on disk.
  void ExpectRefused(const std::string& reference, const std::string& why) {
    const size_t asked = registry_.server().CountRequests("GET", "/v2/app/blobs/" + image_.layer_digests[0]);
    const auto id = PullReference(reference);
    ASSERT_FALSE(id.ok()) << reference << " was pulled";
    EXPECT_EQ(id.error().code(), Code::kUnknown);
    EXPECT_THAT(id.error().message(), StartsWith("SignatureValidationFailed: pull "));
    EXPECT_THAT(id.error().message(), HasSubstr(why));
    EXPECT_EQ(registry_.server().CountRequests("GET", "/v2/app/blobs/" + image_.layer_digests[0]), asked);
    for (const char* folder : {"/l", "/layers", "/staging", "/images", "/removed"}) {
      EXPECT_THAT(*base::ListDirectory(root_ + "/images" + folder), ElementsAre()) << folder;
    }
  }

  std::string root_;
  const TestKey key_;
  const TestKey other_key_;
  const TestImage image_ = MakeImage({TarBuilder().File("motd", "hello\n").Finish()});
  std::string referrers_;  // what the referrers API answers; empty: there is none
  TestRegistry registry_{[this](const TestRequest& request) -> std::optional<TestResponse> {
    if (referrers_.empty() || request.path.find("/referrers/") == std::string::npos) return std::nullopt;
    return TestResponse{.headers = {{"Content-Type", kIndexType}}, .body = referrers_};
  }};
  std::unique_ptr<Store> store_;
};

TEST_F(SignedPull, TakesASignedImageByTagAndByDigest) {
  OpenStore({Signed()});
  Sign(key_, image_.manifest_digest, Name());
  ExpectPulled(Name() + ":1");
  ExpectPulled(Name() + "@" + image_.manifest_digest);
  // What one round trip tells is not asked for in another way.
  EXPECT_EQ(registry_.server().CountRequests("GET", "/v2/app/referrers/" + image_.manifest_digest), 0u);
}

TEST_F(SignedPull, RefusesAnUnsignedImage) {
  OpenStore({Signed()});
  ExpectRefused(Name() + ":1", "scope \"" + registry_.authority() +
                                   "\" of the signature policy: a signature is required, but there is none");
  ExpectRefused(Name() + "@" + image_.manifest_digest, "there is none");
}

TEST_F(SignedPull, RefusesSignaturesThatAreNotTheOne) {
  OpenStore({Signed()});
  Sign(other_key_, image_.manifest_digest, Name());
  ExpectRefused(Name() + ":1", "not by a key that is trusted");
  // Of another image, put to this one's place.
  const std::string other = Sha256("another image");
  const std::string payload = SimpleSigning(other, Name());
  PutSignatures(image_.manifest_digest, {{payload, key_.Sign(payload)}});
  ExpectRefused(Name() + ":1", "for another digest, " + other);
  Sign(key_, image_.manifest_digest, registry_.authority() + "/other");
  ExpectRefused(Name() + ":1", "/other\", which \"signedIdentity\" does not accept");
  // The payload was changed after it was signed.
  PutSignatures(image_.manifest_digest,
                {{SimpleSigning(image_.manifest_digest, Name()), key_.Sign(SimpleSigning(other, Name()))}});
  ExpectRefused(Name() + ":1", "not by a key that is trusted");
}

TEST_F(SignedPull, OneGoodSignatureAmongOthersIsEnough) {
  OpenStore({Signed()});
  const std::string payload = SimpleSigning(image_.manifest_digest, Name());
  PutSignatures(
      image_.manifest_digest,
      {{payload, "nonsense"}, {"{}", "x"}, {payload, other_key_.Sign(payload)}, {payload, key_.Sign(payload)}});
  ExpectPulled(Name() + ":1");
}

TEST_F(SignedPull, EveryRequirementNeedsASignature) {
  OpenStore({Signed(), Signed("matchRepository", "other.pub")});
  const std::string payload = SimpleSigning(image_.manifest_digest, Name());
  PutSignatures(image_.manifest_digest, {{payload, key_.Sign(payload)}});
  ExpectRefused(Name() + ":1", "not by a key that is trusted");
  PutSignatures(image_.manifest_digest, {{payload, key_.Sign(payload)}, {payload, other_key_.Sign(payload)}});
  ExpectPulled(Name() + ":1");
  OpenStore({Signed(), json{{"type", "reject"}}});
  ExpectRefused(Name() + ":1", "rejected whatever its signatures");
}

TEST_F(SignedPull, AnyKeyOfARequirementWillDo) {
  json requirement = Signed();
  requirement.erase("keyPath");
  requirement["keyPaths"] = {root_ + "/other.pub", root_ + "/key.pub"};
  OpenStore({requirement});
  Sign(key_, image_.manifest_digest, Name());
  ExpectPulled(Name() + ":1");
}

TEST_F(SignedPull, TheNameMustBeOneThatTheIdentityAccepts) {
  Sign(key_, image_.manifest_digest, Name());
  json requirement = Signed();
  requirement.erase("signedIdentity");
  OpenStore({requirement});
  // The format's own default, which signatures of cosign alone do not satisfy.
  ExpectRefused(Name() + ":1", "a name without a tag needs \"matchRepository\"");
  Sign(key_, image_.manifest_digest, Name() + ":1");
  ExpectPulled(Name() + ":1");
  ExpectPulled(Name() + "@" + image_.manifest_digest);
  Sign(key_, image_.manifest_digest, Name() + ":2");
  ExpectRefused(Name() + ":1", ":2\", which");
  ExpectPulled(Name() + "@" + image_.manifest_digest);
}

TEST_F(SignedPull, ARejectedImageIsNotEvenAskedFor) {
  OpenStore({Signed()}, {{Name() + ":bad", {{{"type", "reject"}}}}});
  ExpectRefused(Name() + ":bad", "rejected");
  EXPECT_THAT(registry_.server().requests(), testing::IsEmpty());
  // By the default, for another registry.
  const auto id = PullReference("nowhere.example/app:1");
  ASSERT_FALSE(id.ok());
  EXPECT_THAT(id.error().message(),
              StartsWith("SignatureValidationFailed: pull nowhere.example/app:1: \"default\" of the signature policy"));
}

TEST_F(SignedPull, WhatIsAcceptedWithoutSignaturesIsNotAskedForThem) {
  OpenStore({json{{"type", "insecureAcceptAnything"}}});
  ExpectPulled(Name() + ":1");
  EXPECT_EQ(registry_.server().CountRequests("GET", "/v2/app/manifests/" + TagOf(image_.manifest_digest, ".sig")), 0u);
}

TEST_F(SignedPull, AnIndexMayBeSignedOrTheManifestInIt) {
  OpenStore({Signed()});
  const json index = {{"schemaVersion", 2},
                      {"mediaType", kIndexType},
                      {"manifests",
                       {{{"mediaType", image_.manifest_type},
                         {"digest", image_.manifest_digest},
                         {"size", image_.manifest.size()},
                         {"platform", {{"os", "linux"}, {"architecture", HostArchitecture()}}}}}}};
  registry_.PutManifest("app", "both", kIndexType, index.dump());
  ExpectRefused(Name() + ":both", "there is none");
  Sign(key_, Sha256(index.dump()), Name());
  ExpectPulled(Name() + ":both");
  ExpectRefused(Name() + ":1", "there is none");  // the manifest by itself is not signed
  registry_.PutManifest("app", TagOf(Sha256(index.dump()), ".sig"), kManifestType, SignatureManifest({}));
  ExpectRefused(Name() + ":both", "there is none");
  Sign(key_, image_.manifest_digest, Name());
  ExpectPulled(Name() + ":both");
}

TEST_F(SignedPull, APresentImageIsRefusedAllTheSame) {
  Open("");
  ASSERT_TRUE(PullReference(Name() + ":1").ok());
  OpenStore({Signed()});
  const size_t before = registry_.server().requests().size();
  const auto id = PullReference(Name() + ":1");
  ASSERT_FALSE(id.ok());
  EXPECT_THAT(id.error().message(), StartsWith("SignatureValidationFailed: "));
  EXPECT_TRUE((*store_->Find(Name() + ":1")).has_value());
  EXPECT_GT(registry_.server().requests().size(), before);
  Sign(key_, image_.manifest_digest, Name());
  ASSERT_TRUE(PullReference(Name() + ":1").ok());
  EXPECT_EQ(registry_.server().CountRequests("GET", "/v2/app/blobs/" + image_.layer_digests[0]), 1u);
}

TEST_F(SignedPull, ARepairIsUnderThePolicy) {
  Open("");
  const auto id = PullReference(Name() + ":1");
  ASSERT_TRUE(id.ok());
  const std::string file = (*store_->Find(*id))->layer_directories[0] + "/motd";
  OpenStore({Signed()});
  ASSERT_TRUE(base::WriteFileAtomic(file, "other\n", 0644).ok());
  std::vector<CheckedLayer> checked;
  const auto check = [&] {
    checked.clear();
    EXPECT_TRUE(store_->Check(true, [&](const CheckedLayer& layer) { checked.push_back(layer); }, {}).ok());
  };
  check();
  ASSERT_EQ(checked.size(), 1u);
  EXPECT_EQ(checked[0].state, CheckedLayer::State::kDamaged);
  EXPECT_THAT(checked[0].error, HasSubstr("SignatureValidationFailed"));
  EXPECT_EQ(*base::ReadFile(file, 100), "other\n");
  Sign(key_, image_.manifest_digest, Name());
  check();
  EXPECT_EQ(checked[0].state, CheckedLayer::State::kRepaired) << checked[0].error;
  EXPECT_EQ(*base::ReadFile(file, 100), "hello\n");
}

TEST_F(SignedPull, AMirrorIsUnderThePolicyOfTheRegistryThatIsAskedFor) {
  TestRegistry mirror;
  mirror.Push("app", "1", image_);
  OpenStore({Signed()}, {{mirror.authority(), {{{"type", "insecureAcceptAnything"}}}}});
  ASSERT_TRUE(base::WriteFileAtomic(
                  root_ + "/hosts/" + registry_.authority() + "/hosts.toml",
                  "server = \"http://" + registry_.authority() + "\"\n[host.\"http://" + mirror.authority() + "\"]\n")
                  .ok());
  ExpectRefused(Name() + ":1", "there is none");
  // Its signatures may lie in either; the name in them is that of the registry.
  Sign(key_, image_.manifest_digest, Name());
  ExpectPulled(Name() + ":1");
  EXPECT_EQ(mirror.server().CountRequests("GET", "/v2/app/blobs/" + image_.layer_digests[0]), 1u);
}

TEST_F(SignedPull, TakesBundlesFromTheReferrersApi) {
  OpenStore({Signed()});
  const json good = PutBundle(StatementBundle(SignStatement(image_.manifest_digest).dump(), key_));
  const json bad = PutBundle(StatementBundle(SignStatement(image_.manifest_digest).dump(), other_key_));
  referrers_ = json{{"schemaVersion", 2}, {"manifests", json::array({bad})}}.dump();
  ExpectRefused(Name() + ":1", "not by a key that is trusted");
  referrers_ = json{{"schemaVersion", 2}, {"manifests", json::array({bad, good})}}.dump();
  ExpectPulled(Name() + ":1");
}

TEST_F(SignedPull, TakesBundlesByTheTagWhereThereIsNoReferrersApi) {
  OpenStore({Signed()});
  PutReferrersTag(image_.manifest_digest,
                  {PutBundle(StatementBundle(SignStatement(image_.manifest_digest).dump(), key_))});
  ExpectPulled(Name() + ":1");
}

TEST_F(SignedPull, TakesABundleThatSignsTheManifestItself) {
  OpenStore({Signed()});
  PutReferrersTag(image_.manifest_digest, {PutBundle(MessageBundle("another manifest", key_))});
  ExpectRefused(Name() + ":1", "for another digest");
  PutReferrersTag(image_.manifest_digest, {PutBundle(MessageBundle(image_.manifest, key_))});
  ExpectPulled(Name() + ":1");
}

TEST_F(SignedPull, ABundleNamesNoRepositoryAndIsForTheLoosestIdentityAlone) {
  OpenStore({Signed("matchRepoDigestOrExact")});
  PutReferrersTag(image_.manifest_digest,
                  {PutBundle(StatementBundle(SignStatement(image_.manifest_digest).dump(), key_))});
  ExpectRefused(Name() + ":1", "names no repository");
  // One that does name it is held to that.
  OpenStore({Signed()});
  json statement = SignStatement(image_.manifest_digest);
  statement["subject"][0]["name"] = registry_.authority() + "/other";
  PutReferrersTag(image_.manifest_digest, {PutBundle(StatementBundle(statement.dump(), key_))});
  ExpectRefused(Name() + ":1", "/other\", which");
}

TEST_F(SignedPull, AnAttestationIsNoSignature) {
  OpenStore({Signed()});
  json statement = SignStatement(image_.manifest_digest);
  statement["predicateType"] = "https://slsa.dev/provenance/v1";
  const json bundle = StatementBundle(statement.dump(), key_);
  // Whatever its manifest calls it.
  PutReferrersTag(image_.manifest_digest, {PutBundle(bundle, "https://slsa.dev/provenance/v1")});
  ExpectRefused(Name() + ":1", "there is none");
  PutReferrersTag(image_.manifest_digest, {PutBundle(bundle)});
  ExpectRefused(Name() + ":1", "no signature but of type \"https://slsa.dev/provenance/v1\"");
}

TEST_F(SignedPull, HostileSignaturesAreBounded) {
  OpenStore({Signed()});
  const std::string tag = TagOf(image_.manifest_digest, ".sig");
  const auto layer = [](uint64_t size, const std::string& digest) {
    return json{{"mediaType", kSimpleSigningType},
                {"digest", digest},
                {"size", size},
                {"annotations", {{kSimpleSigningAnnotation, "AAAA"}}}};
  };
  const auto put = [&](const json& layers) {
    registry_.PutManifest("app", tag, kManifestType,
                          json{{"schemaVersion", 2}, {"config", json::object()}, {"layers", layers}}.dump());
  };
  put(json::array({layer(uint64_t{1} << 40, Sha256("endless"))}));
  ExpectRefused(Name() + ":1", "bytes allowed");
  put(json::array({layer(3, Sha256("missing"))}));
  ExpectRefused(Name() + ":1", "not found");
  put(json::array({layer(3, Sha256("short"))}));
  registry_.PutBlob(Sha256("short"), "short");
  ExpectRefused(Name() + ":1", "");
  json many = json::array();
  for (int i = 0; i < 1000; ++i) {
    const std::string payload = std::to_string(i);
    registry_.PutBlob(Sha256(payload), payload);
    many.push_back(layer(payload.size(), Sha256(payload)));
  }
  put(many);
  const size_t before = registry_.server().requests().size();
  ExpectRefused(Name() + ":1", "not by a key that is trusted");
  EXPECT_LT(registry_.server().requests().size() - before, 150u);
  registry_.PutManifest("app", tag, kManifestType, std::string(1000, '['));
  ExpectRefused(Name() + ":1", "nested too deep");
  registry_.PutManifest("app", tag, kManifestType, "{}");
  ExpectRefused(Name() + ":1", "no layers");
}

TEST_F(SignedPull, ManyReferrersAreBounded) {
  OpenStore({Signed()});
  std::vector<json> descriptors;
  for (int i = 0; i < 1000; ++i) {
    descriptors.push_back(
        {{"mediaType", kManifestType}, {"digest", Sha256(std::to_string(i))}, {"size", 3}, {"artifactType", kBundle}});
  }
  PutReferrersTag(image_.manifest_digest, descriptors);
  const size_t before = registry_.server().requests().size();
  ExpectRefused(Name() + ":1", "");
  EXPECT_LT(registry_.server().requests().size() - before, 80u);
}

TEST_F(SignedPull, ARegistryThatDoesNotAnswerForSignaturesIsNoRefusal) {
  OpenStore({Signed()});
  TestRegistry broken([](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path.ends_with(".sig")) return TestResponse{.status = 503};
    return std::nullopt;
  });
  broken.Push("app", "1", image_);
  broken.AllowPlainHttp(root_ + "/hosts");
  OpenStore({Signed()}, {{broken.authority(), json::array({Signed()})}});
  const auto id = PullReference(broken.authority() + "/app:1");
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.error().code(), Code::kUnavailable);
  EXPECT_THAT(id.error().message(), HasSubstr("signatures sha256-"));
  EXPECT_THAT(id.error().message(), Not(HasSubstr("SignatureValidationFailed")));
}

TEST_F(SignedPull, ABrokenPolicyKeepsTheStoreClosed) {
  ASSERT_TRUE(base::WriteFileAtomic(root_ + "/policy.json", R"({"default":[{"type":"signedBy"}]})").ok());
  StoreOptions options;
  options.root = root_ + "/images";
  options.signature_policy = root_ + "/policy.json";
  const auto store = Store::Open(options);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(store.error().message(), HasSubstr("policy.json: \"default\", requirement 1: \"signedBy\" is not"));
}

}  // namespace
}  // namespace image
