// Stand-ins for what lies below cri/, that remember what they were asked and fail when told to.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cri/image_service.h"
#include "cri/runtime_service.h"

namespace cri {

// A directory that goes with its owner.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cri-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// What a client gets: items of lists are not in the message before that (see ListItems).
template <typename Response>
Response Received(const Response& response) {
  Response received;
  received.ParseFromString(response.SerializeAsString());
  return received;
}

class FakeStore final : public image::Store {
 public:
  std::vector<image::Image> List() const override { return images; }
  base::Result<std::optional<image::Image>> Find(const std::string& reference) const override {
    for (const image::Image& image : images) {
      const bool tagged = std::find(image.tags.begin(), image.tags.end(), reference) != image.tags.end();
      if (image.id == reference || tagged) return std::optional(image);
    }
    return std::optional<image::Image>();
  }
  std::optional<std::string> TagOf(const std::string& id) const override {
    for (const image::Image& image : images) {
      if (image.id == id && !image.tags.empty()) return image.tags.front();
    }
    return std::nullopt;
  }
  uint64_t Generation() const override {
    std::string names;
    for (const image::Image& image : images) {
      names += image.id;
      for (const std::string& tag : image.tags) names += " " + tag;
    }
    return std::hash<std::string>()(names);
  }
  base::Result<std::string> Pull(const std::string& reference, const image::Credentials&, std::stop_token cancelled,
                                 image::PullObserver*) override {
    ++pulls;
    while (pull_until_cancelled && !cancelled.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (cancelled.stop_requested()) {
      ++pulls_cancelled;
      return base::Error(base::Code::kCancelled, "cancelled");
    }
    return base::NotFound("image " + reference + " not found");
  }
  base::Result<std::vector<image::ImportedImage>> Import(const std::string& path, std::stop_token) override {
    return base::NotFound(path);
  }
  base::Result<image::ExportedImage> Export(const std::string& reference, const std::string&,
                                            std::stop_token) override {
    return base::NotFound(reference);
  }
  base::Status Check(bool, const OnLayerChecked&, std::stop_token) override { return base::Ok(); }
  base::Status Remove(const std::string&) override { return base::Ok(); }
  base::Status Hold(const std::string& id, const std::string& user) override {
    held[user].insert(id);
    return base::Ok();
  }
  void Release(const std::string& user) override { held.erase(user); }
  base::Status RemoveUnused() override { return base::Ok(); }
  base::Result<image::FilesystemUsage> Usage() const override { return image::FilesystemUsage{"/images", 7, 3}; }

  std::vector<image::Image> images;
  std::atomic<bool> pull_until_cancelled{false};
  std::atomic<int> pulls{0}, pulls_cancelled{0};
  std::map<std::string, std::set<std::string>> held;
};

class FakeMachines final : public nspawn::Machines {
 public:
  base::Result<nspawn::Machine> Start(const nspawn::MachineSpec& spec) override {
    if (failure) return *failure;
    started.push_back(spec);
    nspawn::Machine machine;
    machine.name = spec.name;
    machine.running = true;
    machine.leader = 4711;
    machine.cgroup = "/machine.slice/" + spec.name + ".service";
    machine.pid_namespace = 1;
    machine.ipc_namespace = 2;
    machine.uts_namespace = 3;
    if (!ends_at_once) running[spec.name] = machine;
    return machine;
  }
  base::Status Stop(const std::string& name) override {
    if (stop_failure) return *stop_failure;
    running.erase(name);
    return base::Ok();
  }
  base::Result<nspawn::Machine> Find(const std::string& name) override {
    const auto found = running.find(name);
    if (found == running.end()) return base::NotFound("no machine " + name);
    return found->second;
  }
  void OnEnd(std::function<void(const std::string&)> handler) override { on_end = std::move(handler); }

  std::optional<base::Error> failure;
  std::optional<base::Error> stop_failure;
  bool ends_at_once = false;
  std::vector<nspawn::MachineSpec> started;
  std::map<std::string, nspawn::Machine> running;
  std::function<void(const std::string&)> on_end;
};

class FakeContainers final : public nspawn::Containers {
 public:
  std::string BundleDirectory(const std::string& name) const override { return "/bundles/" + name; }
  base::Status Create(const nspawn::ContainerSpec& spec) override {
    if (create_failure) return *create_failure;
    created.push_back(spec);
    units[spec.name].name = spec.name;
    return base::Ok();
  }
  base::Result<nspawn::Container> Start(const std::string& name) override {
    if (start_failure) return *start_failure;
    nspawn::Container& unit = units[name];
    unit.state = nspawn::Container::State::kRunning;
    unit.pid = 815;
    unit.started_at = 1000;
    unit.cgroup = "/pod.slice/" + name + ".service";
    unit.user = nspawn::Identity{1000, 1001, {1001, 50}, "/"};
    return unit;
  }
  base::Status Stop(const std::string& name, const std::string&, std::chrono::milliseconds grace) override {
    grace_periods.push_back(grace);
    End(name, 143);
    if (forget_stopped) units.erase(name);
    return base::Ok();
  }
  base::Status Remove(const std::string& name) override {
    if (remove_failure) return *remove_failure;
    units.erase(name);
    return base::Ok();
  }
  base::Status Update(const std::string&, const nspawn::Resources& resources) override {
    updates.push_back(resources);
    return base::Ok();
  }
  base::Status UpdateSlice(const std::string& slice, const nspawn::Resources& resources) override {
    slice_updates.emplace_back(slice, resources);
    return base::Ok();
  }
  base::Result<nspawn::Container> Find(const std::string& name) override {
    const auto found = units.find(name);
    if (found == units.end()) return base::NotFound("no container " + name);
    return found->second;
  }
  base::Result<std::map<std::string, nspawn::Container>> List() override {
    auto listed = units;
    if (after_list) after_list();
    return listed;
  }
  void OnExit(std::function<void(const std::string&, const nspawn::Exit&)> handler) override {
    on_exit = std::move(handler);
  }

  void End(const std::string& name, int code) {
    nspawn::Container& unit = units[name];
    unit.state = nspawn::Container::State::kExited;
    unit.exit.code = code;
    unit.exit.started_at = 1000;
    unit.exit.finished_at = 2000;
  }

  std::optional<base::Error> create_failure, start_failure, remove_failure;
  bool forget_stopped = false;
  std::vector<nspawn::ContainerSpec> created;
  std::vector<nspawn::Resources> updates;
  std::vector<std::pair<std::string, nspawn::Resources>> slice_updates;
  std::vector<std::chrono::milliseconds> grace_periods;
  std::map<std::string, nspawn::Container> units;
  std::function<void()> after_list;
  std::function<void(const std::string&, const nspawn::Exit&)> on_exit;
};

// The far ends are the test's: what a client writes to Input() arrives at `input`, what is written to `output` and
// `error` arrives at the client, and End() ends the process.
class FakeStream final : public nspawn::Stream {
 public:
  explicit FakeStream(const nspawn::StreamOptions& options) {
    if (options.input) MakePipe(input, input_);
    if (options.output) MakePipe(output_, output);
    if (options.error) MakePipe(error_, error);
    ended_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  int Input() const override { return input_.get(); }
  int Output() const override { return output_.get(); }
  int Error() const override { return error_.get(); }
  void CloseInput() override { input_.reset(); }
  base::Status Resize(uint16_t columns, uint16_t rows) override {
    sizes.emplace_back(columns, rows);
    return base::Ok();
  }
  int Ended() const override { return ended_.get(); }
  base::Result<int> ExitCode() override { return exit_code; }

  void End(base::Result<int> code) {
    exit_code = std::move(code);
    output.reset();
    error.reset();
    (void)::eventfd_write(ended_.get(), 1);
  }

  base::UniqueFd input, output, error;
  std::vector<std::pair<uint16_t, uint16_t>> sizes;
  base::Result<int> exit_code = 0;

 private:
  static void MakePipe(base::UniqueFd& read_end, base::UniqueFd& write_end) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  base::UniqueFd input_, output_, error_, ended_;
};

class FakeLogs final : public nspawn::Logs {
 public:
  base::Status Open(const nspawn::LogTarget& target) override {
    if (failure) return *failure;
    open.insert(target.name);
    last = target;
    return base::Ok();
  }
  void DropUnclaimed() override {}
  void Close(const std::string& name, int) override { open.erase(name); }
  base::Status Reopen(const std::string& name) override {
    reopened.push_back(name);
    return base::Ok();
  }
  base::Result<std::unique_ptr<nspawn::Stream>> Attach(const std::string& name,
                                                       const nspawn::StreamOptions& options) override {
    if (!open.contains(name)) return base::Error(base::Code::kFailedPrecondition, name + " is not being logged");
    auto stream = std::make_unique<FakeStream>(options);
    attached = stream.get();
    return std::unique_ptr<nspawn::Stream>(std::move(stream));
  }
  uint64_t DroppedLines() const override { return 0; }

  std::optional<base::Error> failure;
  nspawn::LogTarget last;          // of Open()
  FakeStream* attached = nullptr;  // the last one; its owner may have ended it
  std::set<std::string> open;
  std::vector<std::string> reopened;
};

class FakeSpawner final : public nspawn::Spawner {
 public:
  base::Result<nspawn::ProcessOutput> Exec(const nspawn::ExecRequest& request, std::stop_token) override {
    requests.push_back(request);
    return output;
  }
  base::Result<std::unique_ptr<nspawn::Stream>> ExecStream(const nspawn::ExecRequest& request,
                                                           const nspawn::StreamOptions& options) override {
    requests.push_back(request);
    auto stream = std::make_unique<FakeStream>(options);
    started = stream.get();
    return std::unique_ptr<nspawn::Stream>(std::move(stream));
  }
  base::Result<nspawn::ProcessOutput> Run(const nspawn::ProgramRequest&) override { return nspawn::ProcessOutput{}; }
  int DeathFd() const override { return -1; }

  FakeStream* started = nullptr;  // the last one; its owner may have ended it

  std::vector<nspawn::ExecRequest> requests;
  nspawn::ProcessOutput output{3, "out", "err"};  // of every Exec()
};

class FakeNetwork final : public cni::Network {
 public:
  base::Result<cni::AttachmentResult> Attach(const cni::Attachment& attachment) override {
    if (failure) return *failure;
    attached[attachment.container_id] = attachment;
    return cni::AttachmentResult{{"10.1.2.3", "fd00::3"}, "{}"};
  }
  base::Status Detach(const cni::Attachment& attachment) override {
    attached.erase(attachment.container_id);
    return base::Ok();
  }
  base::Status Check(const std::string& container_id) const override {
    if (!attached.contains(container_id)) return base::NotFound("it is not attached");
    return check;
  }
  base::Status CollectGarbage(const std::function<bool(const std::string&)>& in_use) override {
    std::erase_if(attached, [&](const auto& entry) { return !in_use(entry.first); });
    ++collections;
    return base::Ok();
  }
  base::Status Ready() const override { return ready; }
  std::string ConfigurationJson() const override { return "{}"; }

  std::optional<base::Error> failure;
  base::Status ready;
  base::Status check;
  std::atomic<int> collections = 0;
  std::map<std::string, cni::Attachment> attached;
};

class FakeStreaming final : public streaming::Server {
 public:
  base::Result<std::string> Exec(const v1::ExecRequest&) override { return std::string("http://test/exec/1"); }
  base::Result<std::string> Attach(const v1::AttachRequest&) override { return std::string("http://test/attach/1"); }
  base::Result<std::string> PortForward(const v1::PortForwardRequest&) override {
    return std::string("http://test/portforward/1");
  }
};

// A node of fakes; Restart() is what a kill and a new start of the daemon are to the state on disk.
class FakeNode {
 public:
  FakeNode() {
    config.state_directory = directory.path() + "/state";
    config.runtime_directory = directory.path() + "/run";
    config.network_namespace_directory = directory.path() + "/netns";
    image::Image image;
    image.id = "sha256:" + std::string(64, 'a');
    image.tags = {"docker.io/library/app:1"};
    image.digests = {"docker.io/library/app@sha256:" + std::string(64, 'b')};
    image.config.entrypoint = {"/app"};
    image.layer_directories = {"/layers/1"};
    store.images.push_back(image);
    Restart();
  }

  void Restart() {
    service.reset();
    runtime.reset();
    runtime = std::make_unique<Runtime>(
        config, Parts{store, machines, containers, logs, spawner, network, namespaces(), apparmor});
    service = std::make_unique<RuntimeService>(*runtime, streaming);
    reconciled = runtime->Reconcile();
  }

  TemporaryDirectory directory;
  Config config;
  FakeStore store;
  FakeMachines machines;
  FakeContainers containers;
  FakeLogs logs;
  FakeSpawner spawner;
  FakeNetwork network;
  FakeStreaming streaming;
  // Off, as the files of its kernel are not there.
  nspawn::AppArmor apparmor{spawner, {directory.path(), directory.path(), "/nonexistent", "/nonexistent"}};
  std::unique_ptr<cni::Namespaces> real_namespaces;
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<RuntimeService> service;
  base::Status reconciled;

 private:
  // Network namespaces are the real ones, pinned below the temporary directory.
  cni::Namespaces& namespaces() {
    real_namespaces = std::make_unique<cni::Namespaces>(config.network_namespace_directory);
    return *real_namespaces;
  }
};

}  // namespace cri
