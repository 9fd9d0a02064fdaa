#include "cni/network.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <shared_mutex>

#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "cni/attachment_cache.h"
#include "cni/configuration_watcher.h"
#include "cni/host_local.h"
#include "cni/plugin_chain.h"
#include "cni/plugin_result.h"

namespace cni {
namespace {

constexpr size_t kMostComplaints = 3;

// Lets one operation at a time work on an id; the others wait.
class IdGuard {
 public:
  class Lock {
   public:
    Lock(IdGuard& guard, std::string id) : guard_(guard), id_(std::move(id)) {
      std::unique_lock lock(guard_.mutex_);
      guard_.freed_.wait(lock, [&] { return guard_.busy_.insert(id_).second; });
    }
    ~Lock() {
      {
        const std::lock_guard lock(guard_.mutex_);
        guard_.busy_.erase(id_);
      }
      guard_.freed_.notify_all();
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    IdGuard& guard_;
    const std::string id_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  std::set<std::string> busy_;
};

// The file that pinned a namespace may be gone, or be there without its mount after an interrupted start.
bool IsNamespace(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

// CNI_ARGS. Plugins refuse arguments they do not know unless told otherwise.
base::Result<std::string> ArgumentsText(const std::vector<std::pair<std::string, std::string>>& arguments) {
  std::string text = "IgnoreUnknown=1";
  for (const auto& [name, value] : arguments) {
    if (name == "IgnoreUnknown") continue;
    constexpr std::string_view kSeparators(";=\0", 3);
    if (name.empty() || name.find_first_of(kSeparators) != std::string::npos ||
        value.find_first_of(kSeparators) != std::string::npos) {
      return base::InvalidArgument("the CNI argument " + base::Printable(name, 64) + "=" + base::Printable(value, 128) +
                                   " would be misread: neither name nor value may contain ';' or '='");
    }
    text += ";" + name + "=" + value;
  }
  return text;
}

base::Result<base::Json> PortMappingsJson(const std::vector<PortMapping>& mappings) {
  base::Json list = base::Json::array();
  for (const PortMapping& mapping : mappings) {
    if (mapping.host_port == 0) continue;  // A port that is only declared, not mapped.
    if (mapping.container_port == 0) return base::InvalidArgument("a port mapping has no container port");
    if (mapping.protocol != "tcp" && mapping.protocol != "udp" && mapping.protocol != "sctp") {
      return base::InvalidArgument("a port mapping has the unknown protocol \"" +
                                   base::Printable(mapping.protocol, 32) + "\"");
    }
    base::Json entry = {
        {"hostPort", mapping.host_port}, {"containerPort", mapping.container_port}, {"protocol", mapping.protocol}};
    if (!mapping.host_ip.empty()) {
      if (!IsAddress(mapping.host_ip)) {
        return base::InvalidArgument("a port mapping's host address \"" + base::Printable(mapping.host_ip, 64) +
                                     "\" is not an IP address");
      }
      entry["hostIP"] = mapping.host_ip;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

base::Result<Invocation> MakeInvocation(const Attachment& attachment) {
  Invocation invocation;
  invocation.container_id = attachment.container_id;
  invocation.namespace_path = attachment.namespace_path;
  invocation.interface = attachment.interface;
  ASSIGN_OR_RETURN(invocation.arguments, ArgumentsText(attachment.arguments));
  for (const auto& [name, value] : attachment.capabilities) {
    ASSIGN_OR_RETURN(invocation.capabilities[name],
                     base::ParseJson(value).Wrap("capability argument \"" + base::Printable(name, 64) + "\""));
  }
  ASSIGN_OR_RETURN(base::Json mappings, PortMappingsJson(attachment.port_mappings));
  if (!mappings.empty()) invocation.capabilities["portMappings"] = std::move(mappings);
  RETURN_IF_ERROR(Validate(invocation));
  return invocation;
}

class PluginNetwork : public Network {
 public:
  PluginNetwork(NetworkOptions options, PluginRunner& runner)
      : configuration_directory_(options.configuration_directory),
        chain_(runner, std::move(options.plugin_directories), std::move(options.program_directories),
               options.plugin_timeout, options.plugin_shortcuts),
        cache_(std::move(options.cache_directory)),
        watcher_(std::move(options.configuration_directory)) {
    cache_.RemoveLeftovers();
  }

  base::Result<AttachmentResult> Attach(const Attachment& attachment) override {
    auto result = AttachOnce(attachment);
    return std::move(result).Wrap("set up the network of " + base::Printable(attachment.container_id, 128));
  }

  base::Status Detach(const Attachment& attachment) override {
    return DetachOnce(attachment).Wrap("tear down the network of " + base::Printable(attachment.container_id, 128));
  }

  base::Status Check(const std::string& container_id) const override {
    if (!IsIdentifier(container_id)) return base::InvalidArgument("its id is not valid");
    ASSIGN_OR_RETURN(const CachedAttachment cached, cache_.Read(container_id));
    ASSIGN_OR_RETURN(const Configuration configuration, ParseConfiguration(cached.configuration));
    return chain_.Check(configuration, cached.invocation, cached.result)
        .Wrap("check the network of " + base::Printable(container_id, 128));
  }

  base::Status CollectGarbage(const std::function<bool(const std::string&)>& in_use) override {
    // What was attached after the list of valid attachments was made would be garbage to a plugin.
    const std::unique_lock alone(attaching_);
    ASSIGN_OR_RETURN(const std::vector<std::string> ids, cache_.Ids());
    const auto in_force = InForce();
    base::Status first;
    const auto note = [&](base::Status status) {
      if (first.ok()) first = std::move(status);
    };
    std::vector<PluginChain::Valid> valid;
    for (const std::string& id : ids) {
      if (!in_use(id)) {
        Attachment attachment;
        attachment.container_id = id;
        note(Detach(attachment));
      } else if (const auto cached = cache_.Read(id); cached.ok()) {
        // A plugin must not hear of the attachments of other networks.
        const auto name = base::StringMember(cached->configuration, "name");
        if (in_force.ok() && name.ok() && *name == (*in_force)->name) {
          valid.push_back({id, cached->invocation.interface});
        }
      } else {
        // Whose it is is not known: then nothing may be taken for garbage.
        return base::Error(cached.error());
      }
    }
    if (in_force.ok()) {
      note(chain_.CollectGarbage(**in_force, valid));
      // After a power loss, leases of finished attachments may be empty, too.
      CollectLeases(**in_force);
    }
    return first;
  }

  base::Status Ready() const override {
    ASSIGN_OR_RETURN(const auto configuration, InForce());
    RETURN_IF_ERROR(chain_.FindAll(*configuration));
    return chain_.Status(*configuration);
  }

  std::string ConfigurationJson() const override {
    const Selection selection = watcher_.Current();
    return selection.configuration ? base::JsonText(selection.configuration->document) : std::string();
  }

 private:
  base::Result<std::shared_ptr<const Configuration>> InForce() const {
    Selection selection = watcher_.Current();
    if (selection.configuration) return std::move(selection.configuration);
    std::string message;
    if (selection.complaints.empty()) {
      message = "there is no CNI configuration file in " + configuration_directory_ +
                "; a network provider puts one there when it starts";
    } else {
      message = "there is no valid CNI configuration file in " + configuration_directory_;
      const size_t shown = std::min(selection.complaints.size(), kMostComplaints);
      for (size_t i = 0; i < shown; ++i) message += (i == 0 ? ": " : "; ") + selection.complaints[i];
      if (shown < selection.complaints.size()) {
        message += "; and " + std::to_string(selection.complaints.size() - shown) + " more";
      }
    }
    return base::Error(base::Code::kFailedPrecondition, std::move(message));
  }

  base::Result<AttachmentResult> AttachOnce(const Attachment& attachment) {
    ASSIGN_OR_RETURN(Invocation invocation, MakeInvocation(attachment));
    if (invocation.namespace_path.empty()) return base::InvalidArgument("the path of its network namespace is missing");
    ASSIGN_OR_RETURN(const auto configuration, InForce());
    // A missing plugin is found out before an earlier one has done anything.
    RETURN_IF_ERROR(chain_.FindAll(*configuration));
    invocation.masquerade = chain_.MakesRules(*configuration);

    const std::shared_lock not_collecting(attaching_);
    const IdGuard::Lock lock(ids_, invocation.container_id);
    if (const auto entry = cache_.Read(invocation.container_id);
        entry.ok() || entry.error().code() != base::Code::kNotFound) {
      return base::Error(base::Code::kAlreadyExists, "it is attached already, or was not detached after a failure");
    }
    CachedAttachment cached{std::move(invocation), configuration->document, nullptr};
    RETURN_IF_ERROR(cache_.Create(cached));
    FAULT_POINT("network attach: intent kept");

    base::Json result;
    auto addresses = AddAndRecord(*configuration, cached, result);
    if (!addresses.ok()) return Undo(*configuration, cached.invocation, result, std::move(addresses).error());
    return AttachmentResult{*std::move(addresses), base::JsonText(result)};
  }

  base::Result<std::vector<std::string>> AddAndRecord(const Configuration& configuration, CachedAttachment& cached,
                                                      base::Json& result) {
    RETURN_IF_ERROR(chain_.Add(configuration, cached.invocation, result));
    auto addresses = AddressesOf(result, cached.invocation.interface);
    if (!addresses.ok()) {
      return std::move(addresses)
          .error()
          .WithCode(base::Code::kUnknown)
          .Wrap("the plugins of network " + configuration.name + " gave a result that cannot be used");
    }
    if (addresses->empty()) {
      return base::Error(base::Code::kUnknown, "the plugins of network " + configuration.name + " gave no address to " +
                                                   cached.invocation.interface);
    }
    FAULT_POINT("network attach: plugins have run");
    cached.result = result;
    RETURN_IF_ERROR(cache_.Update(cached));
    return addresses;
  }

  // Takes back an ADD in which a plugin may have been killed, maybe together with a daemon.
  base::Status DeleteUnfinished(const Configuration& configuration, const Invocation& invocation,
                                const base::Json& result) {
    RETURN_IF_ERROR(chain_.Delete(configuration, invocation, result));
    CollectLeases(configuration);
    return base::Ok();
  }

  // A lost address is no reason to keep a pod: what fails is tried again with the next garbage.
  static void CollectLeases(const Configuration& configuration) {
    if (const auto removed = RemoveUnownedLeases(configuration); !removed.ok()) {
      base::Log(base::LogLevel::kWarning, removed.error().message());
    }
  }

  base::Error Undo(const Configuration& configuration, const Invocation& invocation, const base::Json& result,
                   base::Error error) {
    base::Status undone = DeleteUnfinished(configuration, invocation, result);
    if (undone.ok()) undone = cache_.Remove(invocation.container_id);
    if (undone.ok()) return error;
    return {error.code(),
            error.message() + "; undoing it failed too and has to be repeated: " + undone.error().message()};
  }

  base::Status DetachOnce(const Attachment& attachment) {
    if (!IsIdentifier(attachment.container_id)) return base::InvalidArgument("its id is not valid");
    const IdGuard::Lock lock(ids_, attachment.container_id);
    auto cached = cache_.Read(attachment.container_id);
    if (!cached.ok() && cached.error().code() == base::Code::kNotFound) return base::Ok();
    if (!cached.ok() && cached.error().code() != base::Code::kDataLoss) return std::move(cached).error();

    auto configuration = cached.ok() ? ParseConfiguration(cached->configuration).Wrap("its cached configuration")
                                     : base::Result<Configuration>(std::move(cached).error());
    if (!configuration.ok()) {
      // A damaged entry must not keep the pod for ever. The configuration in force is most likely the one it was
      // attached by, and a DEL without a result is allowed.
      const std::string reason = configuration.error().message();
      base::Log(base::LogLevel::kWarning, reason + "; detaching by the configuration in force instead",
                {{"CRI_SANDBOX_ID", attachment.container_id}});
      auto in_force = InForce();
      if (!in_force.ok()) return std::move(in_force).error().Wrap(reason);
      configuration = Configuration(**in_force);
      ASSIGN_OR_RETURN(Invocation invocation, MakeInvocation(attachment));
      cached = CachedAttachment{std::move(invocation), configuration->document, nullptr};
    }
    cached->invocation.namespace_path = IsNamespace(attachment.namespace_path) ? attachment.namespace_path : "";
    RETURN_IF_ERROR(cached->result.is_null() ? DeleteUnfinished(*configuration, cached->invocation, cached->result)
                                             : chain_.Delete(*configuration, cached->invocation, cached->result));
    FAULT_POINT("network detach: plugins have run");
    return cache_.Remove(attachment.container_id);
  }

  const std::string configuration_directory_;
  const PluginChain chain_;
  const AttachmentCache cache_;
  const ConfigurationWatcher watcher_;
  IdGuard ids_;
  std::shared_mutex attaching_;  // shared by what attaches
};

}  // namespace

std::unique_ptr<Network> Network::Create(NetworkOptions options, PluginRunner& runner) {
  return std::make_unique<PluginNetwork>(std::move(options), runner);
}

}  // namespace cni
