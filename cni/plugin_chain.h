// Runs the plugins of a network configuration one after another (sections 2 to 4 of the specification).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "cni/configuration.h"
#include "cni/masquerade.h"
#include "cni/plugin_runner.h"

namespace cni {

// The parameters that all plugin calls for one attachment share.
struct Invocation {
  std::string container_id;                        // CNI_CONTAINERID
  std::string namespace_path;                      // CNI_NETNS; empty when the namespace is gone
  std::string interface;                           // CNI_IFNAME
  std::string arguments;                           // CNI_ARGS
  base::Json capabilities = base::Json::object();  // capability arguments by name
  bool masquerade = false;                         // the rules of "ipMasq" are the runtime's (masquerade.h)
};

// Whether the parameters may be handed to a plugin (section 2, "Parameters"): kInvalidArgument when not.
base::Status Validate(const Invocation& invocation);

// Thread-safe.
class PluginChain {
 public:
  // Plugins are searched in `directories`, and search programs in `program_directories`. With `shortcuts`, the runtime
  // makes rules in their place, and plugins that would do nothing are not called. `runner` must outlive the chain.
  PluginChain(PluginRunner& runner, std::vector<std::string> directories, std::vector<std::string> program_directories,
              std::chrono::milliseconds timeout, bool shortcuts);

  // kFailedPrecondition with the name of the first plugin that is in none of the directories.
  base::Status FindAll(const Configuration& configuration) const;

  // Whether the rules of "ipMasq" are to be made by the runtime, in place of a plugin of this configuration.
  bool MakesRules(const Configuration& configuration) const;

  // Calls ADD of every plugin in order, each with its predecessor's result. `result` holds the result of the last
  // plugin that succeeded, null when none has, also after a failure.
  base::Status Add(const Configuration& configuration, const Invocation& invocation, base::Json& result) const;

  // Calls DEL of every plugin in reverse order, each with `result`, that of the ADD or null when it is not known. A
  // plugin that fails is called once more; a second failure ends it, as the specification wants it. Rules of "ipMasq"
  // that the runtime made go at the same time, and those that a plugin would not find after it was cut off, afterwards.
  base::Status Delete(const Configuration& configuration, const Invocation& invocation, const base::Json& result) const;

  // Calls CHECK of every plugin in order, each with `result`. Nothing is called where the configuration disables that,
  // or is of a version before 0.4.0, which has no CHECK.
  base::Status Check(const Configuration& configuration, const Invocation& invocation, const base::Json& result) const;

  // Calls STATUS of every plugin: the first failure, in the plugin's words. Versions before 1.1.0 have no STATUS.
  base::Status Status(const Configuration& configuration) const;

  // An attachment that is in use.
  struct Valid {
    std::string container_id;
    std::string interface;
  };
  // Calls GC of every plugin, which releases what belongs to no attachment in `valid`. A failure does not keep the
  // other plugins from being called; the first one is given back. Not where the configuration disables that, and
  // versions before 1.1.0 have no GC.
  base::Status CollectGarbage(const Configuration& configuration, const std::vector<Valid>& valid) const;

 private:
  struct Outcome {
    std::string output;       // of a plugin that succeeded
    uint64_t error_code = 0;  // of the error that a plugin reported, 0 when there is none
    base::Status status;
  };
  base::Result<std::string> Find(const std::string& type) const;
  // Whether a plugin of this configuration makes rules that the runtime knows, too.
  bool KnowsRules(const Configuration& configuration) const;
  Outcome Run(std::string_view verb, const Configuration& configuration, const Plugin& plugin,
              const Invocation& invocation, const base::Json& previous_result) const;
  // A verb that is not about one attachment; `members` join the plugin's configuration.
  Outcome RunForNetwork(std::string_view verb, const Configuration& configuration, const Plugin& plugin,
                        const base::Json& members) const;
  // `complete` becomes false when a plugin did not come to its end at once.
  base::Status DeletePlugins(const Configuration& configuration, const Invocation& invocation, const base::Json& result,
                             bool& complete) const;
  Outcome Execute(std::string_view verb, const Plugin& plugin, std::vector<std::string> environment,
                  const base::Json& request, std::chrono::milliseconds timeout) const;

  PluginRunner& runner_;
  const std::vector<std::string> directories_;
  const std::string path_;  // PATH=…
  const std::chrono::milliseconds timeout_;
  const bool shortcuts_;
  const Masquerade masquerade_;
};

}  // namespace cni
