#include "nspawn/unit_text.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "base/text.h"
#include "nspawn/signal_name.h"

namespace nspawn {
namespace {

using base::InvalidArgument;
using base::Result;

constexpr size_t kMostText = 4096;
// init mounts and copies little; whatever takes longer hangs (an unreachable network file system).
constexpr char kStartTimeout[] = "60s";
// For an operator's `systemctl stop` and for shutting the node down: the grace period that pods have by default.
constexpr char kStopTimeout[] = "30s";
// As docker and podman stop containers.
constexpr char kHostServiceStopTimeout[] = "10s";

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool HasOnly(std::string_view text, std::string_view more) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return IsLetterOrDigit(c) || more.find(c) != std::string_view::npos; });
}

base::Error Unfit(std::string_view what, std::string_view value) {
  return InvalidArgument("\"" + base::Printable(value, 256) + "\" is no valid " + std::string(what));
}

bool IsSlice(std::string_view slice) {
  return slice.size() > 6 && slice.size() <= 255 && slice.ends_with(".slice") && HasOnly(slice, ":-_.\\");
}

bool IsPlainPath(std::string_view path) {
  const auto hostile = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127 || c == '\\'; };
  return path.starts_with('/') && path.size() < 4096 && std::none_of(path.begin(), path.end(), hostile) &&
         path.back() != ' ';
}

// What DeviceAllow= takes: a path, a class of devices of /proc/devices, or a device by its numbers.
Result<std::string> AllowedNode(const std::string& path) {
  if (path.starts_with("char-") || path.starts_with("block-")) {
    if (!HasOnly(path, "-_/*")) return Unfit("device class", path);
    return path;
  }
  if (path.starts_with("char ") || path.starts_with("block ")) {
    const auto words = base::Split(path, ' ');
    const auto numbers = base::Split(words.back(), ':');
    const bool valid = words.size() == 2 && numbers.size() == 2 &&
                       (numbers[0] == "*" || base::ParseUnsigned(numbers[0])) &&
                       (numbers[1] == "*" || base::ParseUnsigned(numbers[1]));
    if (!valid || (numbers[0] == "*" && numbers[1] != "*")) return Unfit("device", path);
    const std::string kind(words[0]);
    // A class may be named by its major number.
    if (numbers[1] == "*") return kind + "-" + std::string(numbers[0]);
    return "/dev/" + kind + "/" + std::string(words.back());
  }
  if (path.starts_with("/dev/") && HasOnly(path, "/._-:+@,#=~")) return path;
  // A path that the setting could not quote is said by its numbers.
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return base::ErrnoError("device " + base::Printable(path, 256));
  if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) return Unfit("device", path);
  return std::string(S_ISCHR(info.st_mode) ? "/dev/char/" : "/dev/block/") + std::to_string(major(info.st_rdev)) + ":" +
         std::to_string(minor(info.st_rdev));
}

// A word of a command line as systemd reads it.
std::string QuoteWord(std::string_view word) {
  std::string out = "\"";
  for (const char c : word) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '%' || c == '$') out += c;
    out += c;
  }
  return out + "\"";
}

std::string MetadataKey(std::string_view key) {
  std::string out;
  for (const char c : key.substr(0, 256)) {
    if (IsLetterOrDigit(c) || c == '.' || c == '_' || c == '-' || c == '/') {
      out += c;
    } else {
      out += "\\x" + base::Hex(std::string_view(&c, 1));
    }
  }
  return out;
}

class Text {
 public:
  void Section(std::string_view name) { out_ += (out_.empty() ? "[" : "\n[") + std::string(name) + "]\n"; }
  void Line(std::string_view line) {
    out_ += line;
    out_ += '\n';
  }
  void Set(std::string_view key, std::string_view value) {
    out_ += key;
    out_ += '=';
    out_ += value;
    out_ += '\n';
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

}  // namespace

std::string EscapeText(std::string_view text) {
  std::string plain = base::Printable(text, kMostText);
  // At a line's end it would join the next line to this one.
  if (plain.ends_with('\\')) plain += "x5c";
  return plain;
}

std::string EscapeSpecifiers(std::string_view text) {
  std::string out;
  for (const char c : EscapeText(text)) {
    out += c;
    if (c == '%') out += c;
  }
  return out;
}

bool IsReadableName(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name.front() != '-' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

std::string UnitName(const std::string& name) {
  return name + ".service";
}

std::string SliceName(const ContainerSpec& spec) {
  if (!spec.slice.empty()) return spec.slice;
  return spec.host_service ? "system.slice" : "machine.slice";
}

std::string_view ContainerDropIn() {
  return "[Service]\nRootDirectory=\nBindReadOnlyPaths=\nLogExtraFields=\n";
}

Result<std::string> UnitText(const ContainerSpec& spec, const ResourceSettings& resources, const std::string& init,
                             const std::string& bundle) {
  const std::string slice = SliceName(spec);
  if (!IsSlice(slice)) return Unfit("slice", slice);
  if (!bundle.empty() && !IsPlainPath(bundle)) return Unfit("path of a bundle", bundle);
  if (!spec.network_namespace.empty() && !IsPlainPath(spec.network_namespace)) {
    return Unfit("path of a network namespace", spec.network_namespace);
  }
  const auto signal = SignalNumber(spec.stop_signal.empty() ? "SIGTERM" : spec.stop_signal);
  if (!signal) return Unfit("stop signal", spec.stop_signal);
  if (spec.oom_score_adjust < -1000 || spec.oom_score_adjust > 1000) {
    return Unfit("OOM score adjustment", std::to_string(spec.oom_score_adjust));
  }

  Text text;
  text.Section("Unit");
  text.Set("Description", EscapeSpecifiers(spec.description.empty() ? spec.name : spec.description));
  if (spec.host_service) {
    text.Line("Wants=network-online.target");
    text.Line("After=network-online.target");
  } else {
    // Nothing of sysinit.target matters to a container; being stopped at shutdown does.
    text.Line("DefaultDependencies=no");
    text.Line("Conflicts=shutdown.target");
    text.Line("Before=shutdown.target");
    text.Line("IgnoreOnIsolate=yes");
    text.Line("StartLimitIntervalSec=0");
  }

  text.Section("Service");
  text.Line("Type=notify");
  text.Line("NotifyAccess=all");
  if (spec.host_service) {
    text.Line("Restart=on-failure");
    text.Line("RestartSec=1s");
  } else {
    // Keeps the exit status of a container that ended well until it is removed.
    text.Line("RemainAfterExit=yes");
    text.Line("Restart=no");
  }
  if (bundle.empty()) {
    text.Line("ExecStart=+/init");
    text.Set("BindReadOnlyPaths", EscapeSpecifiers(init) + ":/init");
    text.Line("MountAPIVFS=no");
  } else {
    text.Set("ExecStart", "+" + init + " " + QuoteWord(bundle));
  }
  text.Set("TimeoutStartSec", kStartTimeout);
  text.Set("TimeoutStopSec", spec.host_service ? kHostServiceStopTimeout : kStopTimeout);
  text.Line("KillMode=mixed");
  text.Set("KillSignal", SignalName(*signal));
  text.Line("SendSIGKILL=yes");
  text.Line("IgnoreSIGPIPE=no");
  text.Line("StandardInput=null");
  const char* output = spec.host_service ? "journal" : "null";
  text.Set("StandardOutput", output);
  text.Set("StandardError", output);
  if (spec.host_service) text.Set("SyslogIdentifier", EscapeSpecifiers(spec.name));
  text.Set("Slice", slice);
  if (!spec.network_namespace.empty()) {
    text.Set("NetworkNamespacePath", EscapeSpecifiers(spec.network_namespace));
  }
  // A privileged container may make cgroups below its own.
  text.Set("Delegate", spec.process.privileged ? "yes" : "no");
  // As the kernel does when nothing is said: a kubelet that wants all killed together says so.
  text.Set("OOMPolicy", resources.oom_group.value_or(false) ? "kill" : "continue");
  text.Set("OOMScoreAdjust", std::to_string(spec.oom_score_adjust));
  text.Line("TasksMax=infinity");
  for (const auto& entry : resources.unit) text.Line(entry.line);
  if (spec.all_devices) {
    text.Line("DevicePolicy=auto");
  } else {
    text.Line("DevicePolicy=closed");
    // Making a device node is harmless, opening it is what the rules are about.
    text.Line("DeviceAllow=char-* m");
    text.Line("DeviceAllow=block-* m");
    for (const DeviceRule& rule : spec.devices) {
      ASSIGN_OR_RETURN(const std::string node, AllowedNode(rule.path));
      if (rule.permissions.empty() || rule.permissions.size() > 3 ||
          rule.permissions.find_first_not_of("rwm") != std::string::npos) {
        return Unfit("device permission", rule.permissions);
      }
      text.Set("DeviceAllow", node + " " + rule.permissions);
    }
  }

  if (spec.host_service) {
    text.Section("Install");
    text.Line("WantedBy=multi-user.target");
  }
  if (!spec.metadata.empty()) {
    text.Section(spec.host_service ? "X-Image" : "X-Kubernetes");
    for (const auto& [key, value] : spec.metadata) text.Set(MetadataKey(key), EscapeText(value));
  }
  return text.Take();
}

}  // namespace nspawn
