#include "cri/cdi/devices.h"

#include <map>
#include <memory>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "cri/cdi/name.h"

namespace cri::cdi {
namespace {

using base::Result;

// A directory with more is not one of CDI.
constexpr size_t kMostFiles = 1024;

struct Found {
  std::shared_ptr<const Specification> specification;
  const ContainerEdits* edits = nullptr;  // of `specification`; none for a device that two files describe
  size_t directory = 0;
  std::string file;
};

class Catalog {
 public:
  explicit Catalog(const std::vector<std::string>& directories) {
    for (size_t i = 0; i < directories.size(); ++i) ReadDirectory(directories[i], i);
  }

  const Found* Find(const std::string& name) const {
    const auto found = devices_.find(name);
    return found == devices_.end() || found->second.edits == nullptr ? nullptr : &found->second;
  }
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  void ReadDirectory(const std::string& directory, size_t index) {
    const auto names = base::ListDirectory(directory);
    if (!names.ok()) {
      if (names.error().code() != base::Code::kNotFound) complaints_.push_back(names.error().message());
      return;
    }
    size_t files = 0;
    for (const std::string& name : *names) {
      const bool is_yaml = name.ends_with(".yaml");
      if (!is_yaml && !name.ends_with(".json")) continue;
      if (++files > kMostFiles) {
        complaints_.push_back(directory + " has too many files");
        return;
      }
      const std::string path = directory + "/" + name;
      auto specification = ReadSpecification(path, is_yaml);
      if (specification.ok()) {
        Add(std::make_shared<const Specification>(*std::move(specification)), index, path);
      } else {
        complaints_.push_back(base::Printable(path, 256) + ": " + specification.error().message());
      }
    }
  }

  static Result<Specification> ReadSpecification(const std::string& path, bool is_yaml) {
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMostSpecificationBytes));
    return ParseSpecificationText(text, is_yaml);
  }

  void Add(const std::shared_ptr<const Specification>& specification, size_t directory, const std::string& path) {
    for (const auto& [device, edits] : specification->devices) {
      const std::string name = specification->kind + "=" + device;
      Found& found = devices_[name];
      if (found.specification && found.directory == directory) {
        complaints_.push_back(name + " is described by " + base::Printable(found.file, 256) + " and " +
                              base::Printable(path, 256));
        found.edits = nullptr;
        continue;
      }
      found = {specification, &edits, directory, path};
    }
  }

  std::map<std::string, Found> devices_;
  std::vector<std::string> complaints_;
};

void Append(const ContainerEdits& edits, ContainerEdits& all) {
  const auto append = [](const auto& from, auto& to) { to.insert(to.end(), from.begin(), from.end()); };
  append(edits.environment, all.environment);
  append(edits.device_nodes, all.device_nodes);
  append(edits.mounts, all.mounts);
  append(edits.additional_groups, all.additional_groups);
}

// Joined and bounded for a message.
std::string Join(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : ", ") + text;
  return base::Printable(joined, 2048);
}

}  // namespace

Result<ContainerEdits> ResolveDevices(const std::vector<std::string>& directories,
                                      const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto parsed = ParseDeviceName(name);
    if (!parsed.ok()) return parsed.error();
  }
  const Catalog catalog(directories);
  ContainerEdits edits;
  std::vector<std::string> missing;
  std::set<const Specification*> applied;
  for (const std::string& name : names) {
    const Found* found = catalog.Find(name);
    if (found == nullptr) {
      missing.push_back(name);
      continue;
    }
    const bool is_first = applied.insert(found->specification.get()).second;
    for (const ContainerEdits* each : {is_first ? &found->specification->edits : nullptr, found->edits}) {
      if (each == nullptr) continue;
      if (!each->unsupported.empty()) {
        return base::Error(base::Code::kUnimplemented, "CDI device " + name + " of " +
                                                           base::Printable(found->file, 256) + " needs " +
                                                           Join(each->unsupported) + ", which is not supported");
      }
      Append(*each, edits);
    }
  }
  if (missing.empty()) return edits;
  std::string message = "unresolvable CDI devices " + Join(missing);
  if (!catalog.complaints().empty()) message += "; not usable: " + Join(catalog.complaints());
  return base::NotFound(message);
}

}  // namespace cri::cdi
