// Pulls against a registry on 127.0.0.1, into a store on disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "base/files.h"
#include "image/digest.h"
#include "image/store.h"
#include "test_registry.h"

namespace image {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Pull : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "unpacking layers needs root";
    std::string pattern = testing::TempDir() + "/pull-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    OpenStore();
  }
  void TearDown() override {
    store_.reset();
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }

  void OpenStore(std::chrono::seconds idle_timeout = std::chrono::seconds(20),
                 const std::function<void(StoreOptions&)>& change = {}) {
    store_.reset();
    StoreOptions options;
    options.root = root_ + "/images";
    options.hosts_directory = root_ + "/hosts";
    options.idle_timeout = idle_timeout;
    options.most_layer_bytes = uint64_t{64} << 20;
    options.most_layer_entries = 1000;
    if (change) change(options);
    auto store = Store::Open(options);
    ASSERT_TRUE(store.ok()) << store.error().message();
    store_ = *std::move(store);
  }

  void WriteHosts(const std::string& host, const std::string& text) {
    ASSERT_TRUE(base::MakeDirectories(root_ + "/hosts/" + host).ok());
    ASSERT_TRUE(base::WriteFileAtomic(root_ + "/hosts/" + host + "/hosts.toml", text).ok());
  }

  base::Result<std::string> PullReference(const std::string& reference, const Credentials& credentials = {}) {
    return store_->Pull(reference, credentials, {});
  }

  // Pulls and expects it to fail with this code, a text that holds these parts, and nothing left on disk.
  void ExpectFailure(const std::string& reference, Code code, const std::vector<std::string>& parts) {
    const auto id = PullReference(reference);
    ASSERT_FALSE(id.ok());
    EXPECT_EQ(id.error().code(), code) << id.error().message();
    for (const std::string& part : parts) EXPECT_THAT(id.error().message(), HasSubstr(part));
    ExpectNothingLeft();
  }

  void ExpectNothingLeft() {
    for (const char* folder : {"/l", "/layers", "/staging", "/images", "/removed"}) {
      EXPECT_THAT(*base::ListDirectory(root_ + "/images" + folder), ElementsAre()) << folder;
    }
    EXPECT_EQ(store_->Usage()->used_bytes, 0u);
    EXPECT_EQ(store_->Usage()->inodes_used, 0u);
  }

  // Incompressible, so that the transferred layer is as long.
  static std::string Noise(int bytes) {
    std::string noise;
    unsigned state = 1;
    for (int i = 0; i < bytes; ++i) noise += static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
    return noise;
  }
  static std::string TwoFiles() { return TarBuilder().Directory("etc").File("etc/motd", "hello\n").Finish(); }

  std::string root_;
  std::unique_ptr<Store> store_;
};

TEST_F(Pull, GivesTheImageWithItsLayersUnpackedLowestFirst) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const std::string upper = TarBuilder().Directory("etc").File("etc/issue", "upper\n").Finish();
  TestImageOptions options;
  options.config = {{"Entrypoint", {"/bin/sh"}}, {"Cmd", {"-c", "true"}},
                    {"Env", {"PATH=/bin"}},      {"User", "7:8"},
                    {"WorkingDir", "/srv"},      {"StopSignal", "SIGINT"},
                    {"Labels", {{"a", "b"}}},    {"ExposedPorts", {{"80/tcp", nlohmann::json::object()}}}};
  const TestImage image = MakeImage({TwoFiles(), upper}, options);
  registry.Push("team/app", "1.0", image);
  const std::string name = registry.authority() + "/team/app";

  const auto id = PullReference(name + ":1.0");
  ASSERT_TRUE(id.ok()) << id.error().message();
  EXPECT_EQ(*id, image.config_digest);
  const auto found = *store_->Find(name + ":1.0");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, image.config_digest);
  EXPECT_THAT(found->tags, ElementsAre(name + ":1.0"));
  EXPECT_THAT(found->digests, ElementsAre(name + "@" + image.manifest_digest));
  EXPECT_EQ(found->size, image.config.size() + image.layers[0].size() + image.layers[1].size());
  EXPECT_EQ(found->raw_config, image.config);
  EXPECT_EQ(found->os, "linux");
  EXPECT_EQ(found->architecture, HostArchitecture());
  EXPECT_THAT(found->config.entrypoint, ElementsAre("/bin/sh"));
  EXPECT_THAT(found->config.command, ElementsAre("-c", "true"));
  EXPECT_THAT(found->config.environment, ElementsAre("PATH=/bin"));
  EXPECT_EQ(found->config.user, "7:8");
  EXPECT_EQ(found->config.working_directory, "/srv");
  EXPECT_EQ(found->config.stop_signal, "SIGINT");
  EXPECT_THAT(found->config.labels, ElementsAre(std::pair("a", "b")));
  EXPECT_THAT(found->config.exposed_ports, ElementsAre("80/tcp"));
  ASSERT_EQ(found->layer_directories.size(), 2u);
  EXPECT_EQ(*base::ReadFile(found->layer_directories[0] + "/etc/motd", 100), "hello\n");
  EXPECT_EQ(*base::ReadFile(found->layer_directories[1] + "/etc/issue", 100), "upper\n");
  for (const std::string& directory : found->layer_directories) {
    EXPECT_EQ(std::filesystem::path(directory).parent_path(), root_ + "/images/l");
    EXPECT_LE(std::filesystem::path(directory).filename().string().size(), 16u);
    struct stat info {};
    ASSERT_EQ(::stat(directory.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0755u);
  }
  EXPECT_GT(store_->Usage()->used_bytes, 0u);
}

TEST_F(Pull, TakesEveryCompressionAndBothFamiliesOfMediaTypes) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  for (const Compression compression : {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    for (const bool docker : {false, true}) {
      TestImageOptions options;
      options.compression = compression;
      options.docker_types = docker;
      registry.Push("app", "x", MakeImage({TwoFiles()}, options));
      const auto id = PullReference(registry.authority() + "/app:x");
      ASSERT_TRUE(id.ok()) << id.error().message();
      const auto found = *store_->Find(*id);
      EXPECT_EQ(*base::ReadFile(found->layer_directories[0] + "/etc/motd", 100), "hello\n");
      ASSERT_TRUE(store_->Remove(*id).ok());
      ExpectNothingLeft();
    }
  }
}

TEST_F(Pull, SelectsThisPlatformFromAnIndex) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const TestImage image = MakeImage({TwoFiles()});
  TestImageOptions other_options;
  other_options.architecture = "mips64le";
  const TestImage other = MakeImage({TwoFiles()}, other_options);
  registry.Push("app", "ours", image);
  registry.Push("app", "theirs", other);
  const auto entry = [](const TestImage& of, const std::string& architecture) {
    return nlohmann::json{{"mediaType", of.manifest_type},
                          {"digest", of.manifest_digest},
                          {"size", of.manifest.size()},
                          {"platform", {{"os", "linux"}, {"architecture", architecture}}}};
  };
  const std::string type = "application/vnd.oci.image.index.v1+json";
  const nlohmann::json index = {{"schemaVersion", 2},
                                {"mediaType", type},
                                {"manifests", {entry(other, "mips64le"), entry(image, HostArchitecture())}}};
  registry.PutManifest("app", "both", type, index.dump());
  const auto id = PullReference(registry.authority() + "/app:both");
  ASSERT_TRUE(id.ok()) << id.error().message();
  EXPECT_EQ(*id, image.config_digest);
  EXPECT_THAT((*store_->Find(*id))->digests, ElementsAre(registry.authority() + "/app@" + Sha256(index.dump())));
  ASSERT_TRUE(store_->Remove(*id).ok());

  const nlohmann::json foreign = {{"schemaVersion", 2}, {"mediaType", type}, {"manifests", {entry(other, "mips64le")}}};
  registry.PutManifest("app", "foreign", type, foreign.dump());
  ExpectFailure(registry.authority() + "/app:foreign", Code::kNotFound,
                {"/app:foreign: not found for this node's platform linux/", "linux/mips64le"});
  ExpectFailure(registry.authority() + "/app:theirs", Code::kNotFound, {"not found for this node's platform"});
}

TEST_F(Pull, ByDigestTakesExactlyThisImage) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const TestImage image = MakeImage({TwoFiles()});
  registry.Push("app", "x", image);
  const std::string name = registry.authority() + "/app@" + image.manifest_digest;
  const auto id = PullReference(name);
  ASSERT_TRUE(id.ok()) << id.error().message();
  const auto found = *store_->Find(name);
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(found->tags, ElementsAre());
  EXPECT_THAT(found->digests, ElementsAre(name));
}

TEST_F(Pull, AnUnknownImageIsNotFound) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(registry.authority() + "/nope:1", Code::kNotFound,
                {"pull " + registry.authority() + "/nope:1: ", ": not found", "MANIFEST_UNKNOWN"});
}

TEST_F(Pull, PlainHttpIsNotUsedForAHostThatIsNotConfiguredSo) {
  OpenStore(std::chrono::seconds(1));
  TestRegistry registry;
  registry.Push("app", "x", MakeImage({TwoFiles()}));
  const auto id = PullReference(registry.authority() + "/app:x");
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.error().code(), Code::kUnavailable);
  EXPECT_TRUE(registry.server().requests().empty());
}

TEST_F(Pull, AManifestWithAWrongDigestIsRefused) {
  TestRegistry registry([](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path.find("/manifests/") == std::string::npos) return std::nullopt;
    return TestResponse{.body = "{\"schemaVersion\":2}"};
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(registry.authority() + "/app@sha256:" + std::string(64, 'a'), Code::kDataLoss, {"wrong digest"});
}

TEST_F(Pull, ALayerWithAWrongDigestIsRefused) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const TestImage image = MakeImage({TwoFiles()});
  registry.Push("app", "x", image);
  std::string changed = image.layers[0];
  changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] ^ 1);
  registry.PutBlob(image.layer_digests[0], changed);
  ExpectFailure(registry.authority() + "/app:x", Code::kDataLoss,
                {"/app:x: ", "layer " + image.layer_digests[0], "wrong digest"});
}

TEST_F(Pull, ATruncatedLayerIsRefused) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const TestImage image = MakeImage({TwoFiles()});
  registry.Push("app", "x", image);
  registry.PutBlob(image.layer_digests[0], image.layers[0].substr(0, image.layers[0].size() / 2));
  ExpectFailure(registry.authority() + "/app:x", Code::kDataLoss,
                {"layer " + image.layer_digests[0], "the manifest states"});
}

TEST_F(Pull, ALayerWhoseContentIsCutOffInTheArchiveIsRefused) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const std::string tar = TarBuilder().File("big", std::string(100'000, 'x')).Finish();
  TestImageOptions options;
  options.compression = Compression::kNone;
  const TestImage image = MakeImage({tar.substr(0, 50'000)}, options);
  registry.Push("app", "x", image);
  ExpectFailure(registry.authority() + "/app:x", Code::kDataLoss, {"layer " + image.layer_digests[0], "\"big\""});
}

TEST_F(Pull, ALayerWithAnotherDiffIdIsRefused) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  TestImage image = MakeImage({TwoFiles()});
  nlohmann::json config = nlohmann::json::parse(image.config);
  config["rootfs"]["diff_ids"][0] = "sha256:" + std::string(64, 'b');
  image.config = config.dump();
  image.config_digest = Sha256(image.config);
  image.manifest_json["config"]["digest"] = image.config_digest;
  image.manifest_json["config"]["size"] = image.config.size();
  image.manifest = image.manifest_json.dump();
  registry.Push("app", "x", image);
  ExpectFailure(registry.authority() + "/app:x", Code::kDataLoss, {"wrong diff ID"});
}

TEST_F(Pull, HostileLayersAreRefusedAndLeaveNothing) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {TarBuilder().File("ok", "1").File("../escaped", "1").Finish(), "leads out of the layer with \"..\""},
      {TarBuilder().Symlink("link", "/tmp").File("link/escaped", "1").Finish(),
       "out of the layer through a symbolic link"},
      {TarBuilder().Symlink("link", "../../..").File("link/escaped", "1").Finish(),
       "out of the layer through a symbolic link"},
      {TarBuilder().File("big", std::string(65 << 20, '\0')).Finish(), "bytes allowed"},
  };
  for (const auto& [tar, why] : cases) {
    const TestImage image = MakeImage({TwoFiles(), tar});
    registry.Push("app", "x", image);
    const auto id = PullReference(registry.authority() + "/app:x");
    ASSERT_FALSE(id.ok());
    EXPECT_THAT(id.error().message(), HasSubstr(why));
    EXPECT_THAT(id.error().message(), HasSubstr("layer " + image.layer_digests[1]));
    EXPECT_THAT(id.error().code(), testing::AnyOf(Code::kDataLoss, Code::kResourceExhausted));
    ExpectNothingLeft();
    EXPECT_FALSE(std::filesystem::exists("/tmp/escaped"));
  }
}

TEST_F(Pull, ARegistryThatAnswersGarbageIsReported) {
  TestRegistry html([](const TestRequest&) { return TestResponse{.body = "<html>hello</html>"}; });
  html.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(html.authority() + "/app:x", Code::kDataLoss, {"not valid JSON"});
  TestRegistry noise([](const TestRequest&) { return TestResponse{.raw = "\x01\x02\x03garbage\r\n\r\n"}; });
  noise.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(noise.authority() + "/app:x", Code::kUnavailable, {noise.authority()});
  TestRegistry deep([](const TestRequest&) { return TestResponse{.body = std::string(100'000, '[')}; });
  deep.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(deep.authority() + "/app:x", Code::kDataLoss, {"nested too deep"});
  TestRegistry large([](const TestRequest&) { return TestResponse{.body = std::string((4 << 20) + 1, ' ')}; });
  large.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(large.authority() + "/app:x", Code::kResourceExhausted, {"longer than"});
}

TEST_F(Pull, ARegistryThatAnswers500IsTriedAFewTimesAndThenUnavailable) {
  TestRegistry registry([](const TestRequest&) { return TestResponse{.status = 500}; });
  registry.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(registry.authority() + "/app:x", Code::kUnavailable, {"500"});
  EXPECT_EQ(registry.server().requests().size(), 4u);
}

TEST_F(Pull, APassingFailureIsRetried) {
  std::atomic<int> failures{2};
  TestRegistry registry([&](const TestRequest&) -> std::optional<TestResponse> {
    if (failures-- > 0) return TestResponse{.status = 429, .headers = {{"Retry-After", "0"}}};
    return std::nullopt;
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", MakeImage({TwoFiles()}));
  const auto id = PullReference(registry.authority() + "/app:x");
  EXPECT_TRUE(id.ok()) << id.error().message();
}

TEST_F(Pull, ARegistryThatHangsIsUnavailableAfterTheIdleTimeout) {
  OpenStore(std::chrono::seconds(1));
  TestRegistry silent([](const TestRequest&) { return TestResponse{.silent = true}; });
  silent.AllowPlainHttp(root_ + "/hosts");
  const auto start = std::chrono::steady_clock::now();
  ExpectFailure(silent.authority() + "/app:x", Code::kUnavailable, {"nothing received for 1 seconds"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(Pull, ARegistryThatDripsIsUnavailable) {
  OpenStore(std::chrono::seconds(1));
  const TestImage image = MakeImage({TarBuilder().File("noise", Noise(100'000)).Finish()});
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (!request.path.ends_with(image.layer_digests[0])) return std::nullopt;
    return TestResponse{.body = image.layers[0], .drip_after = 1000};
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", image);
  const auto start = std::chrono::steady_clock::now();
  ExpectFailure(registry.authority() + "/app:x", Code::kUnavailable, {"too slow", image.layer_digests[0]});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(Pull, ARegistryThatIsSlowButGoesOnIsWaitedFor) {
  OpenStore(std::chrono::seconds(1));
  const TestImage image = MakeImage({TarBuilder().File("noise", Noise(20'000)).Finish()});
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (!request.path.ends_with(image.layer_digests[0])) return std::nullopt;
    // Longer than the time over which the rate is measured, and six times as fast as it has to be.
    return TestResponse{
        .body = image.layers[0], .drip_after = 8'000, .drip_pause = std::chrono::milliseconds(10), .drip_bytes = 64};
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", image);
  const auto id = PullReference(registry.authority() + "/app:x");
  EXPECT_TRUE(id.ok()) << id.error().message();
}

TEST_F(Pull, ALayerThatBreaksOffGoesOnFromThere) {
  const std::string noise = Noise(600'000);
  const TestImage image = MakeImage({TarBuilder().File("noise", noise).Finish()});
  std::atomic<bool> cut{true};
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path.ends_with(image.layer_digests[0]) && cut.exchange(false)) {
      return TestResponse{.body = image.layers[0], .cut_after = 400'000};
    }
    return std::nullopt;
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", image);
  const auto id = PullReference(registry.authority() + "/app:x");
  ASSERT_TRUE(id.ok()) << id.error().message();
  EXPECT_EQ(*base::ReadFile((*store_->Find(*id))->layer_directories[0] + "/noise", 1 << 20), noise);
  EXPECT_EQ(registry.server().requests().back().Header("range").substr(0, 6), "bytes=");
}

TEST_F(Pull, ACancelledPullEndsAtOnceAndLeavesNothing) {
  const TestImage image = MakeImage({TwoFiles(), TarBuilder().File("x", "y").Finish()});
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (!request.path.ends_with(image.layer_digests[1])) return std::nullopt;
    return TestResponse{.body = image.layers[1], .hang_after = 10};
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", image);
  std::stop_source stop;
  std::thread canceller([&] {
    while (registry.server().CountRequests("GET", "/v2/app/blobs/" + image.layer_digests[1]) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  const auto id = store_->Pull(registry.authority() + "/app:x", {}, stop.get_token());
  canceller.join();
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.error().code(), Code::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  ExpectNothingLeft();
}

TEST_F(Pull, ConcurrentPullsFetchEverythingOnce) {
  const TestImage image = MakeImage({TwoFiles(), TarBuilder().File("x", "y").Finish()});
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path.find("/blobs/") != std::string::npos) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return std::nullopt;
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", image);
  std::vector<std::thread> threads;
  threads.reserve(6);
  std::atomic<int> good{0};
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      if (PullReference(registry.authority() + "/app:x").ok()) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 6);
  for (const std::string& digest : image.layer_digests) {
    EXPECT_EQ(registry.server().CountRequests("GET", "/v2/app/blobs/" + digest), 1u);
  }
  EXPECT_EQ(registry.server().CountRequests("GET", "/v2/app/manifests/x"), 1u);
  EXPECT_EQ(registry.server().CountRequests("GET", "/v2/app/blobs/" + image.config_digest), 1u);
  EXPECT_EQ(store_->List().size(), 1u);
  ASSERT_TRUE(store_->Remove(registry.authority() + "/app:x").ok());
  ExpectNothingLeft();
}

// Lets a registry's answers wait until the test says so.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST_F(Pull, ACancelledPullGoesOnForThoseWhoWaitForIt) {
  const TestImage first = MakeImage({TwoFiles()});
  const TestImage second = MakeImage({TwoFiles(), TarBuilder().File("x", "y").Finish()});
  // Of the same image, and of another one with the same layer.
  for (const std::string tag : {"first", "second"}) {
    OpenStore();
    Gate gate;
    TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
      if (request.path.ends_with(first.layer_digests[0])) gate.Pass();
      return std::nullopt;
    });
    registry.AllowPlainHttp(root_ + "/hosts");
    registry.Push("app", "first", first);
    registry.Push("app", "second", second);
    const std::string layer = "/v2/app/blobs/" + first.layer_digests[0];
    std::stop_source stop;
    std::thread cancelled([&] { (void)store_->Pull(registry.authority() + "/app:first", {}, stop.get_token()); });
    while (registry.server().CountRequests("GET", layer) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    base::Result<std::string> id = base::NotFound("");
    std::thread waiting([&] { id = PullReference(registry.authority() + "/app:" + tag); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop.request_stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    gate.Open();
    cancelled.join();
    waiting.join();
    ASSERT_TRUE(id.ok()) << id.error().message();
    EXPECT_EQ(registry.server().CountRequests("GET", layer), 1u) << tag;
    EXPECT_TRUE(std::filesystem::exists((*store_->Find(*id))->layer_directories[0] + "/etc/motd"));
    ASSERT_TRUE(store_->Remove(*id).ok());
    for (const Image& image : store_->List()) ASSERT_TRUE(store_->Remove(image.id).ok());
    ExpectNothingLeft();
  }
}

TEST_F(Pull, APullThatOnlyWaitedCanBeCancelledAlone) {
  const TestImage image = MakeImage({TwoFiles()});
  Gate gate;
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path.ends_with(image.layer_digests[0])) gate.Pass();
    return std::nullopt;
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", image);
  base::Result<std::string> id = base::NotFound("");
  std::thread first([&] { id = PullReference(registry.authority() + "/app:x"); });
  while (registry.server().CountRequests("GET", "/v2/app/blobs/" + image.layer_digests[0]) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::stop_source stop;
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop.request_stop();
  });
  const auto second = store_->Pull(registry.authority() + "/app:x", {}, stop.get_token());
  stopper.join();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::kCancelled);
  gate.Open();
  first.join();
  EXPECT_TRUE(id.ok()) << id.error().message();
}

TEST_F(Pull, LayersAtOnceAreBoundedForAnImageARegistryAndInAll) {
  const auto most_at_once = [&](const std::function<void(StoreOptions&)>& change) {
    OpenStore(std::chrono::seconds(20), change);
    std::atomic<int> now{0};
    std::atomic<int> most{0};
    std::set<std::string> layers;
    TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
      if (!layers.contains(request.path.substr(request.path.rfind('/') + 1))) return std::nullopt;
      const int count = ++now;
      for (int seen = most; count > seen && !most.compare_exchange_weak(seen, count);) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      --now;
      return std::nullopt;
    });
    registry.AllowPlainHttp(root_ + "/hosts");
    for (const std::string tag : {"a", "b"}) {
      std::vector<std::string> tars;
      for (int i = 0; i < 6; ++i) tars.push_back(TarBuilder().File(tag, tag + std::to_string(i)).Finish());
      const TestImage image = MakeImage(tars);
      layers.insert(image.layer_digests.begin(), image.layer_digests.end());
      registry.Push("app", tag, image);
    }
    std::thread other([&] { EXPECT_TRUE(PullReference(registry.authority() + "/app:b").ok()); });
    EXPECT_TRUE(PullReference(registry.authority() + "/app:a").ok());
    other.join();
    for (const Image& image : store_->List()) EXPECT_TRUE(store_->Remove(image.id).ok());
    return most.load();
  };
  EXPECT_LE(most_at_once([](StoreOptions& options) { options.parallel_layers = 1; }), 1);
  EXPECT_LE(most_at_once([](StoreOptions& options) { options.parallel_layers_per_image = 1; }), 2);
  EXPECT_LE(most_at_once([](StoreOptions& options) { options.parallel_layers_per_registry = 3; }), 3);
}

TEST_F(Pull, ABombIsRefusedByWhatTheManifestStates) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  // As zstd 40 MB of zeros are about a kilobyte, which gzip could not make of them.
  const std::string zeros = TarBuilder().File("zeros", std::string(40 << 20, '\0')).Finish();
  TestImageOptions options;
  options.compression = Compression::kZstd;
  registry.Push("app", "bomb", MakeImage({zeros}, options));
  ExpectFailure(registry.authority() + "/app:bomb", Code::kResourceExhausted,
                {"bytes allowed for a layer of its size"});
  options.compression = Compression::kGzip;
  registry.Push("app", "large", MakeImage({zeros}, options));
  const auto id = PullReference(registry.authority() + "/app:large");
  EXPECT_TRUE(id.ok()) << id.error().message();
}

TEST_F(Pull, AFailingPullDoesNotTakeASharedLayerWithIt) {
  const std::string shared = TwoFiles();
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "good", MakeImage({shared}));
  const TestImage bad = MakeImage({shared, TarBuilder().File("../x", "y").Finish()});
  registry.Push("app", "bad", bad);
  ASSERT_TRUE(PullReference(registry.authority() + "/app:good").ok());
  ASSERT_FALSE(PullReference(registry.authority() + "/app:bad").ok());
  ASSERT_EQ(store_->List().size(), 1u);
  EXPECT_EQ(*base::ReadFile(store_->List()[0].layer_directories[0] + "/etc/motd", 100), "hello\n");
  EXPECT_EQ(registry.server().CountRequests("GET", "/v2/app/blobs/" + bad.layer_digests[0]), 1u);
}

TEST_F(Pull, ALayerThatAnImageHasTwiceIsMountedOnceAtItsUpperPlace) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const std::string other = TarBuilder().File("x", "y").Finish();
  registry.Push("app", "x", MakeImage({TwoFiles(), other, TwoFiles()}));
  const auto id = PullReference(registry.authority() + "/app:x");
  ASSERT_TRUE(id.ok()) << id.error().message();
  const auto directories = (*store_->Find(*id))->layer_directories;
  ASSERT_EQ(directories.size(), 2u);
  EXPECT_TRUE(std::filesystem::exists(directories[1] + "/etc/motd"));
}

TEST_F(Pull, ATagThatMovedNamesTheNewImageAlone) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const std::string tag = registry.authority() + "/app:x";
  const TestImage old_image = MakeImage({TwoFiles()});
  const TestImage new_image = MakeImage({TarBuilder().File("x", "y").Finish()});
  registry.Push("app", "x", old_image);
  ASSERT_TRUE(PullReference(tag).ok());
  registry.Push("app", "x", new_image);
  ASSERT_TRUE(PullReference(tag).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ((*store_->Find(tag))->id, new_image.config_digest);
    EXPECT_THAT((*store_->Find(old_image.config_digest))->tags, ElementsAre());
    EXPECT_EQ((*store_->Find(old_image.config_digest))->digests.size(), 1u);
    OpenStore();
  }
}

TEST_F(Pull, ABearerTokenIsFetchedWithTheCredentialsAndUsed) {
  std::string realm;
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path == "/token") {
      EXPECT_EQ(request.Header("authorization"), "Basic dXNlcjpzZWNyZXQ=");
      EXPECT_THAT(request.query, HasSubstr("service=test"));
      EXPECT_THAT(request.query, HasSubstr("scope=repository%3Aapp%3Apull"));
      return TestResponse{.body = R"({"access_token":"tok-1"})"};
    }
    if (request.Header("authorization") == "Bearer tok-1") return std::nullopt;
    return TestResponse{.status = 401,
                        .headers = {{"WWW-Authenticate",
                                     "Bearer realm=\"" + realm + "\",service=\"test\",scope=\"repository:app:pull\""}}};
  });
  realm = "http://" + registry.authority() + "/token";
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", MakeImage({TwoFiles()}));
  Credentials credentials;
  credentials.username = "user";
  credentials.password = "secret";
  const auto id = PullReference(registry.authority() + "/app:x", credentials);
  ASSERT_TRUE(id.ok()) << id.error().message();
  EXPECT_EQ(registry.server().CountRequests("GET", "/token"), 1u);
}

TEST_F(Pull, ATokenThatRunsOutIsRenewed) {
  std::string realm;
  std::atomic<int> token{0};
  std::atomic<int> uses{0};
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path == "/token") return TestResponse{.body = R"({"token":"t)" + std::to_string(++token) + "\"}"};
    // Each token serves two requests.
    if (request.Header("authorization") == "Bearer t" + std::to_string(token) && uses++ / 2 < token)
      return std::nullopt;
    return TestResponse{.status = 401, .headers = {{"WWW-Authenticate", "Bearer realm=\"" + realm + "\""}}};
  });
  realm = "http://" + registry.authority() + "/token";
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", MakeImage({TwoFiles()}));
  const auto id = PullReference(registry.authority() + "/app:x");
  EXPECT_TRUE(id.ok()) << id.error().message();
  EXPECT_GE(token, 2);
}

TEST_F(Pull, AnIdentityTokenIsExchangedByPost) {
  std::string realm;
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.path == "/token") {
      EXPECT_EQ(request.method, "POST");
      EXPECT_THAT(request.body, HasSubstr("grant_type=refresh_token"));
      EXPECT_THAT(request.body, HasSubstr("refresh_token=identity%2Fsecret"));
      EXPECT_THAT(request.query, Not(HasSubstr("identity")));
      return TestResponse{.body = R"({"access_token":"tok"})"};
    }
    if (request.Header("authorization") == "Bearer tok") return std::nullopt;
    return TestResponse{.status = 401,
                        .headers = {{"WWW-Authenticate", "Bearer realm=\"" + realm + "\",service=\"s\""}}};
  });
  realm = "http://" + registry.authority() + "/token";
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", MakeImage({TwoFiles()}));
  Credentials credentials;
  credentials.identity_token = "identity/secret";
  const auto id = PullReference(registry.authority() + "/app:x", credentials);
  EXPECT_TRUE(id.ok()) << id.error().message();
}

TEST_F(Pull, BasicAuthenticationWorksAndWrongCredentialsAreReportedWithoutThem) {
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.Header("authorization") == "Basic dXNlcjpzZWNyZXQ=") return std::nullopt;
    return TestResponse{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", MakeImage({TwoFiles()}));
  Credentials credentials;
  credentials.auth = "dXNlcjpzZWNyZXQ=";
  const auto id = PullReference(registry.authority() + "/app:x", credentials);
  EXPECT_TRUE(id.ok()) << id.error().message();

  credentials = {};
  credentials.username = "user";
  credentials.password = "wrong-password";
  const auto refused = PullReference(registry.authority() + "/app:x", credentials);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUnauthenticated);
  EXPECT_THAT(refused.error().message(), Not(HasSubstr("wrong-password")));

  credentials = {};
  credentials.username = "user";
  credentials.password = "secret";
  credentials.server_address = "https://elsewhere.example";
  const auto elsewhere = PullReference(registry.authority() + "/app:x", credentials);
  ASSERT_FALSE(elsewhere.ok());
  EXPECT_EQ(elsewhere.error().code(), Code::kUnauthenticated);
}

TEST_F(Pull, ADeniedPullIsPermissionDenied) {
  TestRegistry registry([&](const TestRequest&) {
    return TestResponse{.status = 403, .body = R"({"errors":[{"code":"DENIED","message":"no\u001b[31m"}]})"};
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(registry.authority() + "/app:x", Code::kPermissionDenied, {"DENIED", "\\x1b"});
}

TEST_F(Pull, ARedirectToAnotherHostGetsNoCredentials) {
  const TestImage image = MakeImage({TwoFiles()});
  TestServer storage([&](const TestRequest&) { return TestResponse{.body = image.layers[0]}; });
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (request.Header("authorization").empty()) {
      return TestResponse{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
    }
    EXPECT_EQ(request.Header("x-extra"), "yes");
    if (!request.path.ends_with(image.layer_digests[0])) return std::nullopt;
    return TestResponse{.status = 307,
                        .headers = {{"Location", "http://" + storage.authority() + "/data?signature=s3cret"}}};
  });
  WriteHosts(registry.authority(), "server = \"http://" + registry.authority() + "\"\n[header]\nX-Extra = \"yes\"\n");
  registry.Push("app", "x", image);
  Credentials credentials;
  credentials.username = "user";
  credentials.password = "secret";
  const auto id = PullReference(registry.authority() + "/app:x", credentials);
  ASSERT_TRUE(id.ok()) << id.error().message();
  ASSERT_EQ(storage.requests().size(), 1u);
  EXPECT_EQ(storage.requests()[0].Header("authorization"), "");
  EXPECT_EQ(storage.requests()[0].Header("x-extra"), "");
  EXPECT_EQ(storage.requests()[0].query, "signature=s3cret");
}

TEST_F(Pull, RedirectsGoToHttpAloneAndEnd) {
  TestRegistry file([&](const TestRequest&) {
    return TestResponse{.status = 302, .headers = {{"Location", "file:///etc/passwd"}}};
  });
  file.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(file.authority() + "/app:x", Code::kUnknown, {"neither http nor https"});
  TestRegistry loop([&](const TestRequest& request) {
    return TestResponse{.status = 302, .headers = {{"Location", request.path}}};
  });
  loop.AllowPlainHttp(root_ + "/hosts");
  ExpectFailure(loop.authority() + "/app:x", Code::kUnknown, {"too many redirects"});
}

TEST_F(Pull, MirrorsAreTriedInOrderAndTheRegistryLast) {
  const TestImage image = MakeImage({TwoFiles()});
  TestRegistry broken([](const TestRequest&) { return TestResponse{.status = 404}; });
  TestRegistry mirror;
  TestRegistry upstream;
  mirror.Push("library/app", "x", image);
  upstream.Push("library/app", "x", image);
  WriteHosts("docker.io", "server = \"http://" + upstream.authority() + "\"\n[host.\"http://" + mirror.authority() +
                              "\"]\ncapabilities = [\"pull\", \"resolve\"]\n[host.\"http://" + broken.authority() +
                              "\"]\n");
  Credentials credentials;
  credentials.username = "user";
  credentials.password = "secret";
  const auto id = PullReference("app:x", credentials);
  ASSERT_TRUE(id.ok()) << id.error().message();
  EXPECT_TRUE(broken.server().requests().empty());
  EXPECT_TRUE(upstream.server().requests().empty());
  for (const TestRequest& request : mirror.server().requests()) EXPECT_EQ(request.query, "ns=docker.io");
  EXPECT_THAT((*store_->Find("app:x"))->tags, ElementsAre("docker.io/library/app:x"));
  ASSERT_TRUE(store_->Remove("app:x").ok());

  // The order is that of the file, and each host is asked for what the ones before it do not have.
  WriteHosts("docker.io",
             "server = \"http://" + upstream.authority() + "\"\n[host.\"http://" + broken.authority() + "\"]\n");
  ASSERT_TRUE(PullReference("app:x").ok());
  EXPECT_FALSE(broken.server().requests().empty());
  EXPECT_FALSE(upstream.server().requests().empty());
}

// An environment variable that is set until the end of the scope.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST_F(Pull, AProxyOfTheEnvironmentIsUsedButNotForThisMachine) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  const TestImage image = MakeImage({TwoFiles()});
  registry.Push("app", "x", image);
  // This machine by a name that does not say so.
  const std::string other_name = "0.0.0.0" + registry.authority().substr(registry.authority().find(':'));
  WriteHosts(other_name, "server = \"http://" + other_name + "\"\n");
  TestServer proxy([&](const TestRequest& request) -> TestResponse {
    if (!request.path.starts_with("http://" + other_name + "/v2/app/")) return {.status = 403};
    if (request.path.ends_with("/manifests/x")) {
      return {.headers = {{"Content-Type", image.manifest_type}}, .body = image.manifest};
    }
    return {.body = request.path.ends_with(image.config_digest) ? image.config : image.layers[0]};
  });
  const auto pull = [&](const std::string& name) {
    const size_t by_proxy = proxy.requests().size();
    const size_t direct = registry.server().requests().size();
    const auto id = PullReference(name + "/app:x");
    EXPECT_TRUE(id.ok() && store_->Remove(*id).ok());
    return std::pair(proxy.requests().size() - by_proxy, registry.server().requests().size() - direct);
  };
  for (const char* name : {"HTTP_PROXY", "http_proxy"}) {
    const Variable variable(name, "http://" + proxy.authority());
    EXPECT_EQ(pull(other_name), std::pair(size_t{3}, size_t{0}));
    EXPECT_EQ(pull(registry.authority()), std::pair(size_t{0}, size_t{3}));
    const Variable none("NO_PROXY", "elsewhere.example,0.0.0.0");
    EXPECT_EQ(pull(other_name), std::pair(size_t{0}, size_t{3}));
  }
}

TEST_F(Pull, AMirrorWithABadCopyIsLeftForTheRegistry) {
  const TestImage image = MakeImage({TwoFiles()});
  TestRegistry mirror;
  TestRegistry upstream;
  mirror.Push("library/app", "x", image);
  upstream.Push("library/app", "x", image);
  std::string changed = image.layers[0];
  changed.back() = static_cast<char>(changed.back() ^ 1);
  mirror.PutBlob(image.layer_digests[0], changed);
  WriteHosts("docker.io",
             "server = \"http://" + upstream.authority() + "\"\n[host.\"http://" + mirror.authority() + "\"]\n");
  const auto id = PullReference("app:x");
  ASSERT_TRUE(id.ok()) << id.error().message();
  EXPECT_EQ(*base::ReadFile((*store_->Find(*id))->layer_directories[0] + "/etc/motd", 100), "hello\n");
}

TEST_F(Pull, ALayerThatRegistriesDoNotDistributeComesFromItsUrl) {
  TestImage image = MakeImage({TwoFiles()});
  TestServer elsewhere([&](const TestRequest& request) {
    EXPECT_EQ(request.Header("authorization"), "");
    return TestResponse{.body = image.layers[0]};
  });
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  nlohmann::json& layer = image.manifest_json["layers"][0];
  layer["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
  layer["urls"] = {"file:///etc/passwd", "http://" + elsewhere.authority() + "/layer"};
  registry.PutManifest("app", "x", image.manifest_type, image.manifest_json.dump());
  registry.PutBlob(image.config_digest, image.config);
  const auto id = PullReference(registry.authority() + "/app:x");
  ASSERT_TRUE(id.ok()) << id.error().message();
  EXPECT_EQ(elsewhere.requests().size(), 1u);
}

TEST_F(Pull, AnErrorNamesNoSecretOfARedirect) {
  const TestImage image = MakeImage({TwoFiles()});
  TestServer storage([](const TestRequest&) { return TestResponse{.status = 403}; });
  TestRegistry registry([&](const TestRequest& request) -> std::optional<TestResponse> {
    if (!request.path.ends_with(image.layer_digests[0])) return std::nullopt;
    return TestResponse{.status = 307,
                        .headers = {{"Location", "http://" + storage.authority() + "/d?signature=s3cret"}}};
  });
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.Push("app", "x", image);
  const auto id = PullReference(registry.authority() + "/app:x");
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.error().code(), Code::kPermissionDenied);
  EXPECT_THAT(id.error().message(), Not(HasSubstr("s3cret")));
}

TEST_F(Pull, Schema1AndOtherArtifactsAreRefusedClearly) {
  TestRegistry registry;
  registry.AllowPlainHttp(root_ + "/hosts");
  registry.PutManifest("app", "old", "application/vnd.docker.distribution.manifest.v1+prettyjws",
                       R"({"schemaVersion":1,"name":"app","fsLayers":[]})");
  ExpectFailure(registry.authority() + "/app:old", Code::kUnimplemented, {"schema 1"});
  TestImage chart = MakeImage({TwoFiles()});
  chart.manifest_json["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json";
  registry.PutManifest("app", "chart", chart.manifest_type, chart.manifest_json.dump());
  ExpectFailure(registry.authority() + "/app:chart", Code::kInvalidArgument, {"no container image"});
}

}  // namespace
}  // namespace image
