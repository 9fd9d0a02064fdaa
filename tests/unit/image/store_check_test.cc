// Checking a store, exporting from it, and importing into another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "image/json.h"
#include "image/pull_observer.h"
#include "image/store.h"
#include "store_fixture.h"

namespace image {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using State = CheckedLayer::State;

class CheckedStore : public StoreFixture {
 protected:
  Image Pull(const std::string& tag, PullObserver* observer = nullptr) {
    const std::string lower =
        TarBuilder().Directory("etc").File("etc/text", std::string(5000, 'a')).File("gone", "x").Finish();
    const std::string upper = TarBuilder().Directory("etc").File("etc/more", "b").File(".wh.gone", "").Finish();
    return **store_->Find(PullLayers(tag, {lower, upper}, observer));
  }
  std::vector<CheckedLayer> Check(bool repair) {
    std::vector<CheckedLayer> layers;
    const base::Status status = store_->Check(repair, [&](const CheckedLayer& layer) { layers.push_back(layer); }, {});
    EXPECT_TRUE(status.ok()) << status.error().message();
    return layers;
  }
  static std::vector<State> States(const std::vector<CheckedLayer>& layers) {
    std::vector<State> states;
    for (const CheckedLayer& layer : layers) states.push_back(layer.state);
    std::sort(states.begin(), states.end());
    return states;
  }
};

TEST_F(CheckedStore, WhatWasPulledIsGood) {
  Pull("x");
  EXPECT_THAT(States(Check(true)), ElementsAre(State::kGood, State::kGood));
  EXPECT_EQ(Count("staging"), 0U);
}

TEST_F(CheckedStore, DamageIsToldAndPulledAgain) {
  const Image image = Pull("x");
  const std::string file = image.layer_directories[0] + "/etc/text";
  std::ofstream(file) << std::string(5000, 'z');
  const auto told = Check(false);
  EXPECT_THAT(States(told), ElementsAre(State::kGood, State::kDamaged));
  for (const CheckedLayer& layer : told) {
    if (layer.state == State::kGood) continue;
    EXPECT_THAT(layer.images, ElementsAre(Name("x")));
    EXPECT_EQ(layer.differences, 1U);
    ASSERT_THAT(layer.examples, SizeIs(1));
    EXPECT_THAT(layer.examples[0], HasSubstr("/etc/text"));
  }
  EXPECT_THAT(States(Check(true)), ElementsAre(State::kGood, State::kRepaired));
  EXPECT_EQ(*base::ReadFile(file, 10'000), std::string(5000, 'a'));
  EXPECT_THAT(States(Check(false)), ElementsAre(State::kGood, State::kGood));
  EXPECT_EQ(Count("staging"), 0U);
}

TEST_F(CheckedStore, ALayerWithoutARecordGetsOne) {
  Pull("x");
  const auto files = base::ListDirectory(root_ + "/images/layers");
  ASSERT_TRUE(files.ok());
  for (const std::string& file : *files) {
    if (file.ends_with(".tree")) std::filesystem::remove(root_ + "/images/layers/" + file);
  }
  EXPECT_THAT(States(Check(false)), ElementsAre(State::kUnrecorded, State::kUnrecorded));
  EXPECT_THAT(States(Check(true)), ElementsAre(State::kRepaired, State::kRepaired));
  EXPECT_THAT(States(Check(false)), ElementsAre(State::kGood, State::kGood));
}

TEST_F(CheckedStore, WhatCannotBePulledAgainStaysDamagedWithTheReason) {
  const Image image = Pull("x");
  std::filesystem::remove(image.layer_directories[0] + "/etc/text");
  registry_.Push("app", "x", MakeImage({TarBuilder().Finish()}));
  std::filesystem::remove_all(root_ + "/hosts");
  const auto layers = Check(true);
  EXPECT_THAT(States(layers), ElementsAre(State::kGood, State::kDamaged));
  for (const CheckedLayer& layer : layers) {
    if (layer.state == State::kGood) continue;
    EXPECT_THAT(layer.error, HasSubstr("pull it again"));
  }
  EXPECT_EQ(Count("staging"), 0U);
}

TEST_F(CheckedStore, ARemovedLayerTakesItsRecordAlong) {
  const Image image = Pull("x");
  ASSERT_TRUE(store_->Remove(image.id).ok());
  EXPECT_EQ(Count("layers"), 0U);
  EXPECT_THAT(Check(true), IsEmpty());
}

TEST_F(CheckedStore, AnExportedImageIsWholeAndConsistentWithItself) {
  const Image image = Pull("x");
  const auto exported = store_->Export(image.id, root_ + "/layout", {});
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  const auto other = Open("other");
  const auto imported = other->Import(root_ + "/layout", {});
  ASSERT_TRUE(imported.ok()) << imported.error().message();
  ASSERT_THAT(*imported, SizeIs(1));
  EXPECT_EQ((*imported)[0].id, exported->id);
  EXPECT_THAT((*imported)[0].names, ElementsAre(Name("x")));
  const Image copy = **other->Find(Name("x"));
  EXPECT_EQ(*base::ReadFile(copy.layer_directories[0] + "/etc/text", 10'000), std::string(5000, 'a'));
  struct stat info {};
  ASSERT_EQ(::stat((copy.layer_directories[1] + "/gone").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  // What was packed once is packed the same way again.
  const auto again = other->Export(copy.id, root_ + "/again", {});
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->id, exported->id);
  EXPECT_EQ(again->manifest_digest, exported->manifest_digest);
}

TEST_F(CheckedStore, AnExportReplacesNothing) {
  const Image image = Pull("x");
  ASSERT_TRUE(base::MakeDirectories(root_ + "/full/inside").ok());
  EXPECT_EQ(store_->Export(image.id, root_ + "/full", {}).error().code(), Code::kAlreadyExists);
  ASSERT_TRUE(base::MakeDirectories(root_ + "/empty").ok());
  EXPECT_TRUE(store_->Export(image.id, root_ + "/empty/", {}).ok());
  EXPECT_EQ(store_->Export("no-such-image", root_ + "/none", {}).error().code(), Code::kNotFound);
  const auto names = base::ListDirectory(root_);
  ASSERT_TRUE(names.ok());
  for (const std::string& name : *names) EXPECT_EQ(name.find(".export-"), std::string::npos);
}

TEST_F(CheckedStore, AnObserverIsToldOfEveryByte) {
  class Recording final : public PullObserver {
   public:
    void OnLayers(const std::vector<PulledLayer>& layers) override { layers_ = layers; }
    void OnReceived(const std::string& digest, uint64_t bytes) override {
      const std::lock_guard lock(mutex_);
      received_[digest] = bytes;
    }
    void OnComplete(const std::string& digest) override {
      const std::lock_guard lock(mutex_);
      ++complete_[digest];
    }
    std::vector<PulledLayer> layers_;
    std::mutex mutex_;
    std::map<std::string, uint64_t> received_;
    std::map<std::string, int> complete_;
  };
  Recording first;
  Pull("x", &first);
  ASSERT_THAT(first.layers_, SizeIs(2));
  for (const PulledLayer& layer : first.layers_) {
    EXPECT_FALSE(layer.present);
    EXPECT_EQ(first.received_[layer.digest], layer.size);
    EXPECT_EQ(first.complete_[layer.digest], 1);
  }
  Recording second;
  Pull("y", &second);
  ASSERT_THAT(second.layers_, SizeIs(2));
  EXPECT_TRUE(second.layers_[0].present);
  EXPECT_THAT(second.received_, IsEmpty());
}

}  // namespace
}  // namespace image
