#include "cri/config.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "base/toml.h"
#include "nspawn/capabilities.h"

namespace cri {
namespace {

using base::LogLevel;
using std::chrono::milliseconds;

constexpr size_t kMostBytes = size_t{1} << 20;

constexpr std::array<std::pair<std::string_view, LogLevel>, 5> kLogLevels = {{{"error", LogLevel::kError},
                                                                              {"warning", LogLevel::kWarning},
                                                                              {"notice", LogLevel::kNotice},
                                                                              {"info", LogLevel::kInfo},
                                                                              {"debug", LogLevel::kDebug}}};

using UserNamespaces = RuntimeHandler::UserNamespaces;
constexpr std::array<std::pair<std::string_view, UserNamespaces>, 3> kUserNamespaces = {
    {{"allowed", UserNamespaces::kAllowed},
     {"required", UserNamespaces::kRequired},
     {"refused", UserNamespaces::kRefused}}};

struct Unit {
  std::string_view name;
  uint64_t factor;
};
constexpr std::array<Unit, 6> kDurationUnits = {
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 5> kSizeUnits = {
    {{"", 1}, {"K", uint64_t{1} << 10}, {"M", uint64_t{1} << 20}, {"G", uint64_t{1} << 30}, {"T", uint64_t{1} << 40}}};

// A whole number and one of `units`, in the units of factor 1.
std::optional<uint64_t> ParseQuantity(std::string_view text, std::span<const Unit> units) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<uint64_t> number = base::ParseUnsigned(text.substr(0, digits));
  const std::string_view name = base::Trim(text.substr(digits));
  const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& each) { return each.name == name; });
  if (!number || unit == units.end() || *number > std::numeric_limits<uint64_t>::max() / unit->factor) return {};
  return *number * unit->factor;
}

// Each reader takes one kind of value; its error continues the sentence "<key> …".

base::Status Need(std::string_view what, const toml::node& node) {
  std::string kind;
  switch (node.type()) {
    case toml::node_type::table:
      kind = "a table";
      break;
    case toml::node_type::array:
      kind = "an array";
      break;
    case toml::node_type::string:
      kind = "a string";
      break;
    case toml::node_type::integer:
      kind = "an integer";
      break;
    case toml::node_type::floating_point:
      kind = "a floating-point number";
      break;
    case toml::node_type::boolean:
      kind = "a boolean";
      break;
    default:
      kind = "a date or time";
  }
  return base::InvalidArgument("must be " + std::string(what) + ", not " + kind);
}

base::Status ReadText(const toml::node& node, std::string& value) {
  if (!node.is_string()) return Need("a string", node);
  value = node.as_string()->get();
  if (value.find('\0') == std::string::npos) return base::Ok();
  return base::InvalidArgument("must not have a zero byte");
}

base::Status ReadPath(const toml::node& node, std::string& value) {
  RETURN_IF_ERROR(ReadText(node, value));
  if (value.empty() || value[0] != '/') {
    return base::InvalidArgument("is \"" + value + "\"; it must be an absolute path");
  }
  if (value.size() >= PATH_MAX) return base::InvalidArgument("is longer than a path may be");
  value = std::filesystem::path(value).lexically_normal().string();
  if (value.size() > 1 && value.back() == '/') value.pop_back();
  return base::Ok();
}

base::Status ReadPathOrNone(const toml::node& node, std::string& value) {
  if (node.is_string() && node.as_string()->get().empty()) {
    value.clear();
    return base::Ok();
  }
  return ReadPath(node, value);
}

base::Status ReadPathsOrNone(const toml::node& node, std::vector<std::string>& values) {
  if (!node.is_array()) return Need("an array of paths", node);
  values.clear();
  for (const toml::node& element : *node.as_array()) {
    RETURN_IF_ERROR(ReadPath(element, values.emplace_back()));
  }
  return base::Ok();
}

base::Status ReadTexts(const toml::node& node, std::vector<std::string>& values) {
  if (!node.is_array()) return Need("an array of strings", node);
  values.clear();
  for (const toml::node& element : *node.as_array()) RETURN_IF_ERROR(ReadText(element, values.emplace_back()));
  return base::Ok();
}

base::Status ReadPaths(const toml::node& node, std::vector<std::string>& values) {
  if (node.is_array() && node.as_array()->empty()) {
    return base::InvalidArgument("must name at least one directory");
  }
  return ReadPathsOrNone(node, values);
}

base::Status ReadFlag(const toml::node& node, bool& value) {
  if (!node.is_boolean()) return Need("true or false", node);
  value = node.as_boolean()->get();
  return base::Ok();
}

base::Status ReadSeccomp(const toml::node& node, std::string& value) {
  if (node.is_string() && (node.as_string()->get() == "default" || node.as_string()->get() == "unconfined")) {
    value = node.as_string()->get();
    return base::Ok();
  }
  base::Status read = ReadPath(node, value);
  if (read.ok() || !node.is_string()) return read;
  return base::InvalidArgument("is \"" + node.as_string()->get() +
                               "\"; it must be \"default\", \"unconfined\" or the absolute path of a profile");
}

base::Status ReadCapabilities(const toml::node& node, std::optional<uint64_t>& value) {
  if (!node.is_array()) return Need("an array of capabilities", node);
  value = 0;
  for (const toml::node& element : *node.as_array()) {
    std::string name;
    RETURN_IF_ERROR(ReadText(element, name));
    const auto number = nspawn::CapabilityNumber(name);
    if (!number) return base::InvalidArgument("has \"" + name + "\", which is no capability");
    *value |= uint64_t{1} << *number;
  }
  return base::Ok();
}

base::Status ReadUserNamespaces(const toml::node& node, RuntimeHandler::UserNamespaces& value) {
  std::string name;
  RETURN_IF_ERROR(ReadText(node, name));
  const auto* found = std::find_if(kUserNamespaces.begin(), kUserNamespaces.end(),
                                   [&](const auto& each) { return each.first == name; });
  if (found == kUserNamespaces.end()) {
    return base::InvalidArgument("is \"" + name + R"("; it must be "allowed", "required" or "refused")");
  }
  value = found->second;
  return base::Ok();
}

base::Status ReadSocket(const toml::node& node, std::string& value) {
  RETURN_IF_ERROR(ReadPath(node, value));
  constexpr size_t most = sizeof(sockaddr_un{}.sun_path) - 1;
  if (value.size() <= most) return base::Ok();
  return base::InvalidArgument("has " + std::to_string(value.size()) + " characters; a socket's path has at most " +
                               std::to_string(most));
}

base::Status ReadAddress(const toml::node& node, std::string& value) {
  RETURN_IF_ERROR(ReadText(node, value));
  in6_addr parsed{};
  if (::inet_pton(AF_INET, value.c_str(), &parsed) == 1 || ::inet_pton(AF_INET6, value.c_str(), &parsed) == 1) {
    return base::Ok();
  }
  return base::InvalidArgument("is \"" + value + "\"; it must be an IP address");
}

base::Status ReadLogLevel(const toml::node& node, LogLevel& value) {
  std::string name;
  RETURN_IF_ERROR(ReadText(node, name));
  const auto* level =
      std::find_if(kLogLevels.begin(), kLogLevels.end(), [&](const auto& each) { return each.first == name; });
  if (level == kLogLevels.end()) {
    return base::InvalidArgument("is \"" + name + R"("; it must be "error", "warning", "notice", "info" or "debug")");
  }
  value = level->second;
  return base::Ok();
}

template <typename Number>
base::Status ReadNumber(const toml::node& node, Number& value, int64_t least, int64_t most) {
  if (!node.is_integer()) return Need("an integer", node);
  const int64_t number = node.as_integer()->get();
  if (number < least || number > most) {
    return base::InvalidArgument("is " + std::to_string(number) + "; it must be from " + std::to_string(least) +
                                 " to " + std::to_string(most));
  }
  value = static_cast<Number>(number);
  return base::Ok();
}

base::Status ReadSize(const toml::node& node, uint64_t& value) {
  std::optional<uint64_t> bytes;
  if (node.is_integer()) {
    if (node.as_integer()->get() > 0) bytes = static_cast<uint64_t>(node.as_integer()->get());
  } else if (node.is_string()) {
    bytes = ParseQuantity(node.as_string()->get(), kSizeUnits);
  } else {
    return Need("a size", node);
  }
  if (!bytes || *bytes == 0) {
    return base::InvalidArgument(
        "must be a number of bytes above 0, or a string like \"512M\" with the unit K, M, G or T");
  }
  value = *bytes;
  return base::Ok();
}

// `Duration` is std::chrono::seconds or milliseconds.
template <typename Duration>
base::Status ReadDuration(const toml::node& node, Duration& value, milliseconds least, milliseconds most) {
  if (!node.is_string()) return Need("a string with a duration like \"90s\"", node);
  const std::optional<uint64_t> number = ParseQuantity(node.as_string()->get(), kDurationUnits);
  const std::string range =
      "from " + std::to_string(least.count() / 1000) + "s to " + std::to_string(most.count() / 1000) + "s";
  if (!number) {
    return base::InvalidArgument("is \"" + node.as_string()->get() +
                                 "\"; it must be a whole number with a unit, ms, s, min, h or d: \"90s\"");
  }
  if (*number < static_cast<uint64_t>(least.count()) || *number > static_cast<uint64_t>(most.count())) {
    return base::InvalidArgument("is " + node.as_string()->get() + "; it must be " + range);
  }
  value = std::chrono::duration_cast<Duration>(milliseconds(*number));
  if (value == milliseconds(*number)) return base::Ok();
  return base::InvalidArgument("is " + node.as_string()->get() + "; it must be whole seconds");
}

std::string LogLevelName(LogLevel level) {
  const auto* found =
      std::find_if(kLogLevels.begin(), kLogLevels.end(), [&](const auto& each) { return each.second == level; });
  return std::string(found->first);
}

std::string DurationText(milliseconds duration) {
  const int64_t count = duration.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + "s" : std::to_string(count) + "ms";
}

using Json = nlohmann::ordered_json;

struct Key {
  std::string_view name;
  base::Status (*read)(const toml::node& value, Config& config);
  Json (*show)(const Config& config);
};

// A key without a dot stands before the first table of the file.
const std::array kKeys = {
    Key{"state_directory", [](const toml::node& node, Config& c) { return ReadPath(node, c.state_directory); },
        [](const Config& c) -> Json { return c.state_directory; }},
    Key{"runtime_directory", [](const toml::node& node, Config& c) { return ReadPath(node, c.runtime_directory); },
        [](const Config& c) -> Json { return c.runtime_directory; }},
    Key{"log_level", [](const toml::node& node, Config& c) { return ReadLogLevel(node, c.log_level); },
        [](const Config& c) -> Json { return LogLevelName(c.log_level); }},

    Key{"server.socket", [](const toml::node& node, Config& c) { return ReadSocket(node, c.socket); },
        [](const Config& c) -> Json { return c.socket; }},
    Key{"server.group", [](const toml::node& node, Config& c) { return ReadText(node, c.group); },
        [](const Config& c) -> Json { return c.group; }},

    Key{"streaming.address", [](const toml::node& node, Config& c) { return ReadAddress(node, c.streaming.address); },
        [](const Config& c) -> Json { return c.streaming.address; }},
    Key{"streaming.port",
        [](const toml::node& node, Config& c) { return ReadNumber(node, c.streaming.port, 0, UINT16_MAX); },
        [](const Config& c) -> Json { return c.streaming.port; }},
    Key{"streaming.idle_timeout",
        [](const toml::node& node, Config& c) {
          return ReadDuration(node, c.streaming.idle_timeout, std::chrono::seconds(1), std::chrono::hours(24 * 7));
        },
        [](const Config& c) -> Json { return DurationText(c.streaming.idle_timeout); }},
    Key{"streaming.creation_timeout",
        [](const toml::node& node, Config& c) {
          return ReadDuration(node, c.streaming.creation_timeout, std::chrono::seconds(1), std::chrono::hours(1));
        },
        [](const Config& c) -> Json { return DurationText(c.streaming.creation_timeout); }},
    Key{"streaming.tls_certificate",
        [](const toml::node& node, Config& c) { return ReadPathOrNone(node, c.streaming.tls.certificate); },
        [](const Config& c) -> Json { return c.streaming.tls.certificate; }},
    Key{"streaming.tls_key",
        [](const toml::node& node, Config& c) { return ReadPathOrNone(node, c.streaming.tls.key); },
        [](const Config& c) -> Json { return c.streaming.tls.key; }},
    Key{"streaming.tls_client_ca",
        [](const toml::node& node, Config& c) { return ReadPathOrNone(node, c.streaming.tls.client_ca); },
        [](const Config& c) -> Json { return c.streaming.tls.client_ca; }},

    Key{"image.hosts_directory",
        [](const toml::node& node, Config& c) { return ReadPathOrNone(node, c.images.hosts_directory); },
        [](const Config& c) -> Json { return c.images.hosts_directory; }},
    Key{"image.signature_policy",
        [](const toml::node& node, Config& c) { return ReadPathOrNone(node, c.images.signature_policy); },
        [](const Config& c) -> Json { return c.images.signature_policy; }},
    Key{"image.import_directory",
        [](const toml::node& node, Config& c) { return ReadPathOrNone(node, c.images.import_directory); },
        [](const Config& c) -> Json { return c.images.import_directory; }},
    Key{"image.pinned", [](const toml::node& node, Config& c) { return ReadTexts(node, c.pinned_images); },
        [](const Config& c) -> Json { return c.pinned_images; }},
    Key{"image.parallel_layers",
        [](const toml::node& node, Config& c) { return ReadNumber(node, c.images.parallel_layers, 1, 64); },
        [](const Config& c) -> Json { return c.images.parallel_layers; }},
    Key{"image.parallel_layers_per_image",
        [](const toml::node& node, Config& c) { return ReadNumber(node, c.images.parallel_layers_per_image, 1, 64); },
        [](const Config& c) -> Json { return c.images.parallel_layers_per_image; }},
    Key{"image.parallel_layers_per_registry",
        [](const toml::node& node, Config& c) {
          return ReadNumber(node, c.images.parallel_layers_per_registry, 1, 64);
        },
        [](const Config& c) -> Json { return c.images.parallel_layers_per_registry; }},
    Key{"image.most_layer_bytes",
        [](const toml::node& node, Config& c) { return ReadSize(node, c.images.most_layer_bytes); },
        [](const Config& c) -> Json { return c.images.most_layer_bytes; }},
    Key{"image.most_layer_entries",
        [](const toml::node& node, Config& c) {
          return ReadNumber(node, c.images.most_layer_entries, 1, 1'000'000'000);
        },
        [](const Config& c) -> Json { return c.images.most_layer_entries; }},
    Key{"image.idle_timeout",
        [](const toml::node& node, Config& c) {
          return ReadDuration(node, c.images.idle_timeout, std::chrono::seconds(1), std::chrono::hours(1));
        },
        [](const Config& c) -> Json { return DurationText(c.images.idle_timeout); }},

    Key{"cni.configuration_directory",
        [](const toml::node& node, Config& c) { return ReadPath(node, c.network.configuration_directory); },
        [](const Config& c) -> Json { return c.network.configuration_directory; }},
    Key{"cni.plugin_directories",
        [](const toml::node& node, Config& c) { return ReadPaths(node, c.network.plugin_directories); },
        [](const Config& c) -> Json { return c.network.plugin_directories; }},
    Key{"cni.plugin_timeout",
        [](const toml::node& node, Config& c) {
          return ReadDuration(node, c.network.plugin_timeout, std::chrono::seconds(1), std::chrono::hours(1));
        },
        [](const Config& c) -> Json { return DurationText(c.network.plugin_timeout); }},
    Key{"cni.plugin_shortcuts",
        [](const toml::node& node, Config& c) { return ReadFlag(node, c.network.plugin_shortcuts); },
        [](const Config& c) -> Json { return c.network.plugin_shortcuts; }},
    Key{"cni.network_namespace_directory",
        [](const toml::node& node, Config& c) { return ReadPath(node, c.network_namespace_directory); },
        [](const Config& c) -> Json { return c.network_namespace_directory; }},

    Key{"journal.container_output", [](const toml::node& node, Config& c) { return ReadFlag(node, c.journal.enabled); },
        [](const Config& c) -> Json { return c.journal.enabled; }},
    Key{"journal.container_lines",
        [](const toml::node& node, Config& c) { return ReadNumber(node, c.journal.container_lines, 1, 1'000'000); },
        [](const Config& c) -> Json { return c.journal.container_lines; }},
    Key{"journal.all_lines",
        [](const toml::node& node, Config& c) { return ReadNumber(node, c.journal.all_lines, 1, 1'000'000); },
        [](const Config& c) -> Json { return c.journal.all_lines; }},

    Key{"tracing.endpoint", [](const toml::node& node, Config& c) { return ReadText(node, c.trace_endpoint); },
        [](const Config& c) -> Json { return c.trace_endpoint; }},
    Key{"tracing.sampling_rate_per_million",
        [](const toml::node& node, Config& c) { return ReadNumber(node, c.trace_sampling_rate, 0, 1'000'000); },
        [](const Config& c) -> Json { return c.trace_sampling_rate; }},

    Key{"cdi.directories", [](const toml::node& node, Config& c) { return ReadPathsOrNone(node, c.cdi_directories); },
        [](const Config& c) -> Json { return c.cdi_directories; }},
};

struct HandlerKey {
  std::string_view name;
  base::Status (*read)(const toml::node& value, RuntimeHandler& handler);
  Json (*show)(const RuntimeHandler& handler);
};

// Keys of every table runtime_handlers.<name>.
const std::array kHandlerKeys = {
    HandlerKey{"seccomp", [](const toml::node& node, RuntimeHandler& h) { return ReadSeccomp(node, h.seccomp); },
               [](const RuntimeHandler& h) -> Json { return h.seccomp; }},
    HandlerKey{"capabilities",
               [](const toml::node& node, RuntimeHandler& h) { return ReadCapabilities(node, h.capabilities); },
               [](const RuntimeHandler& h) -> Json {
                 return nspawn::CapabilityNames(h.capabilities.value_or(nspawn::kDefaultCapabilities));
               }},
    HandlerKey{"user_namespaces",
               [](const toml::node& node, RuntimeHandler& h) { return ReadUserNamespaces(node, h.user_namespaces); },
               [](const RuntimeHandler& h) -> Json {
                 return std::string(kUserNamespaces[static_cast<size_t>(h.user_namespaces)].first);
               }},
    HandlerKey{
        "privileged_without_host_devices",
        [](const toml::node& node, RuntimeHandler& h) { return ReadFlag(node, h.privileged_without_host_devices); },
        [](const RuntimeHandler& h) -> Json { return h.privileged_without_host_devices; }},
};

constexpr std::string_view kHandlers = "runtime_handlers";

// As TOML writes the table's name.
std::string HandlerTable(const std::string& name) {
  return std::string(kHandlers) + "." + (name.empty() ? "\"\"" : name);
}

// What Kubernetes allows in a RuntimeClass, a DNS label, and "" for the default handler.
bool IsHandlerName(std::string_view name) {
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return name.size() <= 63 && std::all_of(name.begin(), name.end(), [&](char c) { return is_plain(c) || c == '-'; }) &&
         (name.empty() || (is_plain(name.front()) && is_plain(name.back())));
}

// How many letters must be changed, added or left out to make `typed` the beginning of `known`, and how many to make it
// the whole.
std::pair<size_t, size_t> Distance(std::string_view typed, std::string_view known) {
  std::vector<size_t> row(known.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < typed.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < known.size(); ++j) {
      const size_t change = diagonal + (typed[i] == known[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, row[j + 1] + 1});
    }
  }
  return {*std::min_element(row.begin(), row.end()), row.back()};
}

std::string_view LastPart(std::string_view name) {
  return name.substr(name.rfind('.') + 1);
}

std::string_view TableOf(std::string_view name) {
  return name.substr(0, std::min(name.find('.'), name.size()));
}

// The key or table that was probably meant, or nothing.
std::string_view Suggestion(std::string_view unknown, bool is_table) {
  std::pair<size_t, size_t> best{unknown.size(), unknown.size()};
  std::string_view suggestion;
  const std::string_view typed = LastPart(unknown).substr(0, 64);
  for (const Key& key : kKeys) {
    if (is_table && TableOf(key.name) == key.name) continue;
    const std::string_view candidate = is_table ? TableOf(key.name) : key.name;
    const auto distance = Distance(typed, LastPart(candidate));
    if (distance.first <= typed.size() / 3 && distance < best) {
      best = distance;
      suggestion = candidate;
    }
  }
  return suggestion;
}

struct Mistake {
  uint32_t line;
  std::string what;
};

class Reader {
 public:
  explicit Reader(Config& config) : config_(config) {}

  void ReadTable(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, value] : table) {
      const std::string name = prefix + std::string(key.str());
      const auto* known = std::find_if(kKeys.begin(), kKeys.end(), [&](const Key& each) { return each.name == name; });
      if (known != kKeys.end()) {
        const base::Status read = known->read(value, config_);
        if (!read.ok()) Add(value.source(), name + " " + read.error().message());
      } else if (prefix.empty() && IsTable(name)) {
        if (value.is_table()) {
          ReadTable(*value.as_table(), name + ".");
        } else {
          Add(value.source(), name + " " + Need("a table", value).error().message());
        }
      } else if (name == kHandlers && value.is_table()) {
        ReadHandlers(*value.as_table());
      } else {
        AddUnknown(key.source(), name, value.is_table());
      }
    }
  }

  const std::optional<Mistake>& mistake() const { return mistake_; }

 private:
  void ReadHandlers(const toml::table& table) {
    for (const auto& [key, value] : table) {
      const std::string name(key.str());
      const std::string where = HandlerTable(name);
      if (!IsHandlerName(name)) {
        Add(key.source(), where + ": a handler's name has only a-z, 0-9 and, inside, \"-\"");
      } else if (!value.is_table()) {
        Add(value.source(), where + " " + Need("a table", value).error().message());
      } else {
        ReadHandler(where, *value.as_table(), config_.runtime_handlers[name]);
      }
    }
  }
  void ReadHandler(const std::string& where, const toml::table& table, RuntimeHandler& handler) {
    for (const auto& [key, value] : table) {
      const std::string_view own_name = key.str();
      const auto* known = std::find_if(kHandlerKeys.begin(), kHandlerKeys.end(),
                                       [&](const HandlerKey& each) { return each.name == own_name; });
      const std::string name = where + "." + std::string(own_name);
      if (known == kHandlerKeys.end()) {
        Add(key.source(), "unknown key \"" + name + "\"");
        continue;
      }
      const base::Status read = known->read(value, handler);
      if (!read.ok()) Add(value.source(), name + " " + read.error().message());
    }
  }
  static bool IsTable(const std::string& name) {
    return std::any_of(kKeys.begin(), kKeys.end(),
                       [&](const Key& each) { return each.name.substr(0, name.size() + 1) == name + "."; });
  }
  void AddUnknown(const toml::source_region& where, const std::string& name, bool is_table) {
    const std::string_view suggestion = Suggestion(name, is_table);
    std::string what = std::string("unknown ") + (is_table ? "table" : "key") + " \"" + name + "\"";
    if (!suggestion.empty()) what += "; did you mean \"" + std::string(suggestion) + "\"?";
    Add(where, what);
  }
  // The tables come sorted by name: the earliest line is kept.
  void Add(const toml::source_region& where, std::string what) {
    if (mistake_ && mistake_->line <= where.begin.line) return;
    mistake_ = {where.begin.line, std::move(what)};
  }

  Config& config_;
  std::optional<Mistake> mistake_;
};

base::Error At(std::string_view name, uint32_t line, std::string_view what) {
  return base::InvalidArgument(std::string(name) + ":" + std::to_string(line) + ": " + base::Printable(what));
}

// What no key shows by itself.
base::Status CheckTogether(const Config& config) {
  const streaming::TlsOptions& tls = config.streaming.tls;
  if (tls.certificate.empty() != tls.key.empty()) {
    return base::InvalidArgument("streaming.tls_certificate and streaming.tls_key need each other");
  }
  if (!tls.client_ca.empty() && tls.certificate.empty()) {
    return base::InvalidArgument("streaming.tls_client_ca needs streaming.tls_certificate");
  }
  return base::Ok();
}

void SetDerived(Config& config) {
  config.images.root = config.state_directory + "/images";
  config.network.cache_directory = config.state_directory + "/cni";
}

}  // namespace

Config::Config() {
  images.hosts_directory = "/etc/cri-nspawn/certs.d";
  images.import_directory = "/var/lib/cri-nspawn/import";
  SetDerived(*this);
}

base::Result<Config> ParseConfig(std::string_view text, std::string_view name) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return At(name, parsed.error().source().begin.line, parsed.error().description());
  Config config;
  Reader reader(config);
  reader.ReadTable(parsed.table(), "");
  if (reader.mistake()) return At(name, reader.mistake()->line, reader.mistake()->what);
  RETURN_IF_ERROR(CheckTogether(config).Wrap(name));
  SetDerived(config);
  return config;
}

base::Result<Config> LoadConfig(const std::string& path) {
  const base::Result<std::string> text = base::ReadFile(path, kMostBytes);
  if (text.ok()) return ParseConfig(*text, path);
  if (text.error().number() == ENOENT) return Config();
  return base::Error(text.error()).Wrap("read the configuration");
}

std::string ConfigJson(const Config& config) {
  Json json = Json::object();
  for (const Key& key : kKeys) json[std::string(key.name)] = key.show(config);
  for (const auto& [name, handler] : config.runtime_handlers) {
    for (const HandlerKey& key : kHandlerKeys) {
      json[HandlerTable(name) + "." + std::string(key.name)] = key.show(handler);
    }
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cri
