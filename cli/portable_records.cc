#include "cli/portable_records.h"

#include <unistd.h>

#include "base/files.h"
#include "base/text.h"
#include "image/json.h"

namespace cli {
namespace {

using base::Result;
using base::Status;

constexpr size_t kMostRecordBytes = size_t{4} << 20;
constexpr std::string_view kSuffix = ".json";

std::string PathOf(const std::string& directory, const std::string& name) {
  return directory + "/" + name + std::string(kSuffix);
}

bool IsTrue(const image::Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

std::string PortableStoreRoot(const cri::Config& config) {
  return config.state_directory + "/portable/images";
}

std::string PortableServicesDirectory(const cri::Config& config) {
  return config.state_directory + "/portable/services";
}

std::string PortableRecordsDirectory(const cri::Config& config) {
  return config.state_directory + "/portable/records";
}

std::string Serialize(const PortableRecord& record) {
  return image::Dump({{"name", record.name},
                      {"reference", record.reference},
                      {"image", record.image},
                      {"previous", record.previous},
                      {"failed", record.failed},
                      {"autoUpdate", record.auto_update},
                      {"volumes", record.volumes},
                      {"environment", record.environment},
                      {"command", record.command}});
}

Result<PortableRecord> ParsePortableRecord(const std::string& text) {
  ASSIGN_OR_RETURN(const image::Json document, image::ParseObject(text, "the record"));
  PortableRecord record;
  record.name = image::StringAt(document, "name");
  record.reference = image::StringAt(document, "reference");
  record.image = image::StringAt(document, "image");
  record.previous = image::StringAt(document, "previous");
  record.failed = image::StringAt(document, "failed");
  record.auto_update = IsTrue(document, "autoUpdate");
  record.volumes = image::StringsAt(document, "volumes");
  record.environment = image::StringsAt(document, "environment");
  record.command = image::StringsAt(document, "command");
  if (record.name.empty() || record.image.empty()) {
    return base::Error(base::Code::kDataLoss, "the record of a portable service is not complete");
  }
  return record;
}

Result<std::vector<PortableRecord>> LoadPortableRecords(const std::string& directory) {
  std::vector<PortableRecord> records;
  const auto files = base::ListDirectory(directory);
  if (!files.ok() && files.error().code() == base::Code::kNotFound) return records;
  if (!files.ok()) return files.error();
  for (const std::string& file : *files) {
    if (!file.ends_with(kSuffix)) continue;
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(directory + "/" + file, kMostRecordBytes));
    ASSIGN_OR_RETURN(PortableRecord record, ParsePortableRecord(text).Wrap(directory + "/" + file));
    records.push_back(std::move(record));
  }
  return records;
}

Result<std::optional<PortableRecord>> FindPortableRecord(const std::string& directory, const std::string& name) {
  const auto text = base::ReadFile(PathOf(directory, name), kMostRecordBytes);
  if (!text.ok() && text.error().code() == base::Code::kNotFound) return std::optional<PortableRecord>();
  if (!text.ok()) return text.error();
  ASSIGN_OR_RETURN(PortableRecord record, ParsePortableRecord(*text).Wrap(PathOf(directory, name)));
  return std::optional(std::move(record));
}

Status WritePortableRecord(const std::string& directory, const PortableRecord& record) {
  RETURN_IF_ERROR(base::MakeDirectories(directory, 0700));
  return base::WriteFileDurable(PathOf(directory, record.name), Serialize(record));
}

Status RemovePortableRecord(const std::string& directory, const std::string& name) {
  if (::unlink(PathOf(directory, name).c_str()) != 0 && errno != ENOENT) {
    return base::ErrnoError("remove " + PathOf(directory, name));
  }
  return base::SyncDirectory(directory);
}

Status HoldForServices(const std::string& directory, image::Store& store) {
  ASSIGN_OR_RETURN(const std::vector<PortableRecord> records, LoadPortableRecords(directory));
  for (const PortableRecord& record : records) {
    for (const std::string& id : {record.image, record.previous}) {
      // An image that is gone altogether cannot be held.
      if (!id.empty()) (void)store.Hold(id, record.name);
    }
  }
  return base::Ok();
}

}  // namespace cli
