#include "cni/plugin_chain.h"

#include <net/if.h>

#include <algorithm>
#include <future>

#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "cni/executable.h"
#include "cni/namespaces.h"
#include "cni/plugin_result.h"

namespace cni {
namespace {

constexpr size_t kMostMessage = 1024;
// The cache makes a file name of it.
constexpr size_t kMostIdLength = 128;
// "Container unknown or does not exist. This error implies the runtime does not need to perform any container network
// cleanup" (section 2, "Error").
constexpr uint64_t kUnknownContainer = 3;
// For what a kubelet's question, or every new pod, waits for.
constexpr std::chrono::milliseconds kMostForNetwork{10'000};

std::string Joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// Section 3, "Deriving execution configuration from plugin configuration".
base::Json RequestConfiguration(const Configuration& configuration, const Plugin& plugin, const Invocation& invocation,
                                const base::Json& previous_result) {
  base::Json request = plugin.object;
  request.erase("capabilities");
  request.erase("prevResult");
  request["name"] = configuration.name;
  request["cniVersion"] = configuration.version;
  for (const std::string& capability : plugin.capabilities) {
    const auto value = invocation.capabilities.find(capability);
    if (value == invocation.capabilities.end()) continue;
    base::Json& runtime_configuration = request["runtimeConfig"];
    if (!runtime_configuration.is_object()) runtime_configuration = base::Json::object();
    runtime_configuration[capability] = *value;
  }
  if (invocation.masquerade && Masquerade::Covers(plugin)) request["ipMasq"] = false;
  if (!previous_result.is_null()) request["prevResult"] = previous_result;
  return request;
}

// The reference plugin portmap gives back what it is given, and in a DEL does nothing, where there are no port
// mappings.
bool IsIdle(const Plugin& plugin, const Invocation& invocation) {
  return plugin.type == "portmap" && !plugin.object.contains("runtimeConfig") &&
         (!plugin.capabilities.contains("portMappings") || !invocation.capabilities.contains("portMappings"));
}

std::vector<std::string> Environment(std::string_view verb, const Invocation& invocation) {
  return {"CNI_COMMAND=" + std::string(verb), "CNI_CONTAINERID=" + invocation.container_id,
          "CNI_NETNS=" + invocation.namespace_path, "CNI_IFNAME=" + invocation.interface,
          "CNI_ARGS=" + invocation.arguments};
}

// Whether the interface is in its namespace still: not when a DEL was cut off, by this process or an earlier one.
bool HasInterface(const Invocation& invocation) {
  if (invocation.namespace_path.empty()) return false;
  bool found = false;
  const base::Status looked = RunInNamespace(invocation.namespace_path, [&] {
    found = ::if_nametoindex(invocation.interface.c_str()) != 0;
    return base::Ok();
  });
  return looked.ok() && found;
}

// The error object of section 5, "Error", as one sentence. Plugins are not trusted to keep to its types.
std::string ErrorText(const base::Json& error, uint64_t code) {
  const auto text = [&](const char* name) -> std::string {
    const auto member = error.find(name);
    if (member == error.end() || !member->is_string()) return {};
    return base::Printable(base::Trim(member->get_ref<const std::string&>()), kMostMessage);
  };
  std::string message = text("msg");
  if (const std::string details = text("details"); !details.empty()) {
    message += message.empty() ? details : "; " + details;
  }
  if (message.empty()) message = "it gave no reason";
  return code == 0 ? message : message + " (error code " + std::to_string(code) + ")";
}

// What can be told of a failed plugin that printed no error object.
std::string PlainFailureText(const PluginOutput& output) {
  std::string message = output.exit_code > 128 ? "it was ended by signal " + std::to_string(output.exit_code - 128)
                                               : "it exited with status " + std::to_string(output.exit_code);
  const std::string_view errors = base::Trim(output.standard_error);
  const std::string_view said = errors.empty() ? base::Trim(output.standard_output) : errors;
  if (said.empty()) return message + " and gave no reason";
  return message + " and printed: " + base::Printable(said, kMostMessage);
}

// Section 5, "ADD Success". A result without a version is of the version it was asked in.
base::Result<base::Json> ParseResult(std::string_view output, const Configuration& configuration) {
  ASSIGN_OR_RETURN(base::Json result, base::ParseJsonObject(output));
  ASSIGN_OR_RETURN(const std::string version, base::StringMember(result, "cniVersion"));
  if (version.empty()) {
    result["cniVersion"] = configuration.version;
  } else if (!IsSupportedVersion(version)) {
    return base::InvalidArgument("its cniVersion " + base::Printable(version, 32) + " is not supported");
  }
  return result;
}

// The kernel's rules (dev_valid_name) for a name of at most IFNAMSIZ - 1 characters.
bool IsInterfaceName(std::string_view name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || c == ':' || static_cast<unsigned char>(c) <= 0x20 || c == 0x7F;
         });
}

}  // namespace

base::Status Validate(const Invocation& invocation) {
  const auto refuse = [](std::string_view what, const std::string& value) {
    return base::InvalidArgument("\"" + base::Printable(value, 128) + "\" is no valid " + std::string(what));
  };
  if (!IsIdentifier(invocation.container_id) || invocation.container_id.size() > kMostIdLength) {
    return refuse("container id", invocation.container_id);
  }
  if (!IsInterfaceName(invocation.interface)) return refuse("interface name", invocation.interface);
  const std::string& path = invocation.namespace_path;
  if ((!path.empty() && path[0] != '/') || path.find('\0') != std::string::npos) return refuse("namespace path", path);
  if (invocation.arguments.find('\0') != std::string::npos) return refuse("CNI_ARGS", invocation.arguments);
  return base::Ok();
}

PluginChain::PluginChain(PluginRunner& runner, std::vector<std::string> directories,
                         std::vector<std::string> program_directories, std::chrono::milliseconds timeout,
                         bool shortcuts)
    : runner_(runner),
      directories_(std::move(directories)),
      path_("PATH=" + Joined(program_directories, ":")),
      timeout_(timeout),
      shortcuts_(shortcuts),
      masquerade_(runner, std::move(program_directories), timeout) {}

base::Result<std::string> PluginChain::Find(const std::string& type) const {
  std::string path = FindExecutable(directories_, type);
  if (!path.empty()) return path;
  return base::Error(base::Code::kFailedPrecondition, "the CNI plugin " + base::Printable(type, 64) +
                                                          " is not installed in " + Joined(directories_, " or "));
}

base::Status PluginChain::FindAll(const Configuration& configuration) const {
  for (const Plugin& plugin : configuration.plugins) RETURN_IF_ERROR(Find(plugin.type));
  return base::Ok();
}

bool PluginChain::MakesRules(const Configuration& configuration) const {
  return shortcuts_ && KnowsRules(configuration);
}

bool PluginChain::KnowsRules(const Configuration& configuration) const {
  return std::any_of(configuration.plugins.begin(), configuration.plugins.end(), &Masquerade::Covers) &&
         masquerade_.IsAvailable();
}

PluginChain::Outcome PluginChain::Run(std::string_view verb, const Configuration& configuration, const Plugin& plugin,
                                      const Invocation& invocation, const base::Json& previous_result) const {
  return Execute(verb, plugin, Environment(verb, invocation),
                 RequestConfiguration(configuration, plugin, invocation, previous_result), timeout_);
}

PluginChain::Outcome PluginChain::RunForNetwork(std::string_view verb, const Configuration& configuration,
                                                const Plugin& plugin, const base::Json& members) const {
  base::Json request = RequestConfiguration(configuration, plugin, Invocation(), base::Json());
  request.update(members);
  return Execute(verb, plugin, {"CNI_COMMAND=" + std::string(verb)}, request, std::min(timeout_, kMostForNetwork));
}

PluginChain::Outcome PluginChain::Execute(std::string_view verb, const Plugin& plugin,
                                          std::vector<std::string> environment, const base::Json& request,
                                          std::chrono::milliseconds timeout) const {
  // The wording of libcni, which users search the web for.
  const std::string doing = "plugin type=\"" + base::Printable(plugin.type, 64) + "\" failed (" + LowerCase(verb) + ")";
  auto program = Find(plugin.type);
  if (!program.ok()) return {{}, 0, std::move(program).error()};
  const base::TraceSpan span("cni", plugin.type, verb);
  PluginCall call;
  call.program = *std::move(program);
  call.environment = std::move(environment);
  call.environment.push_back("CNI_PATH=" + Joined(directories_, ":"));
  call.environment.push_back(path_);
  call.standard_input = base::JsonText(request);
  call.timeout = timeout;
  auto output = runner_.Run(call);
  if (!output.ok()) return {{}, 0, std::move(output).error().Wrap(doing)};
  if (output->exit_code == 0) return {std::move(output->standard_output), 0, base::Ok()};

  uint64_t code = 0;
  std::string message;
  if (const auto error = base::ParseJsonObject(output->standard_output);
      error.ok() && (error->contains("msg") || error->contains("code"))) {
    if (const auto member = error->find("code"); member != error->end() && member->is_number_unsigned()) {
      code = member->get<uint64_t>();
    }
    message = ErrorText(*error, code);
  } else {
    message = PlainFailureText(*output);
  }
  return {{}, code, base::Error(base::Code::kUnknown, doing + ": " + message)};
}

base::Status PluginChain::Add(const Configuration& configuration, const Invocation& invocation,
                              base::Json& result) const {
  result = nullptr;
  for (const Plugin& plugin : configuration.plugins) {
    if (shortcuts_ && IsIdle(plugin, invocation) && !result.is_null()) continue;
    Outcome outcome = Run("ADD", configuration, plugin, invocation, result);
    RETURN_IF_ERROR(std::move(outcome.status));
    FAULT_POINT("network attach: a plugin has run");
    auto parsed = ParseResult(outcome.output, configuration);
    if (!parsed.ok()) {
      return std::move(parsed)
          .error()
          .WithCode(base::Code::kUnknown)
          .Wrap("plugin type=\"" + base::Printable(plugin.type, 64) + "\" gave a result that cannot be used");
    }
    result = *std::move(parsed);
    if (!invocation.masquerade || !Masquerade::Covers(plugin)) continue;
    RETURN_IF_ERROR(masquerade_.Add(configuration.name, invocation.container_id, invocation.interface, result));
    FAULT_POINT("network attach: rules made");
  }
  return base::Ok();
}

base::Status PluginChain::Delete(const Configuration& configuration, const Invocation& invocation,
                                 const base::Json& result) const {
  const auto delete_rules = [&,
                             caller = base::CurrentTrace()](const std::vector<std::string>& addresses) -> base::Status {
    const base::TraceParent parent(caller);
    RETURN_IF_ERROR(masquerade_.Delete(configuration.name, invocation.container_id, addresses));
    FAULT_POINT("network detach: rules removed");
    return base::Ok();
  };
  bool complete = true;
  if (invocation.masquerade) {
    const auto addresses = AddressesOf(result, invocation.interface);
    // Where no thread can be had it is done last.
    auto rules = std::async(delete_rules, addresses.ok() ? *addresses : std::vector<std::string>());
    base::Status deleted = DeletePlugins(configuration, invocation, result, complete);
    base::Status rules_deleted = rules.get();
    return deleted.ok() ? std::move(rules_deleted) : std::move(deleted);
  }
  // bridge and ptp (1.1.1 to 1.7) learn from the interface for which addresses they have made rules.
  const bool knows_rules = KnowsRules(configuration);
  if (knows_rules) complete = HasInterface(invocation);
  RETURN_IF_ERROR(DeletePlugins(configuration, invocation, result, complete));
  return complete || !knows_rules ? base::Ok() : delete_rules({});
}

base::Status PluginChain::DeletePlugins(const Configuration& configuration, const Invocation& invocation,
                                        const base::Json& result, bool& complete) const {
  // Before version 0.4.0 a DEL knew no prevResult.
  const base::Json previous_result = IsAtLeast(configuration.version, "0.4.0") ? result : base::Json();
  for (auto plugin = configuration.plugins.rbegin(); plugin != configuration.plugins.rend(); ++plugin) {
    if (shortcuts_ && IsIdle(*plugin, invocation)) continue;
    Outcome outcome = Run("DEL", configuration, *plugin, invocation, previous_result);
    // Whether it was killed, failed over rules that others were changing, or over what it did not come to make in its
    // ADD.
    if (!outcome.status.ok() && outcome.error_code != kUnknownContainer &&
        outcome.status.error().code() == base::Code::kUnknown) {
      base::Log(base::LogLevel::kNotice, "once more: " + outcome.status.error().message());
      complete = false;
      outcome = Run("DEL", configuration, *plugin, invocation, previous_result);
    }
    FAULT_POINT("network detach: a plugin has run");
    if (!outcome.status.ok() && outcome.error_code != kUnknownContainer) return std::move(outcome.status);
  }
  return base::Ok();
}

base::Status PluginChain::Check(const Configuration& configuration, const Invocation& invocation,
                                const base::Json& result) const {
  if (!configuration.checked || !IsAtLeast(configuration.version, "0.4.0")) return base::Ok();
  for (const Plugin& plugin : configuration.plugins) {
    RETURN_IF_ERROR(Run("CHECK", configuration, plugin, invocation, result).status);
  }
  return base::Ok();
}

base::Status PluginChain::Status(const Configuration& configuration) const {
  if (!IsAtLeast(configuration.version, "1.1.0")) return base::Ok();
  for (const Plugin& plugin : configuration.plugins) {
    RETURN_IF_ERROR(RunForNetwork("STATUS", configuration, plugin, base::Json::object()).status);
  }
  return base::Ok();
}

base::Status PluginChain::CollectGarbage(const Configuration& configuration, const std::vector<Valid>& valid) const {
  if (!configuration.garbage_collected || !IsAtLeast(configuration.version, "1.1.0")) return base::Ok();
  base::Json attachments = base::Json::array();
  for (const Valid& each : valid) {
    attachments.push_back({{"containerID", each.container_id}, {"ifname", each.interface}});
  }
  base::Status first;
  for (const Plugin& plugin : configuration.plugins) {
    Outcome outcome = RunForNetwork("GC", configuration, plugin, {{"cni.dev/valid-attachments", attachments}});
    if (first.ok()) first = std::move(outcome.status);
  }
  return first;
}

}  // namespace cni
