#include "cri/checkpoint_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fakes.h"
#include "image/pack.h"

namespace cri {
namespace {

namespace fs = std::filesystem;
using base::Code;
using testing::HasSubstr;

class CheckpointArchive : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "archives must belong to root";
    record_.set_id(std::string(64, '1'));
    record_.mutable_config()->mutable_metadata()->set_name("main");
    record_.mutable_config()->mutable_image()->set_image("docker.io/library/app:1");
    record_.set_image_id("sha256:" + std::string(64, 'a'));
    record_.set_log_path(Path("log"));
    Write("log", "a line\n");
    fs::create_directories(Path("parts/checkpoint"));
    Write("parts/checkpoint/core-1.img", "core");
    Write("parts/checkpoint/dump.log", "well");
    Write("parts/rootfs-diff.tar", std::string(10240, '\0'));
    fs::create_directories(Path("out"));
  }

  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }
  void Write(const std::string& name, const std::string& content) const { std::ofstream(Path(name)) << content; }

  base::Status PackIt() const {
    return PackCheckpoint(Path("parts"), record_, sandbox_, {"", "file[a:1]", "file[a:2]"}, Path("archive.tar"));
  }
  base::Result<Checkpoint> UnpackIt() const { return UnpackCheckpoint(Path("archive.tar"), Path("out")); }

  // An archive with the parts of a good one but those that are given here.
  void Make(const std::string& config, const std::string& streams, bool layer = true) const {
    auto tar = image::TarFile::Create(Path("archive.tar"));
    ASSERT_TRUE(tar.ok());
    if (!config.empty()) {
      ASSERT_TRUE((*tar)->AddText("config.dump", config).ok());
    }
    ASSERT_TRUE((*tar)->AddDirectory("checkpoint").ok());
    if (!streams.empty()) {
      ASSERT_TRUE((*tar)->AddText("checkpoint/descriptors.json", streams).ok());
    }
    if (layer) {
      ASSERT_TRUE((*tar)->AddText("rootfs-diff.tar", "").ok());
    }
    ASSERT_TRUE((*tar)->Finish().ok());
  }

  TemporaryDirectory directory_;
  ContainerRecord record_;
  SandboxRecord sandbox_;
};

constexpr char kConfig[] = R"({"id":"1","name":"main","rootfsImageRef":"sha256:a","runtime":"cri-nspawn"})";
constexpr char kStreams[] = R"(["","file[a:1]","file[a:2]"])";

TEST_F(CheckpointArchive, ComesBackAsItWasPacked) {
  const base::Status packed = PackIt();
  ASSERT_TRUE(packed.ok()) << packed.error().message();
  struct stat info {};
  ASSERT_EQ(::stat(Path("archive.tar").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
  EXPECT_FALSE(fs::exists(Path(".archive.tar.part")));

  const auto checkpoint = UnpackIt();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  EXPECT_EQ(checkpoint->config.name, "main");
  EXPECT_EQ(checkpoint->config.image, "docker.io/library/app:1");
  EXPECT_EQ(checkpoint->config.image_id, record_.image_id());
  EXPECT_THAT(checkpoint->streams, testing::ElementsAre("", "file[a:1]", "file[a:2]"));
  EXPECT_EQ(*base::ReadFile(Path("out/checkpoint/core-1.img"), 100), "core");
  EXPECT_EQ(*base::ReadFile(Path("out/container.log"), 100), "a line\n");
  EXPECT_EQ(*base::ReadFile(Path("out/dump.log"), 100), "well");
  EXPECT_TRUE(fs::exists(Path("out/spec.dump")));
  EXPECT_TRUE(fs::exists(Path("out/rootfs-diff.tar")));
}

TEST_F(CheckpointArchive, AnEarlierOneIsReplaced) {
  Write("archive.tar", "old");
  Write(".archive.tar.part", "of a crash");
  ASSERT_TRUE(PackIt().ok());
  EXPECT_TRUE(UnpackIt().ok());
}

TEST_F(CheckpointArchive, OnlyRootMayHaveWrittenIt) {
  ASSERT_TRUE(PackIt().ok());
  ASSERT_EQ(::chmod(Path("archive.tar").c_str(), 0620), 0);
  EXPECT_EQ(UnpackIt().error().code(), Code::kPermissionDenied);
  ASSERT_EQ(::chmod(Path("archive.tar").c_str(), 0600), 0);
  ASSERT_EQ(::chown(Path("archive.tar").c_str(), 1000, 0), 0);
  EXPECT_EQ(UnpackIt().error().code(), Code::kPermissionDenied);
}

TEST_F(CheckpointArchive, WhatIsNoneIsSaidSo) {
  EXPECT_EQ(UnpackIt().error().code(), Code::kNotFound);
  Write("archive.tar", std::string(5000, 'x'));
  EXPECT_EQ(UnpackIt().error().code(), Code::kDataLoss);
  fs::remove(Path("archive.tar"));
  fs::create_directory(Path("archive.tar"));
  EXPECT_EQ(UnpackIt().error().code(), Code::kInvalidArgument);
}

TEST_F(CheckpointArchive, MissingAndWrongPartsAreNamed) {
  struct Case {
    const char* config;
    const char* streams;
    bool layer;
    Code code;
    const char* message;
  };
  for (const Case& c : {Case{"", kStreams, true, Code::kDataLoss, "config.dump"},
                        Case{"{", kStreams, true, Code::kDataLoss, "config.dump"},
                        Case{R"({"id": 1})", kStreams, true, Code::kDataLoss, "id"},
                        Case{R"({"runtime": "runc"})", kStreams, true, Code::kFailedPrecondition, "runc"},
                        Case{kConfig, "", true, Code::kDataLoss, "descriptors.json"},
                        Case{kConfig, "{}", true, Code::kDataLoss, "three"},
                        Case{kConfig, R"(["","fd[1]:/x",""])", true, Code::kDataLoss, "none of a stream"},
                        Case{kConfig, R"(["",1,""])", true, Code::kDataLoss, "none of a stream"},
                        Case{kConfig, kStreams, false, Code::kDataLoss, "rootfs-diff.tar"}}) {
    fs::remove_all(Path("out"));
    fs::create_directories(Path("out"));
    fs::remove(Path("archive.tar"));
    Make(c.config, c.streams, c.layer);
    const auto checkpoint = UnpackIt();
    ASSERT_FALSE(checkpoint.ok()) << c.config << c.streams;
    EXPECT_EQ(checkpoint.error().code(), c.code) << checkpoint.error().message();
    EXPECT_THAT(checkpoint.error().message(), HasSubstr(c.message));
  }
}

TEST_F(CheckpointArchive, LinksInThePlaceOfFilesAreNotFollowed) {
  Write("secret", kConfig);
  fs::create_directories(Path("tree/checkpoint"));
  fs::create_symlink(Path("secret"), Path("tree/config.dump"));
  const auto pack = [&] {
    fs::remove_all(Path("out"));
    fs::create_directories(Path("out"));
    fs::remove(Path("archive.tar"));
    ASSERT_TRUE(image::PackLayer(Path("tree"), Path("archive.tar")).ok());
  };
  pack();
  EXPECT_EQ(UnpackIt().error().code(), Code::kDataLoss);

  fs::remove(Path("tree/config.dump"));
  Write("tree/config.dump", kConfig);
  Write("tree/rootfs-diff.tar", "");
  Write("tree/checkpoint/descriptors.json", kStreams);
  fs::create_symlink("/etc/shadow", Path("tree/checkpoint/core-1.img"));
  pack();
  EXPECT_THAT(UnpackIt().error().message(), HasSubstr("no regular file"));

  fs::remove_all(Path("tree/checkpoint"));
  fs::create_directory_symlink("/etc", Path("tree/checkpoint"));
  pack();
  EXPECT_THAT(UnpackIt().error().message(), HasSubstr("no directory checkpoint"));
}

}  // namespace
}  // namespace cri
