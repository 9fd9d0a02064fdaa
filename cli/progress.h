// Shows how far a pull is, on standard error: bars on a terminal, else a line for each layer.
#pragma once

#include <chrono>
#include <cstddef>
#include <iosfwd>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "image/pull_observer.h"

namespace cli {

class Progress final : public image::PullObserver {
 public:
  // Shows bars in lines of `columns` characters; 0: plain lines. `out` must live longer.
  Progress(std::ostream& out, size_t columns) : out_(out), columns_(columns) {}
  // Leaves no bar behind.
  ~Progress() override;

  void OnLayers(const std::vector<image::PulledLayer>& layers) override;
  void OnReceived(const std::string& digest, uint64_t bytes) override;
  void OnComplete(const std::string& digest) override;

 private:
  struct Layer {
    std::string digest;
    uint64_t size = 0;
    uint64_t received = 0;
    bool active = false;
    bool complete = false;
  };

  Layer* Find(const std::string& digest);
  void EraseBars();
  void DrawBars();
  std::string Bar(const Layer& layer) const;

  std::ostream& out_;
  const size_t columns_;
  std::mutex mutex_;
  std::vector<Layer> layers_;
  size_t drawn_ = 0;  // lines of bars on the screen, the cursor being below them
  std::chrono::steady_clock::time_point last_drawn_;
};

// Columns of the terminal that standard error is; 0 for anything else.
size_t TerminalColumns();

// Shows nothing.
class NoProgress final : public image::PullObserver {
 public:
  void OnLayers(const std::vector<image::PulledLayer>&) override {}
  void OnReceived(const std::string&, uint64_t) override {}
  void OnComplete(const std::string&) override {}
};

}  // namespace cli
