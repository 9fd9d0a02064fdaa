// The subcommands of cri-nspawn-image: one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "cri/config.h"

namespace cli {

// What holds for every subcommand.
struct Context {
  cri::Config config;
  // The store that was named; empty: the node's.
  std::string store;
  // The store of portable services instead.
  bool portable = false;
  // Results as JSON.
  bool json = false;
  // Asked to stop by SIGINT or SIGTERM.
  std::stop_token stop;
};

// Runs a subcommand and gives the exit status.
using Run = std::function<base::Result<int>(const Context&)>;

// Makes `run` what is run when the subcommand `name` is given.
using Choose = std::function<void(Run run)>;

void AddPull(CLI::App& app, const Choose& choose);
void AddList(CLI::App& app, const Choose& choose);
void AddInspect(CLI::App& app, const Choose& choose);
void AddRemove(CLI::App& app, const Choose& choose);
void AddImport(CLI::App& app, const Choose& choose);
void AddExport(CLI::App& app, const Choose& choose);
void AddCheck(CLI::App& app, const Choose& choose);
void AddAttach(CLI::App& app, const Choose& choose);
void AddDetach(CLI::App& app, const Choose& choose);
void AddAutoUpdate(CLI::App& app, const Choose& choose);

}  // namespace cli
