#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>

#include "cli/output.h"

namespace cli {
namespace {

constexpr std::chrono::milliseconds kRedraw{100};
constexpr size_t kUsualColumns = 80;

}  // namespace

Progress::~Progress() {
  EraseBars();
  out_.flush();
}

void Progress::OnLayers(const std::vector<image::PulledLayer>& layers) {
  const std::lock_guard lock(mutex_);
  for (const image::PulledLayer& layer : layers) {
    if (layer.present) {
      out_ << "Copying blob " << ShortId(layer.digest) << " skipped: already exists\n";
      continue;
    }
    layers_.push_back({.digest = layer.digest, .size = layer.size});
    if (columns_ == 0) {
      out_ << "Copying blob " << ShortId(layer.digest) << " of " << FormatSize(layer.size) << "\n";
    }
  }
  out_.flush();
}

Progress::Layer* Progress::Find(const std::string& digest) {
  const auto found =
      std::find_if(layers_.begin(), layers_.end(), [&](const Layer& layer) { return layer.digest == digest; });
  return found == layers_.end() ? nullptr : &*found;
}

void Progress::OnReceived(const std::string& digest, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  Layer* const layer = Find(digest);
  if (layer == nullptr) return;
  layer->received = bytes;
  layer->active = true;
  const auto now = std::chrono::steady_clock::now();
  if (columns_ == 0 || now - last_drawn_ < kRedraw) return;
  last_drawn_ = now;
  EraseBars();
  DrawBars();
}

void Progress::OnComplete(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  Layer* const layer = Find(digest);
  if (layer == nullptr || layer->complete) return;
  layer->complete = true;
  EraseBars();
  out_ << "Copying blob " << ShortId(digest) << " done\n";
  DrawBars();
}

void Progress::EraseBars() {
  // Up to the first of them, then clear to the screen's end.
  if (drawn_ > 0) out_ << "\x1b[" << drawn_ << "F\x1b[J";
  drawn_ = 0;
}

void Progress::DrawBars() {
  if (columns_ != 0) {
    for (const Layer& layer : layers_) {
      if (!layer.active || layer.complete) continue;
      out_ << Bar(layer) << "\n";
      ++drawn_;
    }
  }
  out_.flush();
}

std::string Progress::Bar(const Layer& layer) const {
  const std::string head = "Copying blob " + ShortId(layer.digest) + " ";
  const std::string tail = " " + FormatSize(layer.received) + " / " + FormatSize(layer.size);
  // One column stays free, so that no terminal wraps.
  const size_t taken = head.size() + tail.size() + 3;
  if (columns_ < taken + 5) return (head + tail).substr(0, columns_ - 1);
  const size_t width = columns_ - taken;
  const double share =
      layer.size == 0 ? 1 : std::min(1.0, static_cast<double>(layer.received) / static_cast<double>(layer.size));
  const auto full = static_cast<size_t>(share * static_cast<double>(width));
  std::string bar(full, '=');
  if (full < width) bar += '>';
  bar.resize(width, ' ');
  return head + "[" + bar + "]" + tail;
}

size_t TerminalColumns() {
  if (::isatty(STDERR_FILENO) == 0) return 0;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualColumns;
  return size.ws_col;
}

}  // namespace cli
