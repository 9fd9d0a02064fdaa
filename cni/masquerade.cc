#include "cni/masquerade.h"

#include <arpa/inet.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "cni/executable.h"
#include "cni/plugin_result.h"

namespace cni {
namespace {

constexpr size_t kMostMessage = 1024;
// Of xtables-nft and xtables-legacy: "No chain/target/match by that name", and a kernel without such a table.
constexpr int kNoSuchChain = 1;
constexpr int kNoSuchTable = 3;
// Others may change the rules between a look at them and the transaction.
constexpr int kMostTries = 3;

// pkg/utils, FormatChainName(): 28 characters.
std::string ChainOf(const std::string& network, const std::string& container_id) {
  const std::string both = network + container_id;
  std::array<char, EVP_MAX_MD_SIZE> digest;
  size_t size = 0;
  EVP_Q_digest(nullptr, "SHA512", nullptr, both.data(), both.size(), reinterpret_cast<unsigned char*>(digest.data()),
               &size);
  return ("CNI-" + base::Hex({digest.data(), size})).substr(0, 28);
}

// pkg/utils, FormatComment(), as an argument in the input of iptables-restore(8). Both names are identifiers.
std::string CommentOf(const std::string& network, const std::string& container_id) {
  return R"( -m comment --comment "name: \")" + network + R"(\" id: \")" + container_id + R"(\"")";
}

bool IsVersion6(const std::string& address) {
  return address.find(':') != std::string::npos;
}

// "10.1.2.3" and 16 to "10.1.0.0/16".
std::string SubnetOf(const InterfaceAddress& address) {
  in6_addr binary{};
  const int family = IsVersion6(address.address) ? AF_INET6 : AF_INET;
  ::inet_pton(family, address.address.c_str(), &binary);
  for (size_t i = 0; i < sizeof binary; ++i) {
    const size_t kept = std::clamp<size_t>(address.prefix_length, i * 8, i * 8 + 8) - i * 8;
    binary.s6_addr[i] = static_cast<uint8_t>(binary.s6_addr[i] & (0xff00 >> kept));
  }
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(family, &binary, text, sizeof text);
  return std::string(text) + "/" + std::to_string(address.prefix_length);
}

// The chain is made, or emptied where it is there.
std::string EmptyChain(const std::string& chain) {
  return ":" + chain + " - [0:0]\n";
}

base::Status FailureOf(const std::string& program, const PluginOutput& output) {
  return base::Error(base::Code::kUnknown, program + " exited with status " + std::to_string(output.exit_code) + ": " +
                                               base::Printable(base::Trim(output.standard_error), kMostMessage));
}

}  // namespace

struct Masquerade::Family {
  bool version6;
  std::string iptables;
  std::string restore;
  std::string multicast;
};

const Masquerade::Family Masquerade::kFamilies[2] = {{false, "iptables", "iptables-restore", "224.0.0.0/4"},
                                                     {true, "ip6tables", "ip6tables-restore", "ff00::/8"}};

Masquerade::Masquerade(PluginRunner& runner, std::vector<std::string> directories, std::chrono::milliseconds timeout)
    : runner_(runner), directories_(std::move(directories)), timeout_(timeout) {}

bool Masquerade::Covers(const Plugin& plugin) {
  if (plugin.type != "bridge" && plugin.type != "ptp") return false;
  const auto masquerade = plugin.object.find("ipMasq");
  const auto backend = plugin.object.find("ipMasqBackend");
  return masquerade != plugin.object.end() && *masquerade == true &&
         (backend == plugin.object.end() || backend->is_null() || *backend == "iptables");
}

bool Masquerade::IsAvailable() const {
  return std::all_of(std::begin(kFamilies), std::end(kFamilies), [&](const Family& family) {
    const std::string iptables = FindExecutable(directories_, family.iptables);
    // Of the same installation: nf_tables and the older kind do not see each other's rules.
    return !iptables.empty() && FindExecutable(directories_, family.restore) == iptables + "-restore";
  });
}

base::Result<PluginOutput> Masquerade::Run(const std::string& name, std::vector<std::string> arguments,
                                           std::string standard_input) const {
  const base::TraceSpan span("cni", name, arguments.back());
  PluginCall call;
  call.program = FindExecutable(directories_, name);
  if (call.program.empty()) return base::Error(base::Code::kFailedPrecondition, name + " is not installed");
  call.arguments = std::move(arguments);
  call.standard_input = std::move(standard_input);
  call.timeout = timeout_;
  return runner_.Run(call).Wrap(name);
}

base::Status Masquerade::Restore(const Family& family, const std::string& rules) const {
  ASSIGN_OR_RETURN(const PluginOutput output,
                   Run(family.restore, {"--wait", "--noflush"}, "*nat\n" + rules + "COMMIT\n"));
  return output.exit_code == 0 ? base::Ok() : FailureOf(family.restore, output);
}

base::Status Masquerade::Add(const std::string& network, const std::string& container_id, const std::string& interface,
                             const base::Json& result) const {
  ASSIGN_OR_RETURN(const std::vector<InterfaceAddress> addresses, InterfaceAddressesOf(result, interface));
  const std::string chain = ChainOf(network, container_id);
  const std::string comment = CommentOf(network, container_id);
  for (const Family& family : kFamilies) {
    std::vector<std::string> rules;
    const auto append_unique = [&](std::string rule) {
      if (std::find(rules.begin(), rules.end(), rule) == rules.end()) rules.push_back(std::move(rule));
    };
    for (const InterfaceAddress& each : addresses) {
      if (IsVersion6(each.address) != family.version6) continue;
      // pkg/ip, SetupIPMasq().
      append_unique("-A " + chain + " -d " + SubnetOf(each) + " -j ACCEPT" + comment + "\n");
      append_unique("-A " + chain + " ! -d " + family.multicast + " -j MASQUERADE" + comment + "\n");
      append_unique("-A POSTROUTING -s " + each.address + " -j " + chain + comment + "\n");
    }
    if (rules.empty()) continue;
    std::string text = EmptyChain(chain);
    for (const std::string& rule : rules) text += rule;
    RETURN_IF_ERROR(Restore(family, text).Wrap("masquerade the pod's addresses"));
  }
  return base::Ok();
}

base::Status Masquerade::DeleteFound(const Family& family, const std::string& chain) const {
  base::Status status;
  for (int i = 0; i < kMostTries; ++i) {
    ASSIGN_OR_RETURN(const PluginOutput own, Run(family.iptables, {"--wait", "-t", "nat", "-S", chain}, {}));
    if (own.exit_code == kNoSuchChain || own.exit_code == kNoSuchTable) return base::Ok();
    if (own.exit_code != 0) return FailureOf(family.iptables, own);
    ASSIGN_OR_RETURN(const PluginOutput all, Run(family.iptables, {"--wait", "-t", "nat", "-S", "POSTROUTING"}, {}));
    if (all.exit_code != 0) return FailureOf(family.iptables, all);
    std::string rules = EmptyChain(chain);
    for (const std::string_view line : base::Split(all.standard_output, '\n')) {
      constexpr std::string_view kAppend = "-A ";
      if (!line.starts_with(kAppend) || !line.ends_with(" -j " + chain)) continue;
      rules += "-D " + std::string(line.substr(kAppend.size())) + "\n";
    }
    status = Restore(family, rules + "-X " + chain + "\n");
    if (status.ok()) break;
  }
  return status;
}

base::Status Masquerade::Delete(const std::string& network, const std::string& container_id,
                                const std::vector<std::string>& addresses) const {
  const std::string chain = ChainOf(network, container_id);
  const std::string comment = CommentOf(network, container_id);
  for (const Family& family : kFamilies) {
    std::string rules;
    for (const std::string& address : addresses) {
      if (IsVersion6(address) != family.version6) continue;
      rules += "-D POSTROUTING -s " + address + " -j " + chain + comment + "\n";
    }
    if (!rules.empty()) {
      const base::Status restored = Restore(family, EmptyChain(chain) + rules + "-X " + chain + "\n");
      if (restored.ok()) continue;
      base::Log(base::LogLevel::kNotice, "the rules are looked for one by one: " + restored.error().message(),
                {{"CRI_SANDBOX_ID", container_id}});
    }
    if (!rules.empty() || addresses.empty()) {
      RETURN_IF_ERROR(DeleteFound(family, chain).Wrap("remove the masquerading of the pod's addresses"));
    }
  }
  return base::Ok();
}

}  // namespace cni
