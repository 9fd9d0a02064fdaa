#include "cni/configuration.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/files.h"
#include "base/text.h"

namespace cni {
namespace {

constexpr size_t kMostFileSize = 1 << 20;
constexpr size_t kMostPlugins = 64;
constexpr size_t kMostNameLength = 255;

// In order: IsAtLeast compares positions.
constexpr std::array<std::string_view, 7> kVersions = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

size_t PositionOf(std::string_view version) {
  return static_cast<size_t>(std::find(kVersions.begin(), kVersions.end(), version) - kVersions.begin());
}

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name.size() <= kMostNameLength && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
         });
}

// Section "Version considerations": with "cniVersions" the latest one that both sides know is used.
base::Result<std::string> NegotiateVersion(const base::Json& document) {
  ASSIGN_OR_RETURN(std::string version, base::StringMember(document, "cniVersion"));
  if (const auto versions = document.find("cniVersions"); versions != document.end()) {
    if (!versions->is_array()) return base::InvalidArgument("\"cniVersions\" is not a list");
    for (const base::Json& entry : *versions) {
      if (!entry.is_string()) return base::InvalidArgument("\"cniVersions\" holds something else than strings");
      const auto& other = entry.get_ref<const std::string&>();
      if (IsSupportedVersion(other) && (!IsSupportedVersion(version) || IsAtLeast(other, version))) version = other;
    }
  }
  if (version.empty()) return std::string(kVersions.front());
  if (!IsSupportedVersion(version)) {
    return base::InvalidArgument("cniVersion " + base::Printable(version, 32) +
                                 " is not supported; the latest supported one is " + std::string(kVersions.back()));
  }
  return version;
}

base::Result<Plugin> ParsePlugin(const base::Json& object) {
  if (!object.is_object()) return base::InvalidArgument("it is not a JSON object");
  Plugin plugin;
  ASSIGN_OR_RETURN(plugin.type, base::StringMember(object, "type"));
  if (plugin.type.empty()) return base::InvalidArgument("it has no \"type\"");
  if (!IsPlainFileName(plugin.type)) {
    return base::InvalidArgument("its type \"" + base::Printable(plugin.type, 64) + "\" is not a plain file name");
  }
  if (const auto capabilities = object.find("capabilities"); capabilities != object.end() && !capabilities->is_null()) {
    if (!capabilities->is_object()) return base::InvalidArgument("its \"capabilities\" are not a JSON object");
    for (const auto& [name, declared] : capabilities->items()) {
      if (!declared.is_boolean()) {
        return base::InvalidArgument("its capability \"" + base::Printable(name, 64) + "\" is neither true nor false");
      }
      if (declared.get<bool>()) plugin.capabilities.insert(name);
    }
  }
  plugin.object = object;
  return plugin;
}

// A boolean of the list, false when it is missing. As in libcni, its text will do.
base::Result<bool> Flag(const base::Json& document, const char* name) {
  const auto member = document.find(name);
  if (member == document.end() || member->is_null()) return false;
  if (member->is_boolean()) return member->get<bool>();
  if (*member == "true" || *member == "false") return *member == "true";
  return base::InvalidArgument("its \"" + std::string(name) + "\" is neither true nor false");
}

base::Result<std::string> ReadConfigurationFile(const std::string& path) {
  // Without O_NONBLOCK a FIFO of that name would hold us up for ever.
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return base::ErrnoError("open it");
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return base::ErrnoError("stat it");
  if (!S_ISREG(info.st_mode)) return base::InvalidArgument("it is not a regular file");
  return base::ReadAll(fd.get(), kMostFileSize, "it");
}

base::Result<Configuration> LoadConfiguration(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadConfigurationFile(path));
  ASSIGN_OR_RETURN(base::Json document, base::ParseJsonObject(text));
  if (path.ends_with(".conflist")) return ParseConfiguration(std::move(document));
  if (!document.contains("type")) {
    return base::InvalidArgument(document.contains("plugins")
                                     ? "it has no \"type\"; the name of a file with \"plugins\" must end in .conflist"
                                     : "it has no \"type\"");
  }
  base::Json list = base::Json::object();
  for (const char* common : {"name", "cniVersion", "cniVersions", "disableCheck", "disableGC"}) {
    if (const auto member = document.find(common); member != document.end()) list[common] = *member;
  }
  list["plugins"] = base::Json::array({std::move(document)});
  return ParseConfiguration(std::move(list));
}

}  // namespace

bool IsSupportedVersion(std::string_view version) {
  return PositionOf(version) < kVersions.size();
}

bool IsAtLeast(std::string_view version, std::string_view least) {
  return PositionOf(version) >= PositionOf(least);
}

bool IsIdentifier(std::string_view text) {
  return !text.empty() && text.size() <= kMostNameLength && IsAlphanumeric(text[0]) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

base::Result<Configuration> ParseConfiguration(base::Json document) {
  if (!document.is_object()) return base::InvalidArgument("it is not a JSON object");
  Configuration configuration;
  ASSIGN_OR_RETURN(configuration.name, base::StringMember(document, "name"));
  if (configuration.name.empty()) return base::InvalidArgument("it has no \"name\"");
  if (!IsIdentifier(configuration.name)) {
    return base::InvalidArgument("its name \"" + base::Printable(configuration.name, 64) +
                                 "\" has other characters than letters, digits, '_', '.' and '-'");
  }
  ASSIGN_OR_RETURN(configuration.version, NegotiateVersion(document));
  const auto plugins = document.find("plugins");
  if (plugins == document.end()) return base::InvalidArgument("it has no \"plugins\"");
  if (!plugins->is_array()) return base::InvalidArgument("its \"plugins\" are not a list");
  if (plugins->empty()) return base::InvalidArgument("its list of plugins is empty");
  if (plugins->size() > kMostPlugins) {
    return base::InvalidArgument("it has more than " + std::to_string(kMostPlugins) + " plugins");
  }
  for (const base::Json& object : *plugins) {
    const std::string which = "plugin " + std::to_string(configuration.plugins.size() + 1);
    ASSIGN_OR_RETURN(Plugin plugin, ParsePlugin(object).Wrap(which));
    configuration.plugins.push_back(std::move(plugin));
  }
  ASSIGN_OR_RETURN(const bool no_check, Flag(document, "disableCheck"));
  ASSIGN_OR_RETURN(const bool no_garbage_collection, Flag(document, "disableGC"));
  configuration.checked = !no_check;
  configuration.garbage_collected = !no_garbage_collection;
  configuration.document = std::move(document);
  return configuration;
}

bool IsConfigurationName(std::string_view file_name) {
  return file_name.ends_with(".conflist") || file_name.ends_with(".conf") || file_name.ends_with(".json");
}

Selection SelectConfiguration(const std::string& directory) {
  Selection selection;
  const auto names = base::ListDirectory(directory);
  if (!names.ok()) {
    if (names.error().code() != base::Code::kNotFound) selection.complaints.push_back(names.error().message());
    return selection;
  }
  for (const std::string& name : *names) {
    if (!IsConfigurationName(name)) continue;
    auto configuration = LoadConfiguration(directory + "/" + name);
    if (configuration.ok()) {
      selection.configuration = std::make_shared<const Configuration>(*std::move(configuration));
      selection.file = name;
      break;
    }
    selection.complaints.push_back(base::Printable(name, 128) + ": " + configuration.error().message());
  }
  return selection;
}

}  // namespace cni
