#include "image/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "image/platform.h"
#include "test_registry.h"

namespace image {
namespace {

using base::Code;
using testing::ElementsAre;

const std::string kDigest = "sha256:" + std::string(64, 'a');

Code CodeOf(const std::string& text, const std::string& type = "") {
  const auto document = ParseManifest(text, type);
  EXPECT_FALSE(document.ok()) << text;
  return document.ok() ? Code::kUnknown : document.error().code();
}

TEST(Manifest, ReadsBothFamilies) {
  for (const bool docker : {false, true}) {
    TestImageOptions options;
    options.docker_types = docker;
    const TestImage image = MakeImage({"", ""}, options);
    const auto document = ParseManifest(image.manifest, "");
    ASSERT_TRUE(document.ok()) << document.error().message();
    const auto& manifest = std::get<Manifest>(*document);
    EXPECT_EQ(manifest.config.digest, image.config_digest);
    EXPECT_EQ(manifest.layers.size(), 2u);
  }
}

TEST(Manifest, WithoutAMediaTypeItsStructureDecides) {
  TestImage image = MakeImage({""});
  image.manifest_json.erase("mediaType");
  EXPECT_TRUE(
      std::holds_alternative<Manifest>(*ParseManifest(image.manifest_json.dump(), "application/json; charset=x")));
  EXPECT_TRUE(std::holds_alternative<Index>(*ParseManifest(R"({"manifests":[]})", "")));
}

TEST(Manifest, AmbiguousDocumentsAreRefused) {
  TestImage image = MakeImage({""});
  image.manifest_json["manifests"] = nlohmann::json::array();
  EXPECT_EQ(CodeOf(image.manifest_json.dump()), Code::kDataLoss);
  image.manifest_json.erase("manifests");
  image.manifest_json["mediaType"] = "application/vnd.oci.image.index.v1+json";
  EXPECT_EQ(CodeOf(image.manifest_json.dump()), Code::kDataLoss);
  EXPECT_EQ(CodeOf(R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]})"), Code::kDataLoss);
}

TEST(Manifest, BrokenDocumentsAreRefused) {
  for (const std::string text :
       {"", "[]", "{", "null", "{}", "{\"config\":1,\"layers\":[]}", "\"x\"", "{\"a\":\"\xFF\"}"}) {
    EXPECT_EQ(CodeOf(text), Code::kDataLoss) << text;
  }
  TestImage image = MakeImage({""});
  auto with_layer = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json changed = image.manifest_json;
    changed["layers"][0][key] = value;
    return changed.dump();
  };
  EXPECT_EQ(CodeOf(with_layer("digest", "sha256:../../etc/passwd")), Code::kDataLoss);
  EXPECT_EQ(CodeOf(with_layer("digest", 7)), Code::kDataLoss);
  EXPECT_EQ(CodeOf(with_layer("size", -1)), Code::kDataLoss);
  EXPECT_EQ(CodeOf(with_layer("size", 1.5)), Code::kDataLoss);
  EXPECT_EQ(CodeOf(with_layer("size", uint64_t{1} << 63)), Code::kDataLoss);
  EXPECT_EQ(CodeOf(with_layer("mediaType", "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")),
            Code::kInvalidArgument);
  nlohmann::json many = image.manifest_json;
  for (int i = 0; i < 127; ++i) many["layers"].push_back(many["layers"][0]);
  EXPECT_EQ(CodeOf(many.dump()), Code::kResourceExhausted);
  EXPECT_EQ(CodeOf("{\"a\":" + std::string(1000, '[') + std::string(1000, ']') + "}"), Code::kDataLoss);
}

TEST(Manifest, Schema1IsRefusedClearly) {
  EXPECT_EQ(CodeOf(R"({"schemaVersion":1})"), Code::kUnimplemented);
  EXPECT_EQ(CodeOf("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"), Code::kUnimplemented);
}

TEST(Config, ReadsWhatContainersNeedAndIgnoresNulls) {
  const auto config = ParseConfig(R"({"os":"linux","architecture":"arm64","variant":"v8",
    "config":{"Entrypoint":null,"Cmd":["a","b"],"Volumes":{"/data":{}},"Labels":{"k":"v"}},
    "rootfs":{"type":"layers","diff_ids":[")" +
                                  kDigest + R"("]}})");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(ToString(config->platform), "linux/arm64/v8");
  EXPECT_THAT(config->config.entrypoint, ElementsAre());
  EXPECT_THAT(config->config.command, ElementsAre("a", "b"));
  EXPECT_THAT(config->config.volumes, ElementsAre("/data"));
  EXPECT_THAT(config->diff_ids, ElementsAre(kDigest));
  EXPECT_FALSE(ParseConfig(R"({"rootfs":{"diff_ids":["x"]}})").ok());
  EXPECT_FALSE(ParseConfig("{}").ok());
}

Descriptor On(const std::string& architecture, const std::string& variant = "") {
  Descriptor out;
  out.platform = Platform{"linux", architecture, variant};
  return out;
}

TEST(Platform, TheBestVariantThatRunsHereIsSelected) {
  const Index index{{On("arm", "v5"), On("arm", "v6"), On("arm", "v7"), On("arm64"), On("amd64"), On("amd64", "v3"),
                     On("386"), On("unknown")}};
  const auto selected = [&](const std::string& machine, int level = 1) {
    const Descriptor* manifest = SelectManifest(index, PlatformsOf(machine, level));
    return manifest == nullptr ? "none" : ToString(*manifest->platform);
  };
  EXPECT_EQ(selected("x86_64", 1), "linux/amd64");
  EXPECT_EQ(selected("x86_64", 2), "linux/amd64");
  EXPECT_EQ(selected("x86_64", 4), "linux/amd64/v3");
  EXPECT_EQ(selected("aarch64"), "linux/arm64");
  EXPECT_EQ(selected("armv7l"), "linux/arm/v7");
  EXPECT_EQ(selected("armv6l"), "linux/arm/v6");
  EXPECT_EQ(selected("i686"), "linux/386");
  EXPECT_EQ(selected("s390x"), "none");
  const Index only_32_bit{{On("386")}};
  EXPECT_NE(SelectManifest(only_32_bit, PlatformsOf("x86_64", 1)), nullptr);
  const Index unknown{{Descriptor{}}};
  EXPECT_NE(SelectManifest(unknown, PlatformsOf("x86_64", 1)), nullptr);
}

TEST(Platform, AnotherOperatingSystemDoesNotFit) {
  EXPECT_FALSE(Fits({"windows", HostArchitecture(), ""}, HostPlatforms()));
  EXPECT_TRUE(Fits({"", "", ""}, HostPlatforms()));
  EXPECT_TRUE(Fits({"linux", HostArchitecture(), ""}, HostPlatforms()));
}

}  // namespace
}  // namespace image
