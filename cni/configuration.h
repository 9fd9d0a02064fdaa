// Network configurations: parsing, validation, and which file of the configuration directory is in force.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cni {

// One entry of "plugins" (section 1, "Plugin configuration objects").
struct Plugin {
  std::string type;                    // a plain file name
  std::set<std::string> capabilities;  // those declared as true
  base::Json object;                   // the entry as it stands in the configuration
};

// A valid network configuration list.
struct Configuration {
  std::string name;
  std::string version;  // that every plugin of the list is spoken to in
  std::vector<Plugin> plugins;
  bool checked = true;            // not with "disableCheck"
  bool garbage_collected = true;  // not with "disableGC"
  base::Json document;            // the list, from which ParseConfiguration makes the same again
};

// Versions of the specification whose configurations and results are understood.
bool IsSupportedVersion(std::string_view version);
// Whether `version` (a supported one) is `least` or later.
bool IsAtLeast(std::string_view version, std::string_view least);

// Whether `text` is what the specification allows as network name and container id: a letter or digit, then letters,
// digits, '_', '.' and '-'.
bool IsIdentifier(std::string_view text);

// Validates a list. The version is "cniVersion", or the latest that is understood among it and "cniVersions"; a list
// without either is of version 0.1.0. kInvalidArgument says what is wrong.
base::Result<Configuration> ParseConfiguration(base::Json document);

// What a configuration directory amounts to.
struct Selection {
  std::shared_ptr<const Configuration> configuration;  // none when no file is valid
  std::string file;                                    // that holds the configuration
  // Files before it that are invalid, each with its reason; when there is no configuration, every reason why.
  std::vector<std::string> complaints;
};

// Of the files named *.conflist, *.conf and *.json, in the order of their names, the first valid one is in force. A
// ".conf" or ".json" file holds a single plugin's configuration and counts as a list of one.
Selection SelectConfiguration(const std::string& directory);
bool IsConfigurationName(std::string_view file_name);

}  // namespace cni
