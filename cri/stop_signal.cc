#include "cri/stop_signal.h"

#include <string_view>

#include "nspawn/signal_name.h"

namespace cri {
namespace {

namespace v1 = runtime::v1;

void Replace(std::string& text, std::string_view word, std::string_view by) {
  if (const size_t at = text.find(word); at != std::string::npos) text.replace(at, word.size(), by);
}

}  // namespace

v1::Signal StopSignalOf(const v1::ContainerConfig& config, const image::ImageConfig& image) {
  if (config.stop_signal() != v1::RUNTIME_DEFAULT) return config.stop_signal();
  const auto wanted = nspawn::SignalNumber(image.stop_signal);
  for (int i = v1::Signal_MIN; wanted && i <= v1::Signal_MAX; ++i) {
    const auto signal = static_cast<v1::Signal>(i);
    if (v1::Signal_IsValid(i) && nspawn::SignalNumber(SignalText(signal)) == wanted) return signal;
  }
  return v1::SIGTERM;
}

std::string SignalText(v1::Signal signal) {
  // Names in the protocol hold no + and -.
  std::string text = v1::Signal_Name(signal);
  Replace(text, "PLUS", "+");
  Replace(text, "MINUS", "-");
  return text;
}

}  // namespace cri
