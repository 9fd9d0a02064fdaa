#include "node.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "base/files.h"
#include "base/text.h"
#include "command.h"

namespace faults {
namespace {

constexpr size_t kShort = 12;
constexpr size_t kMostFile = size_t{16} << 20;
constexpr char kState[] = "/var/lib/cri-nspawn";
constexpr char kRuntime[] = "/run/cri-nspawn";
constexpr char kLeases[] = "/var/lib/cni/networks/pod-network";

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// "tests-pod-web-0123456789ab.service" and the like: the id that a name holds as its last word. A name that is no
// whole one (".staged", "record.tmp-1-2") has none.
std::string OwnerOf(std::string name) {
  for (const std::string_view suffix : {".d", ".service", ".json", ".portable"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  if (name.size() == 64 && IsHex(name)) return ShortId(name);
  const size_t dash = name.rfind('-');
  if (name.front() != '.' && dash != std::string::npos && name.size() - dash - 1 == kShort &&
      IsHex(std::string_view(name).substr(dash + 1))) {
    return name.substr(dash + 1);
  }
  return "\"" + name + "\"";
}

// The owners of the entries of a directory, which may be missing.
base::Result<Owners> OwnersIn(
    const std::string& directory,
    const std::function<bool(const std::string&)>& counts = [](const auto&) { return true; }) {
  Owners owners;
  auto names = base::ListDirectory(directory);
  if (!names.ok()) {
    if (names.error().code() == base::Code::kNotFound) return owners;
    return std::move(names).error();
  }
  for (const std::string& name : *names) {
    if (counts(name)) owners.insert(OwnerOf(name));
  }
  return owners;
}

bool EndsInService(const std::string& name) {
  return name.ends_with(".service");
}
bool IsOurs(const std::string& name) {
  return name.starts_with("tests-");
}

// Names below the slices of the tests' pods: those of units.
base::Result<Owners> Cgroups() {
  Owners owners;
  const std::string root = "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice";
  auto slices = base::ListDirectory(root);
  if (!slices.ok()) {
    if (slices.error().code() == base::Code::kNotFound) return owners;
    return std::move(slices).error();
  }
  for (const std::string& slice : *slices) {
    if (!slice.ends_with(".slice")) continue;
    auto units = OwnersIn(root + "/" + slice, EndsInService);
    if (!units.ok()) return std::move(units).error();
    owners.insert(units->begin(), units->end());
  }
  return owners;
}

base::Result<std::vector<std::string>> MountPoints() {
  ASSIGN_OR_RETURN(const std::string table, base::ReadFile("/proc/self/mountinfo", kMostFile));
  std::vector<std::string> points;
  for (const std::string& line : Lines(table)) {
    const auto fields = base::Split(line, ' ');
    if (fields.size() > 4) points.emplace_back(fields[4]);
  }
  return points;
}

bool IsPin(const std::string& mount_point) {
  return mount_point.starts_with("/run/netns/");
}

// Rules for pods name the attachment in a comment, by its whole id; a chain without rules has only its own name.
base::Result<Owners> NatRules() {
  ASSIGN_OR_RETURN(const std::string rules, Output({"iptables-save", "-t", "nat"}));
  std::set<std::string> found;
  for (const std::string& line : Lines(rules)) {
    // But for those of portmap for all pods.
    if (line.starts_with(":CNI-") && !line.starts_with(":CNI-HOSTPORT-")) {
      const std::string chain = line.substr(1, line.find(' ') - 1);
      if (rules.find("-A " + chain + " ") == std::string::npos) found.insert(chain);
    }
    constexpr std::string_view kBefore = "id: \\\"";
    const size_t at = line.find(kBefore);
    if (at != std::string::npos) found.insert(ShortId(line.substr(at + kBefore.size())));
  }
  return Owners(found.begin(), found.end());
}

}  // namespace

std::string ShortId(const std::string& id) {
  return id.substr(0, kShort);
}

base::Result<std::map<std::string, std::string>> Leases() {
  std::map<std::string, std::string> leases;
  auto names = base::ListDirectory(kLeases);
  if (!names.ok()) {
    if (names.error().code() == base::Code::kNotFound) return leases;
    return std::move(names).error();
  }
  for (const std::string& name : *names) {
    // Beside them lie the lock and the last address given.
    if (name.find('.') == std::string::npos || name.starts_with("last_reserved")) continue;
    const auto holder = base::ReadFile(std::string(kLeases) + "/" + name, 4096);
    if (holder.ok()) leases[name] = ShortId(*holder);
  }
  return leases;
}

base::Result<Inventory> TakeInventory() {
  Inventory all;
  ASSIGN_OR_RETURN(const std::string units,
                   Output({"systemctl", "list-units", "--all", "--no-legend", "--plain", "tests-*"}));
  Owners& loaded = all["unit"];
  for (const std::string& line : Lines(units)) loaded.insert(OwnerOf(line.substr(0, line.find(' '))));
  ASSIGN_OR_RETURN(const std::string machines, Output({"machinectl", "list", "--no-legend"}));
  Owners& registered = all["machine"];
  for (const std::string& line : Lines(machines)) registered.insert(OwnerOf(line.substr(0, line.find(' '))));

  ASSIGN_OR_RETURN(all["portable image"], OwnersIn("/run/portables", IsOurs));
  ASSIGN_OR_RETURN(all["attached unit"], OwnersIn("/run/systemd/system.attached", EndsInService));
  ASSIGN_OR_RETURN(all["drop-in of an attached unit"],
                   OwnersIn("/run/systemd/system.attached", [](const auto& name) { return name.ends_with(".d"); }));
  ASSIGN_OR_RETURN(all["changed unit property"], OwnersIn("/run/systemd/system.control", IsOurs));
  ASSIGN_OR_RETURN(all["transient unit file"], OwnersIn("/run/systemd/transient", IsOurs));
  ASSIGN_OR_RETURN(all["propagation directory of nspawn"], OwnersIn("/run/systemd/nspawn/propagate", IsOurs));
  ASSIGN_OR_RETURN(all["network namespace"], OwnersIn("/run/netns"));
  ASSIGN_OR_RETURN(all["CNI cache entry"], OwnersIn(std::string(kState) + "/cni"));
  ASSIGN_OR_RETURN(all["pod record"], OwnersIn(std::string(kState) + "/sandboxes"));
  ASSIGN_OR_RETURN(all["container record"], OwnersIn(std::string(kState) + "/containers"));
  ASSIGN_OR_RETURN(all["bundle"], OwnersIn(std::string(kRuntime) + "/containers"));
  ASSIGN_OR_RETURN(all["folder of a pod's files"], OwnersIn(std::string(kRuntime) + "/sandboxes"));
  ASSIGN_OR_RETURN(all["staged image layer"], OwnersIn(std::string(kState) + "/images/staging"));
  ASSIGN_OR_RETURN(all["cgroup"], Cgroups());
  ASSIGN_OR_RETURN(all["NAT rule"], NatRules());

  ASSIGN_OR_RETURN(const std::vector<std::string> mounts, MountPoints());
  Owners& pins = all["mount of a network namespace"];
  for (const std::string& point : mounts) {
    if (IsPin(point)) pins.insert(OwnerOf(point.substr(point.rfind('/') + 1)));
  }
  ASSIGN_OR_RETURN(const auto leases, Leases());
  Owners& holders = all["address lease"];
  for (const auto& [address, holder] : leases) holders.insert(holder);
  // Their names are random: they are only counted.
  ASSIGN_OR_RETURN(const std::vector<std::string> links, base::ListDirectory("/sys/class/net"));
  Owners& veths = all["veth"];
  for (const std::string& link : links) {
    if (link.starts_with("veth")) veths.insert("one");
  }
  return all;
}

std::vector<std::string> Compare(const Inventory& inventory, const std::map<std::string, Need>& needs) {
  std::vector<std::string> differences;
  for (const auto& [kind, need] : needs) {
    const Owners& there = inventory.at(kind);
    std::vector<std::string> missing;
    std::vector<std::string> excess;
    std::set_difference(need.least.begin(), need.least.end(), there.begin(), there.end(), std::back_inserter(missing));
    std::set_difference(there.begin(), there.end(), need.most.begin(), need.most.end(), std::back_inserter(excess));
    for (const std::string& owner : missing) differences.push_back(kind + " of " + owner + " is missing");
    for (const std::string& owner : excess) differences.push_back(kind + " of " + owner + " should not be there");
  }
  return differences;
}

base::Result<std::multiset<std::string>> OtherMounts() {
  ASSIGN_OR_RETURN(const std::vector<std::string> points, MountPoints());
  std::multiset<std::string> others;
  for (const std::string& point : points) {
    if (!IsPin(point)) others.insert(point);
  }
  return others;
}

base::Result<Daemon> LookAtDaemon() {
  Daemon daemon;
  ASSIGN_OR_RETURN(const std::string shown,
                   Output({"systemctl", "show", "cri-nspawn.service", "-p", "MainPID", "-p", "NFileDescriptorStore"}));
  for (const std::string& line : Lines(shown)) {
    const size_t equals = line.find('=');
    const auto value = static_cast<int>(base::ParseUnsigned(line.substr(equals + 1)).value_or(0));
    (line.starts_with("MainPID") ? daemon.pid : daemon.stored) = value;
  }
  if (daemon.pid == 0) return base::Internal("the daemon does not run");
  const std::string process = "/proc/" + std::to_string(daemon.pid);
  ASSIGN_OR_RETURN(const std::string children,
                   base::ReadFile(process + "/task/" + std::to_string(daemon.pid) + "/children", 4096));
  daemon.spawner = static_cast<int>(base::ParseUnsigned(base::Trim(children)).value_or(0));
  ASSIGN_OR_RETURN(const std::string members,
                   base::ReadFile("/sys/fs/cgroup/system.slice/cri-nspawn.service/cgroup.procs", kMostFile));
  daemon.processes = static_cast<int>(Lines(members).size());
  ASSIGN_OR_RETURN(const std::vector<std::string> numbers, base::ListDirectory(process + "/fd"));
  for (const std::string& number : numbers) {
    char target[4096];
    const ssize_t length = ::readlink((process + "/fd/" + number).c_str(), target, sizeof target);
    if (length <= 0) continue;
    const std::string name(target, static_cast<size_t>(length));
    const bool is_file = name.front() == '/';
    if (is_file) daemon.files.push_back(name);
    // "socket:[4711]", but "anon_inode:[eventpoll]".
    ++daemon.descriptors[is_file ? "file" : name.starts_with("anon_inode") ? name : name.substr(0, name.find(':'))];
    if (name.find("inotify") == std::string::npos) continue;
    const auto info = base::ReadFile(process + "/fdinfo/" + number, kMostFile);
    if (!info.ok()) continue;
    for (const std::string& line : Lines(*info)) daemon.watches += line.starts_with("inotify ") ? 1 : 0;
  }
  if (daemon.spawner != 0) {
    ASSIGN_OR_RETURN(const auto spawner, base::ListDirectory("/proc/" + std::to_string(daemon.spawner) + "/fd"));
    daemon.spawner_descriptors = static_cast<int>(spawner.size());
  }
  return daemon;
}

}  // namespace faults
