// Bundles: for every container a directory that is a portable service image of its own, below /run.
//
//   usr/lib/os-release             makes it an image to portabled, and names the only unit that it may hold
//   usr/lib/systemd/system/*.service
//   init                           mount point of the program that sets the container up
//   spec, seccomp                  for init and the spawner
//   stdout, stderr                 FIFOs of the container's output
//   stdin                          FIFO of its input, if it has one: see container_input.h
//   console                        socket at which the daemon takes its terminal, if it has one: see console.h
//   restore                        what it is made from, if it is restored from a checkpoint: see criu.h
//   rootfs/                        where init mounts the container's root filesystem
//   stop-signal, cgroup            how it is stopped, and resources that systemd has no setting for
//   user                           whom its program runs as, written by init
//   starting, started, exit        what became of it
//   oom-kills                      SliceOomKills
//   steps                          how long init takes, when a trace is written: see init/steps.h
//
// A bundle is written under a name that begins with a dot and renamed when complete, and renamed back before it is
// removed: a name without a dot is a complete bundle.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "nspawn/container.h"

namespace nspawn {

using CgroupFiles = std::vector<std::pair<std::string, std::string>>;  // file → value

// How often processes of a slice's containers that are gone were killed for want of memory.
struct SliceOomKills {
  std::string slice;  // its cgroup
  uint64_t gone = 0;
};

class Bundles {
 public:
  // `root` is made when it is missing.
  explicit Bundles(std::string root) : root_(std::move(root)) {}

  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  bool Exists(const std::string& name) const;

  // kAlreadyExists when there is one by that name. On failure nothing is left.
  base::Status Write(const ContainerSpec& spec, const std::string& unit_text, const CgroupFiles& cgroup_files) const;
  // No error when there is none.
  base::Status Remove(const std::string& name) const;
  base::Result<std::vector<std::string>> List() const;
  // Removes what a crash left behind of writing and removing. To be called before either is.
  base::Status RemoveIncomplete() const;

  base::Result<ProcessSpec> ReadSpec(const std::string& name) const;
  base::Result<std::string> ReadStopSignal(const std::string& name) const;
  base::Result<CgroupFiles> ReadCgroupFiles(const std::string& name) const;
  base::Status WriteCgroupFiles(const std::string& name, const CgroupFiles& files) const;

  // Set before the start, cleared when the program could not be run.
  bool IsStarting(const std::string& name) const;
  base::Status MarkStarting(const std::string& name) const;
  void ClearStarting(const std::string& name) const;
  // Set when the program has been run.
  bool IsStarted(const std::string& name) const;
  base::Status MarkStarted(const std::string& name) const;

  // Whom the program runs as; nothing before the start, and when that cannot be understood.
  base::Result<std::optional<Identity>> ReadUser(const std::string& name) const;

  // What KeepOomKills() kept; nothing when that is not known.
  std::optional<SliceOomKills> ReadOomKills(const std::string& name) const;
  void KeepOomKills(const std::string& name, const SliceOomKills& kills) const;

  // Has init tell its steps, and gives them as spans of the trace that is written.
  void AskForSteps(const std::string& name) const;
  void TraceSteps(const std::string& name, int track) const;

  base::Status WriteExit(const std::string& name, const Exit& exit) const;
  // Nothing when there is none.
  base::Result<std::optional<Exit>> ReadExit(const std::string& name) const;

 private:
  base::Status WriteInto(const std::string& directory, const ContainerSpec& spec, const std::string& unit_text,
                         const CgroupFiles& cgroup_files) const;

  std::string root_;
};

}  // namespace nspawn
