// Archives of layers, compressed or not, unpacked one after another into directories of a scratch file system and
// adapted to each other. Whatever they are: nothing beside their directories changes, bounds are kept, what was
// unpacked is what was recorded, and all of it can be removed again. Needs root, for owners and devices.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/files.h"
#include "image/adaptation.h"
#include "image/stream.h"
#include "image/tree_record.h"
#include "image/unpack.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Between layers.
constexpr std::string_view kSeparator = "\nnext layer\n";
constexpr size_t kMostLayers = 3;
constexpr image::UnpackBounds kBounds{uint64_t{1} << 20, 500};
// Archives that know this path may try to change it.
constexpr char kScratch[] = "/mnt";
constexpr char kOutside[] = "/mnt/outside";

class Pieces : public image::ByteReader {
 public:
  explicit Pieces(std::string_view text) : rest_(text) {}
  base::Result<std::string_view> Next() override {
    const std::string_view piece = rest_.substr(0, 1000);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
};

void Prepare() {
  if (::geteuid() != 0) {
    std::fprintf(stderr, "skipped: unpacking needs root\n");
    std::exit(0);
  }
  // The mount is nobody else's to see, and goes with the process.
  fuzz::Require(::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) == 0 &&
                    ::mount("tmpfs", kScratch, "tmpfs", 0, "size=64m,mode=0755") == 0,
                "a mount namespace with a file system of its own");
  fuzz::Require(
      base::MakeDirectories(kOutside).ok() && base::WriteFileAtomic(std::string(kOutside) + "/file", "untouched").ok(),
      "files beside the layers");
}

std::string State() {
  struct stat directory {};
  struct stat file {};
  const std::string path = std::string(kOutside) + "/file";
  fuzz::Require(::lstat(kOutside, &directory) == 0 && ::lstat(path.c_str(), &file) == 0, "what is outside is there");
  std::string state;
  for (const struct stat& info : {directory, file}) {
    for (const int64_t value :
         {static_cast<int64_t>(info.st_ino), static_cast<int64_t>(info.st_mode), static_cast<int64_t>(info.st_uid),
          static_cast<int64_t>(info.st_nlink), static_cast<int64_t>(info.st_size),
          static_cast<int64_t>(info.st_ctim.tv_sec), static_cast<int64_t>(info.st_ctim.tv_nsec)}) {
      state += std::to_string(value) + " ";
    }
  }
  return state;
}

void RequireAsRecorded(const std::string& directory) {
  const auto record = image::LoadTreeRecord(directory + ".tree");
  fuzz::Require(record.ok(), "the record is whole");
  const auto differences = image::CompareTree(directory, *record, {});
  fuzz::Require(differences.ok(), "the tree can be compared");
  for (const image::TreeDifference& difference : *differences) {
    std::fprintf(stderr, "%s %s\n", difference.path.c_str(), difference.what.c_str());
  }
  fuzz::Require(differences->empty(), "the tree is what was recorded");
  size_t entries = 0;
  for (const auto& [path, entry] : *record) {
    ++entries;
    fuzz::Require(entry->size <= kBounds.most_bytes, "no file is longer than allowed");
  }
  fuzz::Require(entries <= kBounds.most_entries + 1, "there are no more files than allowed");
}

// Gives whether the layer is one.
bool Unpack(std::string_view archive, const std::string& directory) {
  fuzz::Require(::mkdir(directory.c_str(), 0755) == 0, "a directory for the layer");
  auto recorder = image::TreeRecorder::Create(directory + ".tree");
  fuzz::Require(recorder.ok(), "a record for the layer");
  Pieces pieces(archive);
  image::DecompressingReader plain(pieces);
  const auto size = image::UnpackTar(plain, directory, kBounds, recorder->get());
  if (!size.ok()) return false;
  fuzz::Require((*recorder)->Finish().ok(), "the record can be written");
  RequireAsRecorded(directory);
  return true;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const bool prepared = (Prepare(), true);
  const std::string before = State();
  std::string_view rest = fuzz::Text(data, size);
  std::vector<std::string> layers;
  std::vector<std::string> made;
  for (size_t i = 0; i < kMostLayers; ++i) {
    const size_t end = rest.find(kSeparator);
    const std::string directory = std::string(kScratch) + "/layer" + std::to_string(i);
    made.push_back(directory);
    if (!Unpack(rest.substr(0, end), directory)) break;
    auto adaptation = image::Adaptation::Plan(layers, directory, directory + ".tree", {});
    if (!adaptation.ok()) break;
    layers.push_back(directory);
    if (*adaptation != nullptr) {
      const std::string adapted = directory + "-adapted";
      made.push_back(adapted);
      fuzz::Require(::mkdir(adapted.c_str(), 0755) == 0, "a directory for the adaptation");
      const auto written = (*adaptation)->Write(adapted);
      if (!written.ok()) std::fprintf(stderr, "%s\n", written.error().message().c_str());
      fuzz::Require(written.ok(), "what was planned can be written");
      RequireAsRecorded(adapted);
      layers.push_back(adapted);
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + kSeparator.size());
  }
  for (const std::string& directory : made) {
    fuzz::Require(base::RemoveTree(directory).ok() && base::RemoveTree(directory + ".tree").ok(), "all of it goes");
  }
  const auto left = base::ListDirectory(kScratch);
  fuzz::Require(left.ok() && *left == std::vector<std::string>{"outside"}, "nothing is left beside");
  fuzz::Require(State() == before, "what is outside has not changed");
  return 0;
}
