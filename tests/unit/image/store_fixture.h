// A store in a directory of its own, and a registry that it pulls from.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "image/store.h"
#include "test_registry.h"

namespace image {

class StoreFixture : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "unpacking layers needs root";
    std::string pattern = testing::TempDir() + "/store-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    registry_.AllowPlainHttp(root_ + "/hosts");
    store_ = Open("images");
  }
  void TearDown() override {
    store_.reset();
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }

  StoreOptions Options(const std::string& name) const {
    StoreOptions options;
    options.root = root_ + "/" + name;
    options.hosts_directory = root_ + "/hosts";
    return options;
  }
  std::unique_ptr<Store> Open(const std::string& name) const {
    auto store = Store::Open(Options(name));
    EXPECT_TRUE(store.ok()) << store.error().message();
    return store.ok() ? *std::move(store) : nullptr;
  }
  // As a start of the daemon.
  void Reopen() {
    store_.reset();
    store_ = Open("images");
    ASSERT_NE(store_, nullptr);
  }

  std::string Name(const std::string& tag) const { return registry_.authority() + "/app:" + tag; }
  // Pushes an image of these layers, and pulls it: its id.
  std::string PullLayers(const std::string& tag, const std::vector<std::string>& layers,
                         PullObserver* observer = nullptr) {
    registry_.Push("app", tag, MakeImage(layers));
    const auto id = store_->Pull(Name(tag), {}, {}, observer);
    EXPECT_TRUE(id.ok()) << id.error().message();
    return id.ok() ? *id : "";
  }
  size_t Count(const std::string& folder) const { return base::ListDirectory(root_ + "/images/" + folder)->size(); }

  std::string root_;
  TestRegistry registry_;
  std::unique_ptr<Store> store_;
};

}  // namespace image
