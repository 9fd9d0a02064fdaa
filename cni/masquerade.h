// The rules on the host by which the reference plugins bridge and ptp do "ipMasq", made by the runtime.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "cni/configuration.h"
#include "cni/plugin_runner.h"

namespace cni {

// The plugins (containernetworking/plugins, pkg/ip) call iptables(8) for each rule, ten times for an address, and where
// that works by nf_tables the end of each process that has removed something waits for an RCU grace period. Here the
// same rules, in the same order and with the same comments, come and go in one transaction of iptables-restore(8).
//
// A plugin's own DEL removes rules that were made here, and the other way round. Thread-safe.
class Masquerade {
 public:
  // Programs are searched in `directories`, in this order. `runner` must outlive this.
  Masquerade(PluginRunner& runner, std::vector<std::string> directories, std::chrono::milliseconds timeout);

  // Whether the rules of this plugin are known here: bridge or ptp with "ipMasq", and no other way of making them asked
  // for.
  static bool Covers(const Plugin& plugin);

  // Whether iptables is there for both families, and so is what is needed here.
  bool IsAvailable() const;

  // Makes the rules for all addresses that the plugin's result gives to `interface`.
  base::Status Add(const std::string& network, const std::string& container_id, const std::string& interface,
                   const base::Json& result) const;

  // Removes the rules for these addresses (without prefix length). Where these are not all that there are, or none are
  // given, those of the container are looked for among all rules. Success when there are none (any more).
  base::Status Delete(const std::string& network, const std::string& container_id,
                      const std::vector<std::string>& addresses) const;

 private:
  struct Family;
  base::Result<PluginOutput> Run(const std::string& name, std::vector<std::string> arguments,
                                 std::string standard_input) const;
  base::Status Restore(const Family& family, const std::string& rules) const;
  base::Status DeleteFound(const Family& family, const std::string& chain) const;

  static const Family kFamilies[2];

  PluginRunner& runner_;
  const std::vector<std::string> directories_;
  const std::chrono::milliseconds timeout_;
};

}  // namespace cni
