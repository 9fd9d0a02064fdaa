#include "cri/stop_signal.h"

#include <gtest/gtest.h>

#include "nspawn/signal_name.h"

namespace cri {
namespace {

namespace v1 = runtime::v1;

v1::Signal Of(v1::Signal config_signal, const std::string& image_signal) {
  v1::ContainerConfig config;
  config.set_stop_signal(config_signal);
  image::ImageConfig image;
  image.stop_signal = image_signal;
  return StopSignalOf(config, image);
}

TEST(StopSignal, ThePodsGoesBeforeTheImages) {
  EXPECT_EQ(Of(v1::SIGUSR1, "SIGQUIT"), v1::SIGUSR1);
  EXPECT_EQ(Of(v1::RUNTIME_DEFAULT, "SIGQUIT"), v1::SIGQUIT);
  EXPECT_EQ(Of(v1::RUNTIME_DEFAULT, ""), v1::SIGTERM);
  EXPECT_EQ(Of(v1::RUNTIME_DEFAULT, "nonsense"), v1::SIGTERM);
}

TEST(StopSignal, ImagesMayWriteItInAnyForm) {
  EXPECT_EQ(Of(v1::RUNTIME_DEFAULT, "QUIT"), v1::SIGQUIT);
  EXPECT_EQ(Of(v1::RUNTIME_DEFAULT, "3"), v1::SIGQUIT);
  EXPECT_EQ(Of(v1::RUNTIME_DEFAULT, "SIGRTMIN+3"), v1::SIGRTMINPLUS3);
}

TEST(StopSignal, EverySignalOfTheProtocolHasANumber) {
  for (int i = v1::Signal_MIN; i <= v1::Signal_MAX; ++i) {
    if (!v1::Signal_IsValid(i) || i == v1::RUNTIME_DEFAULT) continue;
    EXPECT_TRUE(nspawn::SignalNumber(SignalText(static_cast<v1::Signal>(i)))) << v1::Signal_Name(i);
  }
  EXPECT_EQ(SignalText(v1::SIGRTMAXMINUS2), "SIGRTMAX-2");
}

}  // namespace
}  // namespace cri
