#include "image/layer_check.h"

#include <cstdio>

#include "base/files.h"
#include "base/text.h"
#include "image/tree_record.h"

namespace image {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kMostExamples = 10;

void Describe(const std::vector<TreeDifference>& differences, CheckedLayer& layer) {
  layer.differences = differences.size();
  for (const TreeDifference& difference : differences) {
    if (layer.examples.size() == kMostExamples) break;
    layer.examples.push_back("/" + base::Printable(difference.path, 300) + " " + difference.what);
  }
}

// Compares with what was unpacked anew, puts that in the place of what differs, and compares once more.
Status Repair(const std::string& directory, const std::string& record_path, const std::string& staging,
              CheckedLayer& layer, const std::stop_token& stop) {
  const std::string fresh_record = staging + std::string(kTreeRecordSuffix);
  ASSIGN_OR_RETURN(const TreeRecord record, LoadTreeRecord(fresh_record));
  ASSIGN_OR_RETURN(const auto differences, CompareTree(directory, record, stop));
  Describe(differences, layer);
  RETURN_IF_ERROR(RepairTree(directory, staging, record, differences));
  ASSIGN_OR_RETURN(const auto left, CompareTree(directory, record, stop));
  if (!left.empty()) {
    return base::Error(Code::kDataLoss, "it still differs after its repair: \"" +
                                            base::Printable(left.front().path, 300) + "\" " + left.front().what);
  }
  // Synced by the repair.
  if (std::rename(fresh_record.c_str(), record_path.c_str()) != 0) return base::ErrnoError("rename to " + record_path);
  return base::SyncDirectory(record_path.substr(0, record_path.rfind('/')));
}

}  // namespace

Result<CheckedLayer> CheckLayer(const std::string& directory, const std::string& record_path, const UnpackAnew& anew,
                                const std::string& staging, const std::stop_token& stop) {
  CheckedLayer layer;
  const auto record = LoadTreeRecord(record_path);
  if (record.ok()) {
    auto differences = CompareTree(directory, *record, stop);
    if (!differences.ok()) return std::move(differences).error();
    if (differences->empty()) return layer;
    layer.state = CheckedLayer::State::kDamaged;
    Describe(*differences, layer);
  } else {
    layer.state = CheckedLayer::State::kUnrecorded;
  }
  if (!anew) return layer;
  Status repaired = anew(staging);
  if (repaired.ok()) repaired = Repair(directory, record_path, staging, layer, stop);
  if (stop.stop_requested()) return base::Error(Code::kCancelled, "cancelled");
  if (repaired.ok()) {
    layer.state = CheckedLayer::State::kRepaired;
  } else {
    layer.error = repaired.error().message();
  }
  return layer;
}

}  // namespace image
