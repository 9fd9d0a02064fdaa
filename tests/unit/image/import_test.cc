// Archives dropped into the import folder.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "image/digest.h"
#include "image/store.h"
#include "test_registry.h"

namespace image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::string LayerTar(const std::string& text) {
  return TarBuilder().File(text, text).Finish();
}

// The files of an OCI layout.
std::vector<std::pair<std::string, std::string>> LayoutFiles(const TestImage& image,
                                                             const nlohmann::json& annotations) {
  std::vector<std::pair<std::string, std::string>> files;
  files.emplace_back("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  const nlohmann::json index = {{"schemaVersion", 2},
                                {"manifests",
                                 {{{"mediaType", image.manifest_type},
                                   {"digest", image.manifest_digest},
                                   {"size", image.manifest.size()},
                                   {"annotations", annotations}}}}};
  files.emplace_back("index.json", index.dump());
  const auto blob = [&](const std::string& digest, const std::string& content) {
    files.emplace_back("blobs/sha256/" + digest.substr(7), content);
  };
  blob(image.manifest_digest, image.manifest);
  blob(image.config_digest, image.config);
  for (size_t i = 0; i < image.layers.size(); ++i) blob(image.layer_digests[i], image.layers[i]);
  return files;
}

std::string LayoutTar(const TestImage& image, const nlohmann::json& annotations,
                      Compression compression = Compression::kNone) {
  TarBuilder tar(compression);
  for (const auto& [name, content] : LayoutFiles(image, annotations)) tar.File(name, content);
  return tar.Finish();
}

// As docker save wrote it before it knew OCI layouts: equal layers are symbolic links.
std::string DockerTar(const std::vector<std::string>& tars, const std::string& tag) {
  const TestImage image = MakeImage(tars);
  nlohmann::json layers = nlohmann::json::array();
  TarBuilder tar;
  for (size_t i = 0; i < tars.size(); ++i) {
    const std::string folder = "layer" + std::to_string(i);
    layers.push_back(folder + "/layer.tar");
    tar.Directory(folder);
    const auto same = std::find(tars.begin(), tars.begin() + static_cast<ptrdiff_t>(i), tars[i]) - tars.begin();
    if (same < static_cast<ptrdiff_t>(i)) {
      tar.Symlink(folder + "/layer.tar", "../layer" + std::to_string(same) + "/layer.tar");
    } else {
      tar.File(folder + "/layer.tar", tars[i]);
    }
  }
  const nlohmann::json manifest = {{{"Config", "config.json"}, {"RepoTags", {tag}}, {"Layers", layers}}};
  return tar.File("config.json", image.config).File("manifest.json", manifest.dump()).Finish();
}

class Import : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "unpacking layers needs root";
    std::string pattern = testing::TempDir() + "/import-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    ASSERT_TRUE(base::MakeDirectories(folder()).ok());
  }
  void TearDown() override {
    store_.reset();
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }
  std::string folder() const { return root_ + "/import"; }
  void Drop(const std::string& name, const std::string& content) const {
    ASSERT_TRUE(base::WriteFileAtomic(folder() + "/" + name, content).ok());
  }
  // Opens the store and gives what it logged.
  std::string Open() {
    store_.reset();
    testing::internal::CaptureStderr();
    StoreOptions options;
    options.root = root_ + "/images";
    options.import_directory = folder();
    auto store = Store::Open(options);
    EXPECT_TRUE(store.ok()) << store.error().message();
    if (store.ok()) store_ = *std::move(store);
    return testing::internal::GetCapturedStderr();
  }
  // Waits for the store's own thread.
  bool WaitFor(const std::string& reference) const {
    for (int i = 0; i < 1000; ++i) {
      if (store_->Find(reference)->has_value()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  std::string root_;
  std::unique_ptr<Store> store_;
};

TEST_F(Import, TakesOciArchivesOfEveryCompression) {
  int number = 0;
  for (const Compression compression : {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    const std::string name = "registry.example/app:" + std::to_string(number);
    const TestImage image = MakeImage({LayerTar("l" + std::to_string(number))});
    Drop("a" + std::to_string(number++) + ".tar", LayoutTar(image, {{"io.containerd.image.name", name}}, compression));
  }
  Open();
  ASSERT_THAT(store_->List(), SizeIs(3));
  const auto image = *store_->Find("registry.example/app:1");
  ASSERT_TRUE(image.has_value());
  EXPECT_EQ(*base::ReadFile(image->layer_directories.at(0) + "/l1", 10), "l1");
  EXPECT_EQ(image->digests.size(), 1u);
}

TEST_F(Import, TakesDockerArchives) {
  const std::string layer = LayerTar("x");
  Drop("docker.tar", DockerTar({layer, LayerTar("y"), layer}, "busybox:1"));
  Open();
  const auto image = *store_->Find("docker.io/library/busybox:1");
  ASSERT_TRUE(image.has_value());
  ASSERT_EQ(image->layer_directories.size(), 2u);
  EXPECT_EQ(*base::ReadFile(image->layer_directories[1] + "/x", 10), "x");
  EXPECT_GT(image->size, 0u);
}

TEST_F(Import, TakesALayoutDirectory) {
  const TestImage image = MakeImage({LayerTar("x")});
  for (const auto& [name, content] : LayoutFiles(image, {{"org.opencontainers.image.ref.name", "1.2"}})) {
    const std::string path = folder() + "/My App/" + name;
    ASSERT_TRUE(base::MakeDirectories(std::filesystem::path(path).parent_path()).ok());
    ASSERT_TRUE(base::WriteFileAtomic(path, content).ok());
  }
  Open();
  EXPECT_TRUE(store_->Find("localhost/my-app:1.2")->has_value()) << "an archive that states only a tag names the image";
}

TEST_F(Import, ABrokenArchiveIsReportedOnceAndLeftAlone) {
  const TestImage image = MakeImage({LayerTar("x")});
  const std::string good = LayoutTar(image, {{"io.containerd.image.name", "registry.example/good:1"}});
  Drop("a-truncated.tar", good.substr(0, good.size() / 2));
  Drop("b-noise.tar", std::string(5000, 'x'));
  Drop("c-good.tar", good);
  Drop(".hidden.tar", good);
  TestImage bad = MakeImage({LayerTar("y")});
  bad.layers[0][20] = static_cast<char>(bad.layers[0][20] ^ 1);
  Drop("d-digest.tar", LayoutTar(bad, {{"io.containerd.image.name", "registry.example/bad:1"}}));
  const std::string log = Open();
  EXPECT_THAT(log, HasSubstr("a-truncated.tar"));
  EXPECT_THAT(log, HasSubstr("b-noise.tar"));
  EXPECT_THAT(log, HasSubstr("registry.example/bad:1: layer " + bad.layer_digests[0]));
  EXPECT_THAT(store_->List(), SizeIs(1));
  EXPECT_THAT(*base::ListDirectory(root_ + "/images/staging"), ElementsAre());
  EXPECT_TRUE(std::filesystem::exists(folder() + "/a-truncated.tar"));
  EXPECT_EQ(Open(), "") << "nothing is tried again";
}

TEST_F(Import, AnImportedImageThatWasRemovedDoesNotComeBack) {
  const TestImage image = MakeImage({LayerTar("x")});
  Drop("a.tar", LayoutTar(image, {{"io.containerd.image.name", "registry.example/app:1"}}));
  Open();
  ASSERT_TRUE(store_->Remove("registry.example/app:1").ok());
  Open();
  EXPECT_THAT(store_->List(), SizeIs(0));
  // A new file under the old name is a new archive.
  std::filesystem::last_write_time(folder() + "/a.tar", std::filesystem::file_time_type::clock::now());
  Open();
  EXPECT_THAT(store_->List(), SizeIs(1));
}

TEST_F(Import, TakesWhatAppearsWhileTheStoreIsOpen) {
  Open();
  const TestImage image = MakeImage({LayerTar("x")});
  Drop("later.tar", LayoutTar(image, {{"io.containerd.image.name", "registry.example/moved:1"}}));
  EXPECT_TRUE(WaitFor("registry.example/moved:1"));
  // Written slowly in place: it is taken when the writer closes it.
  const std::string content = LayoutTar(image, {{"io.containerd.image.name", "registry.example/written:1"}});
  {
    const base::UniqueFd fd(::creat((folder() + "/slow.tar").c_str(), 0600));
    ASSERT_TRUE(base::WriteAll(fd.get(), content.substr(0, 1000)).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_FALSE(store_->Find("registry.example/written:1")->has_value());
    ASSERT_TRUE(base::WriteAll(fd.get(), content.substr(1000)).ok());
  }
  EXPECT_TRUE(WaitFor("registry.example/written:1"));
}

TEST_F(Import, LeavesAFileAloneThatIsStillBeingWritten) {
  const TestImage image = MakeImage({LayerTar("x")});
  const std::string content = LayoutTar(image, {{"io.containerd.image.name", "registry.example/app:1"}});
  {
    const base::UniqueFd fd(::creat((folder() + "/slow.tar").c_str(), 0600));
    ASSERT_TRUE(base::WriteAll(fd.get(), content.substr(0, 1000)).ok());
    EXPECT_EQ(Open(), "");
    ASSERT_TRUE(base::WriteAll(fd.get(), content.substr(1000)).ok());
  }
  EXPECT_TRUE(WaitFor("registry.example/app:1"));
}

TEST_F(Import, AHostileArchiveReadsNothingOfTheHost) {
  const TestImage image = MakeImage({LayerTar("x")});
  Drop("a.tar", TarBuilder().Symlink("manifest.json", "/etc/passwd").Finish());
  Drop("b.tar", TarBuilder().Special("index.json", AE_IFIFO, 0, 0).Finish());
  Drop("c.tar", TarBuilder().File("../escaped", "x").Finish());
  const std::string log = Open();
  EXPECT_THAT(log, HasSubstr("neither an OCI image layout"));
  EXPECT_THAT(log, HasSubstr("\"..\""));
  EXPECT_THAT(store_->List(), SizeIs(0));
}

}  // namespace
}  // namespace image
