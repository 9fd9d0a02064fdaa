// Kills the daemon and what it works with while clients are at work, and looks each time whether anything was lost or
// left behind. Runs on a node, as root.

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "base/text.h"
#include "client.h"
#include "command.h"
#include "invariants.h"
#include "victims.h"

namespace faults {
namespace {

using std::chrono::milliseconds;

struct Options {
  std::string socket = "/run/cri-nspawn/cri-nspawn.sock";
  std::string image = "127.0.0.1:5000/base:latest";
  std::string other_image = "127.0.0.1:5000/web:latest";
  std::string steps;  // a file with a step a line
  std::string reports = "/var/tmp/faults";
  std::vector<std::string> only;
  uint64_t seed = std::random_device()();
  int kills = 200;
  int clients = 4;
  bool verbose = false;
};

struct Tally {
  int kills = 0;
  int violations = 0;
  int missed = 0;  // rounds in which there was nothing to kill
};

// For the next start of the daemon.
base::Status Configure(const std::string& name, const std::string& value) {
  const std::string change = "s/^#?(" + name + ") = .*/\\1 = " + value + "/";
  const auto changed = Output({"sed", "-i", "-E", change, "/etc/cri-nspawn/config.toml"}).Wrap("set " + name);
  return changed.ok() ? base::Ok() : base::Status(changed.error());
}

class Run {
 public:
  explicit Run(Options options)
      : options_(std::move(options)), gate_(options_.clients), random_(options_.seed), control_(options_.socket) {}

  base::Status Prepare();
  // False when the daemon does not come back.
  bool Round();
  void Finish();
  int kills() const { return kills_; }

 private:
  void Violation(const std::string& text);
  Victim ChooseVictim();
  std::string NextStep();
  void Report(const std::string& what, const std::string& since);
  bool AwaitDaemon(const std::string& doing);
  void Reset();
  void Check(bool fresh);
  size_t Below(size_t bound) { return random_() % bound; }

  const Options options_;
  Gate gate_;
  std::mt19937_64 random_;
  cri_client::Client control_;
  std::vector<std::string> steps_, recovery_steps_;
  size_t next_step_ = 0;
  std::map<std::string, int> step_kills_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::thread> threads_;
  std::unique_ptr<Invariants> invariants_;
  std::atomic<bool> disturbed_{false};
  std::mutex mutex_;
  std::vector<std::string> found_;        // of this round; guarded by mutex_
  std::set<std::string> known_problems_;  // told once
  std::map<std::string, Tally> tallies_;
  int kills_ = 0;
  int violations_ = 0;
  int round_ = 0;
};

void Run::Violation(const std::string& text) {
  const std::lock_guard lock(mutex_);
  found_.push_back(text);
}

base::Status Run::Prepare() {
  RETURN_IF_ERROR(base::RemoveTree(kFolder));
  RETURN_IF_ERROR(base::MakeDirectories(kFolder));
  RETURN_IF_ERROR(base::MakeDirectories(options_.reports));
  (void)Disarm();
  if (!options_.steps.empty()) {
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(options_.steps, 1 << 20));
    for (const std::string& step : Lines(text)) {
      (step.starts_with("reconcile") ? recovery_steps_ : steps_).push_back(step);
    }
    std::shuffle(steps_.begin(), steps_.end(), random_);
  }
  if (!control_.WaitUntilServed(std::chrono::seconds(30))) return base::Internal("no daemon answers");
  // What an earlier run has left.
  const auto pods = control_.Call(&v1::RuntimeService::Stub::ListPodSandbox, v1::ListPodSandboxRequest());
  for (const auto& pod : pods.response.items()) {
    (void)control_.Call(&v1::RuntimeService::Stub::RemovePodSandbox, cri_client::RemovePod(pod.id()));
  }
  const auto pulled = control_.Call(&v1::ImageService::Stub::PullImage, cri_client::PullImage(options_.image));
  if (!pulled.ok()) return base::Internal("pull " + options_.image + ": " + pulled.status.error_message());

  Surroundings surroundings;
  surroundings.socket = options_.socket;
  surroundings.image = options_.image;
  surroundings.other_image = options_.other_image;
  surroundings.gate = &gate_;
  surroundings.violation = [this](const std::string& text) { Violation(text); };
  surroundings.disturbed = [this] { return disturbed_.load(); };
  for (int i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<Client>(i, options_.seed, surroundings));
  }
  // Each makes and removes a pod: from then on everything is there that a daemon has of its own.
  for (const auto& client : clients_) {
    client->WarmUp();
    client->RemoveAll();
  }
  if (!found_.empty()) return base::Internal(found_.front());
  ASSIGN_OR_RETURN(invariants_, Invariants::Make(control_));
  for (const auto& client : clients_) threads_.emplace_back([&client] { client->Run(); });
  return base::Ok();
}

Victim Run::ChooseVictim() {
  constexpr std::pair<Victim, int> kWeights[] = {{Victim::kStep, 45},   {Victim::kDaemon, 25},  {Victim::kSpawner, 6},
                                                 {Victim::kMachine, 6}, {Victim::kMachined, 6}, {Victim::kPortabled, 6},
                                                 {Victim::kPlugin, 6}};
  while (true) {
    auto left = static_cast<int>(Below(100));
    Victim chosen = Victim::kDaemon;
    for (const auto& [victim, weight] : kWeights) {
      if (left < weight) {
        chosen = victim;
        break;
      }
      left -= weight;
    }
    if (chosen == Victim::kStep && steps_.empty()) continue;
    if (options_.only.empty() ||
        std::find(options_.only.begin(), options_.only.end(), NameOf(chosen)) != options_.only.end()) {
      return chosen;
    }
  }
}

bool Run::AwaitDaemon(const std::string& doing) {
  if (control_.WaitUntilServed(std::chrono::seconds(60))) return true;
  Violation("the daemon does not come back within a minute after " + doing);
  return false;
}

bool Run::Round() {
  ++round_;
  const Victim victim = ChooseVictim();
  const bool of_daemon = victim == Victim::kDaemon || victim == Victim::kStep || victim == Victim::kSpawner;
  std::string doing = NameOf(victim);
  std::string step;
  if (victim == Victim::kStep) {
    step = steps_[next_step_++ % steps_.size()];
    doing = "step \"" + step + "\"";
  }
  // One in four is killed again while it recovers.
  const std::string recovery =
      of_daemon && !recovery_steps_.empty() && Below(4) == 0 ? recovery_steps_[Below(recovery_steps_.size())] : "";
  const auto delay = milliseconds(5 + Below(250));
  // Images come and go too seldom to let a pass by.
  const int passes = static_cast<int>(Below(3)) * (step.starts_with("image") ? 0 : 1);
  const uint64_t choice = random_();
  const std::string since = std::to_string(base::NowNanoseconds() / 1'000'000'000);

  const auto before = LookAtDaemon();
  if (!before.ok()) {
    Violation(before.error().message());
    return false;
  }
  disturbed_ = victim != Victim::kDaemon && victim != Victim::kStep;
  // For the next daemon: what one has made, one of the other kind may have to remove.
  if (const auto set = Configure("plugin_shortcuts", Below(4) == 0 ? "false" : "true"); !set.ok()) {
    Violation(set.error().message());
    return false;
  }
  if (victim == Victim::kStep && !Arm(step, passes).ok()) return false;
  gate_.Open();
  bool killed = false;
  if (victim == Victim::kStep) {
    killed = WaitForEnd(before->pid, milliseconds(2500));
    if (!Disarm()) killed = false;
  } else {
    std::this_thread::sleep_for(delay);
    const auto result = Kill(victim, choice, milliseconds(600));
    killed = result.ok() && *result;
  }
  bool again = false;
  if (killed && of_daemon) {
    if (!recovery.empty()) (void)Arm(recovery, 0);
    (void)WaitForEnd(before->pid, milliseconds(10'000));
  }
  const auto died = std::chrono::steady_clock::now();
  gate_.Close();
  Tally& tally = tallies_[NameOf(victim)];
  if (killed) {
    ++kills_;
    ++tally.kills;
    if (!step.empty()) ++step_kills_[step];
  } else {
    ++tally.missed;
  }
  if (!AwaitDaemon(doing)) {
    Report(doing, since);
    return false;
  }
  const auto served = std::chrono::steady_clock::now();
  if (killed && of_daemon && !recovery.empty()) {
    again = Disarm();
    if (again) {
      doing += ", then step \"" + recovery + "\"";
      ++kills_;
      ++tallies_["daemon while it recovers"].kills;
      ++step_kills_[recovery];
    }
  }
  if (!of_daemon) {
    if (const auto noted = invariants_->NoteLostPods(clients_); !noted.ok()) Violation(noted.error().message());
    std::vector<std::thread> settling;
    for (const auto& client : clients_) settling.emplace_back([&client] { (void)client->Settle(); });
    for (std::thread& thread : settling) thread.join();
  }
  Check(killed && of_daemon);
  if (options_.verbose) {
    const auto told = [](auto time) { return std::chrono::duration_cast<milliseconds>(time).count(); };
    std::cout << "round " << round_ << ": " << doing << (killed ? "" : " (not killed)") << ", away "
              << told(served - died) << " ms, checked in " << told(std::chrono::steady_clock::now() - served) << " ms"
              << std::endl;
  }
  const auto problems = static_cast<int>(found_.size());
  tally.violations += problems;
  violations_ += problems;
  if (problems > 0) {
    Report(doing, since);
    Reset();
  }
  if (round_ % 20 == 0) {
    std::cout << "kills: " << kills_ << ", violations: " << violations_ << std::endl;
  }
  return true;
}

void Run::Check(bool fresh) {
  for (std::string& problem : invariants_->Check(clients_, fresh, known_problems_)) {
    if (known_problems_.insert(problem).second) found_.push_back(std::move(problem));
  }
}

void Run::Report(const std::string& what, const std::string& since) {
  std::cout << "round " << round_ << ", " << what << " killed; seed " << options_.seed << ":\n";
  for (const std::string& problem : found_) std::cout << "  " << problem << "\n";
  const std::string path = options_.reports + "/round-" + std::to_string(round_);
  const auto journal = Output({"journalctl", "--no-pager", "-o", "short-precise", "--since", "@" + since});
  if (journal.ok() && base::WriteFileAtomic(path, *journal, 0644).ok()) std::cout << "  journal: " << path << "\n";
  std::cout << std::flush;
}

// Begins anew with nothing, so that a violation is not found again in every round that follows.
void Run::Reset() {
  found_.clear();
  for (const auto& client : clients_) client->RemoveAll();
  for (const std::string& problem : found_) std::cout << "  afterwards: " << problem << "\n";
  found_.clear();
  for (std::string& problem : invariants_->Check(clients_, false, known_problems_)) {
    std::cout << "  stays: " << problem << std::endl;
    known_problems_.insert(std::move(problem));
  }
}

void Run::Finish() {
  disturbed_ = false;
  gate_.End();
  for (std::thread& thread : threads_) thread.join();
  for (const auto& client : clients_) client->RemoveAll();
  Check(false);
  size_t calls = 0;
  for (const auto& client : clients_) calls += client->calls();
  const auto left = static_cast<int>(found_.size());
  violations_ += left;
  for (const std::string& problem : found_) std::cout << "at the end: " << problem << "\n";
  int passed = left == 0 ? 1 : 0;
  int failed = left == 0 ? 0 : 1;
  for (const auto& [name, tally] : tallies_) {
    std::cout << name << ": " << tally.kills << " kills, " << tally.violations << " violations";
    if (tally.missed > 0) std::cout << " (" << tally.missed << " times there was nothing to kill)";
    std::cout << "\n";
    ++(tally.violations == 0 ? passed : failed);
  }
  std::vector<std::string> never;
  for (const auto* list : {&steps_, &recovery_steps_}) {
    for (const std::string& step : *list) {
      if (step_kills_.count(step) == 0) never.push_back(step);
    }
  }
  std::cout << "steps: " << step_kills_.size() << " of " << steps_.size() + recovery_steps_.size() << "\n";
  for (const std::string& step : never) std::cout << "  not killed at: " << step << "\n";
  std::cout << "calls: " << calls << "\nseed: " << options_.seed << "\nkills: " << kills_
            << ", violations: " << violations_ << "\n"
            << passed << " passed, " << failed << " failed, 0 skipped" << std::endl;
}

}  // namespace
}  // namespace faults

int main(int argc, char** argv) {
  CLI::App app("Kills the daemon and what it works with, and looks what that loses or leaves", "cri-nspawn-faults");
  faults::Options options;
  app.add_option("--seed", options.seed, "The same seed makes the same choices");
  app.add_option("--kills", options.kills, "How many")->capture_default_str();
  app.add_option("--clients", options.clients, "How many at once")->capture_default_str();
  app.add_option("--steps", options.steps, "A file with the names of the daemon's fault points, one a line");
  app.add_option("--only", options.only, "Only these victims");
  app.add_flag("--verbose", options.verbose, "Tell each kill, and how long it took");
  app.add_option("--reports", options.reports, "Where the journal of a round with a violation goes")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  faults::Run run(options);
  if (const auto prepared = run.Prepare(); !prepared.ok()) {
    std::cerr << "cri-nspawn-faults: " << prepared.error().message() << "\n";
    return 2;
  }
  int rounds = 0;
  while (run.kills() < options.kills && rounds++ < 3 * options.kills + 10 && run.Round()) continue;
  run.Finish();
  return 0;
}
